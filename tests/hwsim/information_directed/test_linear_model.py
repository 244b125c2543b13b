"""Recursive least squares against the weighted problem solved at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from hwsim.controllers.information_directed.linear_model import LinearModel, Sums
from hwsim.errors import ConfigurationError


def model(memory: float = 1.0, **changes: object) -> LinearModel:
    options: dict[str, object] = {
        "mean": np.array([1.0, 0.0]),
        "deviations": np.array([0.5, 2.0]),
        "noise_deviation": 0.1,
    }
    return LinearModel(memory=memory, **(options | changes))  # type: ignore[arg-type]


def learned(linear: LinearModel, features: np.ndarray, observed: np.ndarray) -> Sums:
    sums = linear.start()
    for row, value in zip(features, observed, strict=True):
        sums = linear.learn(linear.forget(sums), row, value)
    return sums


def test_one_by_one_is_all_at_once() -> None:
    """The minimum of the weighted squares and the prior's, by numpy's least squares."""
    generator = np.random.default_rng(0)
    features = np.column_stack([generator.uniform(0, 5, 30), np.ones(30)])
    observed = features @ [1.3, 0.4] + 0.1 * generator.standard_normal(30)
    mean, covariance = model(0.9).posterior(learned(model(0.9), features, observed))
    roots = np.sqrt(0.9 ** np.arange(29, -1, -1))[:, None] / 0.1
    stacked = np.vstack([roots * features, np.diag([2.0, 0.5])])
    solved = np.linalg.lstsq(stacked, np.concatenate([roots[:, 0] * observed, [2.0, 0.0]]))[0]
    assert mean == pytest.approx(solved)
    assert covariance == pytest.approx(np.linalg.inv(stacked.T @ stacked))


def test_an_energy_table_that_was_off_is_found_and_a_change_followed() -> None:
    generator = np.random.default_rng(1)
    features = np.column_stack([generator.uniform(0, 5, 400), np.ones(400)])
    scales = np.where(np.arange(400) < 300, 1.3, 0.8)
    observed = features[:, 0] * scales + 0.4 + 0.1 * generator.standard_normal(400)
    assert model().posterior(learned(model(), features[:300], observed[:300]))[0] == pytest.approx([1.3, 0.4], abs=0.03)
    assert model(0.95).posterior(learned(model(0.95), features, observed))[0] == pytest.approx([0.8, 0.4], abs=0.1)
    assert model().posterior(learned(model(), features, observed))[0][0] > 1.1


def test_what_is_not_excited_does_not_wind_up() -> None:
    """A thousand looks at the same load: the direction that is not seen is as the prior has it."""
    linear = model(0.95)
    sums = learned(linear, np.tile([2.0, 1.0], (1000, 1)), np.full(1000, 3.0))
    _, covariance = linear.posterior(sums)
    assert covariance[0, 0] < 0.25
    assert covariance[1, 1] < 4.0
    assert np.linalg.eigvalsh(covariance)[-1] > 0.1


def test_predictions_are_as_sure_as_they_say() -> None:
    generator = np.random.default_rng(2)
    ranks = []
    for _ in range(400):
        truth = np.array([1.0, 0.0]) + [0.5, 2.0] * generator.standard_normal(2)
        features = np.column_stack([generator.uniform(0, 5, 3), np.ones(3)])
        sums = learned(model(), features, features @ truth + 0.1 * generator.standard_normal(3))
        mean, deviation = model().predict(sums, np.array([[7.0, 1.0]]))
        ranks.append(ndtr((truth @ [7.0, 1.0] - mean[0]) / deviation[0]))
    assert np.mean(ranks) == pytest.approx(0.5, abs=5 * np.sqrt(1 / 12 / 400))
    assert np.mean(np.abs(np.array(ranks) - 0.5) < 0.4) == pytest.approx(0.8, abs=5 * np.sqrt(0.16 / 400))


@pytest.mark.parametrize("changes", [{"deviations": np.zeros(2)}, {"noise_deviation": 0.0}, {"memory": 0.0}])
def test_priors_that_are_none_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="linear model"):
        model(**changes)  # type: ignore[arg-type]
