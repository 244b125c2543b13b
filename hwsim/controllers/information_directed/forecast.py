"""What is predicted of each of K actions: a mixture of Gaussians, and how sure it stays below a limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr

from hwsim.controllers.information_directed.ratio import FloatArray
from hwsim.errors import InvariantError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecast:
    """A quantity under each action.

    Attributes:
        log_weights: [J] Logarithm of the probability of each hypothesis.
        means: [J, K].
        deviations: [J, K] Standard deviations, above 0: what is known exactly has its resolution for one.

    Raises:
        InvariantError: A deviation is not above 0, or a number is not finite.
    """

    log_weights: FloatArray
    means: FloatArray
    deviations: FloatArray

    def __post_init__(self) -> None:
        if not np.all(np.isfinite(self.means)) or not np.all(self.deviations > 0):
            raise InvariantError(
                "forecast: expected finite means, and deviations above 0 (the resolution, if nothing else)"
            )

    @classmethod
    def gaussian(cls, means: FloatArray, deviations: FloatArray) -> Forecast:
        """Return a forecast under one hypothesis, from [K] and [K] or a number."""
        means = np.atleast_1d(np.asarray(means, dtype=np.float64))
        return cls(
            log_weights=np.zeros(1), means=means[None], deviations=np.broadcast_to(deviations, means.shape)[None]
        )

    def log_probability_below(self, limit: float) -> FloatArray:
        """Return the natural logarithm [K] of the probability to stay below ``limit``; exact far out in the tails."""
        logs = log_ndtr((limit - self.means) / self.deviations)
        return np.asarray(np.logaddexp.reduce(logs + self.log_weights[:, None], axis=0))

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the mixture, [K] each."""
        weights = np.exp(self.log_weights)
        means = weights @ self.means
        return means, np.sqrt(weights @ (self.deviations**2 + (self.means - means) ** 2))
