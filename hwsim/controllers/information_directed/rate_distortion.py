"""How few bits any target can take that loses so much: the rate-distortion curve of a decision.

    R(D) = min I(action; unknown)  over p(action | unknown) with  E[best value - value of the action] <= D

(D. Russo and B. Van Roy, "Satisficing in Time-Sensitive Bandit Learning", Mathematics of Operations Research 47(4),
2022). Each draw of the posterior is a symbol, each action a reproduction of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hwsim.controllers.information_directed.ratio import FloatArray


class RatePoint(NamedTuple):
    """A point of the curve."""

    bits: float
    distortion: float
    """In the unit of the values."""


def rate_distortion(values: FloatArray, *, slope: float, iterations: int = 500) -> RatePoint:
    """Return the point of the curve at which a bit more saves ``1 / slope`` less distortion, in nats per unit of value.

    The Blahut-Arimoto iteration (R. Blahut, "Computation of channel capacity and rate-distortion functions", IEEE
    Transactions on Information Theory 18(4), 1972); each step lowers rate + slope * distortion.

    Args:
        values: [M, K] posterior draws of the values of K actions.
        slope: > 0; the larger, the more bits and the less distortion.
        iterations: How many steps to take.
    """
    losses = values.max(axis=-1, keepdims=True) - values
    favour = np.exp(-slope * losses)  # the best action of each draw has 1: nothing overflows
    marginal = np.full(values.shape[-1], 1 / values.shape[-1])
    for _ in range(iterations):
        channel = marginal * favour
        channel /= channel.sum(axis=-1, keepdims=True)
        marginal = channel.mean(axis=0)
    relative = np.divide(channel, marginal, out=np.ones_like(channel), where=channel > 0)
    bits = float(np.sum(channel * np.log2(relative)) / len(values))
    return RatePoint(bits, float(np.sum(channel * losses) / len(values)))
