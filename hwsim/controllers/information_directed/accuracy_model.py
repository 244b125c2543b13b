"""What is believed of the accuracy of each assignment: a Gaussian on its logit, shared through features, that forgets.

Frames whose accuracy is learned (probes) are few and assignments are many, so evidence on one assignment must say
something of its neighbours. The logits of the K assignments have a joint Gaussian prior whose covariance comes from
features of the assignments (``shared_covariance``) plus a part that each has for itself: a family of assignments is
learned together, and still none is bound to what the features can express. With a diagonal covariance nothing is
shared.

Evidence on assignment a is a Gaussian factor on its logit, with precision L_a and precision-weighted sum h_a. The
posterior is prior x factors, in the form that stays stable for any L >= 0 (C. E. Rasmussen and C. K. I. Williams,
"Gaussian Processes for Machine Learning", MIT Press 2006, section 3.4). Forgetting multiplies L and h by ``memory`` per
step: this is the normalised product of posterior^memory and prior^(1 - memory), so that the belief goes back to the
prior, no farther, where nothing new is seen (R. Kulhavy and M. B. Zarrop, "On a general concept of forgetting",
International Journal of Control 58(4), 1993).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hwsim.controllers.information_directed.logit_moments import logit_moments
from hwsim.controllers.information_directed.ratio import FloatArray
from hwsim.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What has been learned so far and not been forgotten: 2 K numbers.

    Attributes:
        precisions: [K] of the Gaussian factor on each logit, >= 0.
        weighted_sums: [K] Precision times centre of each factor, centres counted from the prior's mean.
    """

    precisions: FloatArray
    weighted_sums: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class AccuracyModel:
    """The prior, and how it learns and forgets.

    Attributes:
        mean: [K] Prior mean of the logits of accuracy.
        covariance: [K, K] Prior covariance, symmetric, without negative eigenvalues and with a positive diagonal.
        memory: Share of the evidence that is kept from one step to the next, above 0 and at most 1; 1 / (1 - memory)
            steps count.

    Raises:
        ConfigurationError: A shape or value is wrong.
    """

    mean: FloatArray
    covariance: FloatArray
    memory: float
    _factor: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mean, covariance = np.asarray(self.mean, dtype=np.float64), np.asarray(self.covariance, dtype=np.float64)
        if mean.ndim != 1 or covariance.shape != 2 * mean.shape or not np.allclose(covariance, covariance.T):
            raise ConfigurationError(
                f"accuracy model: expected a mean [K] and a symmetric covariance [K, K], "
                f"got shapes {mean.shape} and {covariance.shape}"
            )
        if not 0 < self.memory <= 1:
            raise ConfigurationError(f"accuracy model, memory: expected above 0 and at most 1, got {self.memory}")
        eigenvalues, vectors = np.linalg.eigh(covariance)
        if np.any(np.diag(covariance) <= 0) or eigenvalues[0] < -1e-9 * eigenvalues[-1]:
            raise ConfigurationError(
                "accuracy model, covariance: expected variances above 0 and no negative eigenvalue"
            )
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", covariance)
        object.__setattr__(self, "_factor", vectors * np.sqrt(np.maximum(eigenvalues, 0)))

    def start(self) -> Evidence:
        """Return no evidence."""
        return Evidence(precisions=np.zeros(len(self.mean)), weighted_sums=np.zeros(len(self.mean)))

    def forget(self, evidence: Evidence, steps: float = 1.0) -> Evidence:
        """Return what is left after so many steps."""
        kept = self.memory**steps
        return Evidence(precisions=kept * evidence.precisions, weighted_sums=kept * evidence.weighted_sums)

    def posterior(self, evidence: Evidence) -> tuple[FloatArray, FloatArray]:
        """Return the mean [K] and the covariance [K, K] of the logits."""
        roots = np.sqrt(evidence.precisions)
        cross = roots[:, None] * self.covariance
        covariance = self.covariance - cross.T @ np.linalg.solve(self._whitened(roots), cross)
        return self.mean + covariance @ evidence.weighted_sums, covariance

    def learn_counts(self, evidence: Evidence, assignment: int, *, successes: int, trials: int) -> Evidence:
        """Return the evidence after so many right answers of so many.

        The assignment's marginal keeps the exact mean and variance under the binomial likelihood; that it is Gaussian
        again is the one approximation (assumed-density filtering). Variances err by about a tenth, by the order of the
        counts.
        """
        if trials == 0:
            return evidence
        mean, variance = self._marginal(evidence, assignment)
        new_mean, new_variance = logit_moments(mean, variance, successes=successes, trials=trials)
        prior_mean = self.mean[assignment]
        return _added(
            evidence,
            assignment,
            1 / new_variance - 1 / variance,
            (new_mean - prior_mean) / new_variance - (mean - prior_mean) / variance,
        )

    def learn_logit(self, evidence: Evidence, assignment: int, *, logit: float, variance: float) -> Evidence:
        """Return the evidence after the logit was seen through Gaussian noise, as in a calibrated confidence."""
        return _added(evidence, assignment, 1 / variance, (logit - self.mean[assignment]) / variance)

    def draw(self, evidence: Evidence, draws: int, generator: np.random.Generator) -> FloatArray:
        """Return accuracies [draws, K] from the posterior.

        Draws from the prior are corrected by what they miss of the evidence (Matheron's rule): no factor of the
        posterior's covariance, which may be nearly singular, is needed.
        """
        roots = np.sqrt(evidence.precisions)
        rises = generator.standard_normal((draws, len(self.mean))) @ self._factor.T
        centres = np.divide(evidence.weighted_sums, roots, out=np.zeros_like(roots), where=roots > 0)
        missed = centres - roots * rises - generator.standard_normal(rises.shape)
        rises += (self.covariance @ (roots[:, None] * np.linalg.solve(self._whitened(roots), missed.T))).T
        return np.asarray(expit(self.mean + rises))

    def _marginal(self, evidence: Evidence, assignment: int) -> tuple[float, float]:
        mean, covariance = self.posterior(evidence)
        return float(mean[assignment]), float(covariance[assignment, assignment])

    def _whitened(self, roots: FloatArray) -> FloatArray:
        """Return I + L^1/2 K L^1/2, whose eigenvalues are at least 1."""
        return np.asarray(roots[:, None] * roots * self.covariance + np.eye(len(roots)))


def shared_covariance(features: FloatArray, *, feature_deviation: float, own_deviation: float) -> FloatArray:
    """Return the covariance [K, K] of logits that are linear in features, plus a part of their own.

    Args:
        features: [K, F].
        feature_deviation: Standard deviation of each coefficient.
        own_deviation: Standard deviation of what the features do not say.
    """
    return feature_deviation**2 * features @ features.T + own_deviation**2 * np.eye(len(features))


def coarseness_features(widths: NDArray[np.integer], groups: NDArray[np.integer]) -> FloatArray:
    """Return a constant and, for each group of sites, how coarse an assignment's codes are there, [K, 1 + groups].

    The step of a uniform quantiser, and so the size of its error, goes as 2^-bits; errors of weights and of activations
    are both counted, and averaged over the sites of a group. Widths of zero (a skipped site) have the coarseness 1:
    nothing is left.

    Args:
        widths: [K, sites, 2] (weight, activation) bits of each assignment.
        groups: [sites] Group of each site, counted from 0, none empty.
    """
    coarseness = np.exp2(-np.asarray(widths, dtype=np.float64)).mean(axis=-1)
    member = (groups[:, None] == np.arange(groups.max() + 1)).astype(np.float64)
    return np.column_stack([np.ones(len(coarseness)), coarseness @ (member / member.sum(axis=0))])


def _added(evidence: Evidence, assignment: int, precision: float, weighted_sum: float) -> Evidence:
    precisions, weighted_sums = evidence.precisions.copy(), evidence.weighted_sums.copy()
    # A log-concave likelihood never takes precision away; rounding must not either.
    precisions[assignment] += max(precision, 0.0)
    weighted_sums[assignment] += weighted_sum
    return replace(evidence, precisions=precisions, weighted_sums=weighted_sums)
