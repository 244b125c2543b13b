"""A quantity that is linear in what is known, with coefficients that are learned: recursive least squares.

For a device it is, for example, measured watts over (the cost table's watts, 1): how far the energy table is off, and
what is drawn besides. In information form with forgetting towards the prior, as in ``accuracy_model``: after n
observations that are t_i steps old,

    precision = prior precision + sum_i memory^t_i x_i x_i^T / noise variance

and likewise for the precision-weighted mean. Forgetting towards the prior, and not towards nothing as textbook
recursive least squares does, keeps the precision from vanishing in directions that are not excited for long
("covariance wind-up").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.controllers.information_directed.ratio import FloatArray
from hwsim.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What has been learned and not been forgotten.

    Attributes:
        precision: [F, F].
        weighted: [F] Precision times coefficients.
    """

    precision: FloatArray
    weighted: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearModel:
    """The prior of F coefficients, and how they are learned.

    Attributes:
        mean: [F] Prior mean.
        deviations: [F] Prior standard deviations, independent, above 0.
        noise_deviation: Standard deviation of an observation around the linear law, above 0.
        memory: Share of the evidence that is kept per step, above 0 and at most 1.

    Raises:
        ConfigurationError: A value is out of range.
    """

    mean: FloatArray
    deviations: FloatArray
    noise_deviation: float
    memory: float

    def __post_init__(self) -> None:
        if np.shape(self.mean) != np.shape(self.deviations) or np.any(np.asarray(self.deviations) <= 0):
            raise ConfigurationError("linear model, deviations: expected one above 0 for each coefficient")
        if self.noise_deviation <= 0 or not 0 < self.memory <= 1:
            raise ConfigurationError(
                "linear model: expected a noise_deviation above 0 and a memory above 0 and at most 1, "
                f"got {self.noise_deviation} and {self.memory}"
            )

    def start(self) -> Sums:
        """Return no evidence."""
        return Sums(precision=np.zeros((len(self.mean), len(self.mean))), weighted=np.zeros(len(self.mean)))

    def forget(self, sums: Sums, steps: float = 1.0) -> Sums:
        """Return what is left after so many steps."""
        kept = self.memory**steps
        return Sums(precision=kept * sums.precision, weighted=kept * sums.weighted)

    def learn(self, sums: Sums, features: FloatArray, observed: float) -> Sums:
        """Return the evidence after one observation at ``features`` [F]."""
        scaled = features / self.noise_deviation**2
        return Sums(precision=sums.precision + np.outer(scaled, features), weighted=sums.weighted + scaled * observed)

    def posterior(self, sums: Sums) -> tuple[FloatArray, FloatArray]:
        """Return the mean [F] and the covariance [F, F] of the coefficients."""
        prior = np.asarray(self.deviations) ** -2.0
        covariance = np.asarray(np.linalg.inv(np.diag(prior) + sums.precision), dtype=np.float64)
        return covariance @ (prior * self.mean + sums.weighted), covariance

    def predict(self, sums: Sums, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation [N] of the law at ``features`` [N, F], without observation noise."""
        mean, covariance = self.posterior(sums)
        return features @ mean, np.sqrt(np.einsum("nf,fg,ng->n", features, covariance, features))
