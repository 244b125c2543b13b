"""Beliefs about accuracy against quadrature and closed forms; tracking of change points; calibration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.special import expit, logit
from scipy.stats import norm

from hwsim.controllers.information_directed.accuracy_model import (
    AccuracyModel,
    coarseness_features,
    shared_covariance,
)
from hwsim.controllers.information_directed.logit_moments import logit_moments
from hwsim.errors import ConfigurationError

SHARED = np.array([[1.0, 0.8, 0.4], [0.8, 1.5, 0.6], [0.4, 0.6, 0.9]])


def model(covariance: np.ndarray = SHARED, memory: float = 1.0, mean: float = 1.0) -> AccuracyModel:
    return AccuracyModel(mean=np.full(len(covariance), mean), covariance=covariance, memory=memory)


@settings(deadline=None, max_examples=40)
@given(st.floats(-4, 4), st.floats(0.01, 6), st.integers(0, 200), st.floats(0, 1))
def test_moments_of_a_logit_are_those_of_a_fine_grid(mean: float, variance: float, trials: int, share: float) -> None:
    successes = round(share * trials)
    logits = mean + np.sqrt(variance) * np.linspace(-60, 60, 40_001)
    logs = successes * logits - trials * np.logaddexp(0, logits) - (logits - mean) ** 2 / (2 * variance)
    weights = np.exp(logs - logs.max())
    centre = weights @ logits / weights.sum()
    spread = weights @ (logits - centre) ** 2 / weights.sum()
    found_mean, found_variance = logit_moments(mean, variance, successes=successes, trials=trials)
    assert found_mean == pytest.approx(centre, abs=2e-3 * np.sqrt(spread))
    assert found_variance == pytest.approx(spread, rel=5e-3)


def test_gaussian_evidence_is_regression() -> None:
    """Sightings of logits through noise: the textbook posterior of the joint Gaussian, inverse and all."""
    accuracy = model()
    evidence = accuracy.start()
    seen = ((0, 1.7, 0.3), (2, 0.2, 0.5), (0, 1.1, 0.2))
    for assignment, value, variance in seen:
        evidence = accuracy.learn_logit(evidence, assignment, logit=value, variance=variance)
    rows = np.eye(3)[[assignment for assignment, _, _ in seen]]
    noise = np.diag([variance for _, _, variance in seen])
    gain = SHARED @ rows.T @ np.linalg.inv(rows @ SHARED @ rows.T + noise)
    mean, covariance = accuracy.posterior(evidence)
    assert mean == pytest.approx(1 + gain @ (np.array([value for _, value, _ in seen]) - 1))
    assert covariance == pytest.approx(SHARED - gain @ rows @ SHARED)


def test_counts_come_near_the_exact_joint_posterior() -> None:
    accuracy = model(SHARED[:2, :2])
    evidence = accuracy.start()
    for assignment, successes in ((0, 18), (1, 9), (0, 15)):
        evidence = accuracy.learn_counts(evidence, assignment, successes=successes, trials=20)
    grid = np.linspace(-6, 8, 401)
    first, second = np.meshgrid(grid, grid, indexing="ij")
    rises = np.stack([first, second], axis=-1) - 1
    logs = -np.einsum("...a,ab,...b", rises, np.linalg.inv(SHARED[:2, :2]), rises) / 2
    logs += 33 * first - 40 * np.logaddexp(0, first) + 9 * second - 20 * np.logaddexp(0, second)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    means = np.array([(weights * first).sum(), (weights * second).sum()])
    mean, covariance = accuracy.posterior(evidence)
    assert mean == pytest.approx(means, abs=0.02)
    assert covariance[0, 1] == pytest.approx((weights * (first - means[0]) * (second - means[1])).sum(), abs=0.005)
    assert covariance[0, 0] == pytest.approx((weights * (first - means[0]) ** 2).sum(), rel=0.15)


def test_evidence_is_shared_as_the_covariance_says() -> None:
    alone, together = model(np.diag(np.diag(SHARED))), model()
    for accuracy, shares in ((alone, False), (together, True)):
        mean, covariance = accuracy.posterior(accuracy.learn_counts(accuracy.start(), 0, successes=10, trials=40))
        assert (mean[1] < 1 - 0.5) == shares
        assert (covariance[1, 1] < SHARED[1, 1]) == shares


def test_forgetting_is_the_geometric_mean_with_the_prior() -> None:
    accuracy = model(np.array([[1.44]]), memory=0.7)
    evidence = accuracy.learn_logit(accuracy.start(), 0, logit=2.0, variance=0.25)
    before, after = accuracy.posterior(evidence), accuracy.posterior(accuracy.forget(evidence))

    def density(x: float) -> float:
        old = norm.pdf(x, before[0][0], np.sqrt(before[1][0, 0]))
        return float(old**0.7 * norm.pdf(x, 1.0, 1.2) ** 0.3)

    total = integrate.quad(density, -8, 10)[0]
    mean = integrate.quad(lambda x: x * density(x), -8, 10)[0] / total
    assert after[0] == pytest.approx([mean])
    assert after[1][0, 0] == pytest.approx(integrate.quad(lambda x: (x - mean) ** 2 * density(x), -8, 10)[0] / total)
    stale = accuracy.posterior(accuracy.forget(evidence, 200))
    assert (stale[0], stale[1]) == (pytest.approx(accuracy.mean), pytest.approx(accuracy.covariance))


def test_draws_have_the_posteriors_moments_even_where_the_prior_is_singular() -> None:
    features = np.array([[1.0, 0.5], [1.0, 0.25], [1.0, 0.125]])
    accuracy = model(shared_covariance(features, feature_deviation=1.0, own_deviation=0.0))
    evidence = accuracy.learn_counts(accuracy.start(), 0, successes=30, trials=40)
    evidence = accuracy.learn_counts(evidence, 2, successes=39, trials=40)
    mean, covariance = accuracy.posterior(evidence)
    logits = logit(accuracy.draw(evidence, 40_000, np.random.default_rng(0)))
    assert logits.mean(axis=0) == pytest.approx(mean, abs=0.02)
    assert np.cov(logits.T) == pytest.approx(covariance, abs=0.015)
    assert np.ptp(logits[:, 0] - 3 * logits[:, 1] + 2 * logits[:, 2]) < 1e-5  # the features leave no other course


def test_a_change_is_tracked_only_by_what_forgets() -> None:
    """Accuracy falls from 0.95 to 0.6 after 300 probes: 40 probes later the one has followed, the other has not."""
    generator = np.random.default_rng(4)
    found = {}
    for memory in (0.95, 1.0):
        accuracy = model(np.array([[2.0]]), memory=memory)
        evidence = accuracy.start()
        for probe in range(340):
            right = generator.binomial(8, 0.95 if probe < 300 else 0.6)
            evidence = accuracy.learn_counts(accuracy.forget(evidence), 0, successes=right, trials=8)
        mean, covariance = accuracy.posterior(evidence)
        found[memory] = (expit(mean[0]), np.sqrt(covariance[0, 0]))
    assert found[0.95][0] == pytest.approx(0.6, abs=0.1)
    assert found[1.0][0] > 0.85
    assert found[0.95][1] > 1.5 * found[1.0][1]


def test_uncertainty_returns_while_nothing_is_seen() -> None:
    accuracy = model(memory=0.99)
    evidence = accuracy.learn_counts(accuracy.start(), 1, successes=95, trials=100)
    spreads = [np.sqrt(accuracy.posterior(accuracy.forget(evidence, steps))[1][1, 1]) for steps in (0, 50, 100, 400)]
    assert np.all(np.diff(spreads) > 0)
    assert spreads[-1] == pytest.approx(np.sqrt(SHARED[1, 1]), rel=0.2)


@settings(deadline=None, max_examples=3)
@given(st.integers(0, 2**32 - 1))
def test_intervals_hold_the_truth_as_often_as_they_say(seed: int) -> None:
    """Truths are drawn from the prior: a 90 % interval holds 90 % of them, within five standard errors."""
    generator = np.random.default_rng(seed)
    accuracy, inside, truths = model(), 0, 200
    for truth in generator.multivariate_normal(np.ones(3), SHARED, size=truths):
        evidence = accuracy.start()
        for assignment in generator.integers(3, size=3):
            right = generator.binomial(12, expit(truth[assignment]))
            evidence = accuracy.learn_counts(evidence, int(assignment), successes=right, trials=12)
        mean, covariance = accuracy.posterior(evidence)
        inside += np.count_nonzero(np.abs(truth - mean) < norm.ppf(0.95) * np.sqrt(np.diag(covariance)))
    # The three logits of a truth depend on each other: at worst there are as many independent cases as truths.
    assert inside / (3 * truths) == pytest.approx(0.9, abs=5 * np.sqrt(0.09 / truths))


def test_features_of_assignments() -> None:
    widths = np.array([[[8, 8], [8, 8], [8, 8]], [[2, 4], [8, 8], [1, 1]], [[0, 0], [0, 0], [0, 0]]])
    features = coarseness_features(widths, np.array([0, 0, 1]))
    fine = 2.0**-8
    assert features == pytest.approx(np.array([[1, fine, fine], [1, ((0.25 + 0.0625) / 2 + fine) / 2, 0.5], [1, 1, 1]]))


@pytest.mark.parametrize(
    ("covariance", "memory", "told"),
    [
        (np.array([[1.0, 2.0], [2.0, 1.0]]), 1.0, "negative eigenvalue"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), 1.0, "symmetric"),
        (np.diag([1.0, 0.0]), 1.0, "variances above 0"),
        (np.eye(2), 0.0, "memory"),
        (np.eye(2), 1.01, "memory"),
    ],
)
def test_priors_that_are_none_are_refused(covariance: np.ndarray, memory: float, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        model(covariance, memory)
