"""How far a device is off from its cost table: a quantity of each rung in parts of the table's, learned from frames.

All rungs share a part of what the table has wrong (a slower DRAM, a chip that takes more), and each has one of its own
(rungs wait for the DRAM to different degrees): ratio of rung k = shared + own_k, Gaussian before anything is seen, and
learned by recursive least squares (``information_directed.linear_model``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.controllers.actions import FloatArray
from hwsim.controllers.information_directed.linear_model import LinearModel, Sums

SHARED_DEVIATION = 0.1
"""Standard deviation of what all rungs of a device share, in parts of the table (assumed)."""
OWN_DEVIATION = 0.1
"""The same of what each rung has for itself (assumed)."""
FRAME_DEVIATION = 0.03
"""The same of one frame around its rung's mean (assumed: planes that must be fetched)."""
MEMORY = 0.999
"""Share of the evidence that is kept from frame to frame."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ratios:
    """What is believed.

    Attributes:
        sums: The evidence.
        means: [K] Expected ratio of each rung.
        deviations: [K] Standard deviation of one frame's around it, with what is not known counted in.
    """

    sums: Sums
    means: FloatArray
    deviations: FloatArray


class LearnedRatios:
    """Follows K rungs.

    Args:
        rungs: K.
    """

    def __init__(self, rungs: int) -> None:
        self._features = np.hstack([np.ones((rungs, 1)), np.eye(rungs)])
        self._model = LinearModel(
            mean=np.eye(1, rungs + 1)[0],
            deviations=np.array([SHARED_DEVIATION, *[OWN_DEVIATION] * rungs]),
            noise_deviation=FRAME_DEVIATION,
            memory=MEMORY,
        )

    def start(self) -> Ratios:
        """Return the prior: the table, more or less."""
        return self._believed(self._model.start())

    def after(self, ratios: Ratios, rung: int, ratio: float) -> Ratios:
        """Return what is believed after a frame at a rung took so much, in parts of the table's."""
        return self._believed(self._model.learn(self._model.forget(ratios.sums), self._features[rung], ratio))

    def _believed(self, sums: Sums) -> Ratios:
        means, deviations = self._model.predict(sums, self._features)
        return Ratios(sums=sums, means=means, deviations=np.hypot(deviations, FRAME_DEVIATION))
