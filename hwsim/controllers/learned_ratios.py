"""How far a device is off from its cost table: quantities of each rung in parts of the table's, learned from frames.

All rungs share a part of what the table has wrong (a slower DRAM, a chip that takes more), and each has one of its own
(rungs wait for the DRAM to different degrees): ratio of rung k = shared + own_k, Gaussian before anything is seen. That
is the linear model of ``information_directed.linear_model`` with the features (1, k), whose posterior has a closed form
in K numbers: given the shared part, rungs are independent. (Evidence is forgotten in the same way.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.controllers.actions import FloatArray

SHARED_VARIANCE = 0.1**2
"""Variance of what all rungs of a device share, in parts of the table (assumed)."""
OWN_VARIANCE = 0.1**2
"""The same of what each rung has for itself (assumed)."""
FRAME_VARIANCE = 0.03**2
"""The same of one frame around its rung's mean (assumed: planes that must be fetched)."""
MEMORY = 0.999
"""Share of the evidence that is kept from frame to frame."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ratios:
    """What is believed of Q quantities of K rungs.

    Attributes:
        counts: [K] frames that were seen and are not forgotten.
        sums: [Q, K] of their ratios.
        means: [Q, K] expected ratios.
        deviations: [K] standard deviation of one frame's ratio around them, with what is not known counted in.
    """

    counts: FloatArray
    sums: FloatArray
    means: FloatArray
    deviations: FloatArray


def no_ratios(quantities: int, rungs: int) -> Ratios:
    """Return the prior: the table, more or less."""
    return _believed(np.zeros(rungs), np.zeros((quantities, rungs)))


def with_frame(ratios: Ratios, rung: int, seen: Sequence[float]) -> Ratios:
    """Return what is believed after a frame at a rung took so much [Q], in parts of the table's."""
    counts, sums = MEMORY * ratios.counts, MEMORY * ratios.sums
    counts[rung] += 1.0
    sums[:, rung] += seen
    return _believed(counts, sums)


def _believed(counts: FloatArray, sums: FloatArray) -> Ratios:
    weights = 1.0 / (OWN_VARIANCE * counts + FRAME_VARIANCE)
    unexplained = FRAME_VARIANCE * weights  # share of a rung's own part that is not known yet
    shared_variance = 1.0 / (1.0 / SHARED_VARIANCE + float(counts @ weights))
    shared = shared_variance * (1.0 / SHARED_VARIANCE + sums @ weights)
    return Ratios(
        counts=counts,
        sums=sums,
        means=shared[:, None] * unexplained + OWN_VARIANCE * weights * sums,
        deviations=np.sqrt(OWN_VARIANCE * unexplained + shared_variance * unexplained**2 + FRAME_VARIANCE),
    )
