"""The shield against brute force: every action tried on devices drawn from what is believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.controllers.information_directed.forecast import Forecast
from hwsim.controllers.information_directed.shield import Limit, shield
from hwsim.controllers.information_directed.thermal_model import ThermalModel
from hwsim.errors import ConfigurationError, InvariantError


def surely(name: str, values: list[float], limit: float, risk: float = 0.01) -> Limit:
    return Limit(name=name, forecast=Forecast.gaussian(np.array(values), np.array(1e-6)), limit=limit, risk=risk)


def test_allowed_actions_are_those_that_break_no_limit_in_a_thousand_devices() -> None:
    """Die, ambient, resistance and time constant are drawn; energy and time err; every action is lived through."""
    generator = np.random.default_rng(0)
    thermal = ThermalModel(
        time_constants_seconds=np.array([20.0, 60.0]), mean=np.array([60.0, 30.0, 9.0]),
        deviations=np.array([1.0, 2.0, 1.0]), drifts=np.zeros(3), sensor_deviation_kelvin=0.5,
    )  # fmt: skip
    belief = thermal.learn(thermal.advance(thermal.start(), seconds=5.0, watts=4.0), 61.0)
    watts, joules = np.linspace(0.5, 7.5, 8), np.linspace(2.0, 9.0, 8)
    seconds = np.array([0.050, 0.044, 0.038, 0.032, 0.026, 0.020, 0.014, 0.008])
    limits = (
        Limit(name="temperature", forecast=thermal.forecast(belief, seconds=15.0, watts=watts), limit=75.0, risk=0.05),
        Limit(name="battery", forecast=Forecast.gaussian(joules, 0.1 * joules), limit=8.0, risk=0.05),
        Limit(name="deadline", forecast=Forecast.gaussian(seconds, 0.05 * seconds), limit=0.041, risk=0.05),
    )
    draws = 20_000
    which = generator.choice(2, size=draws, p=np.exp(belief.log_weights))
    factors = np.linalg.cholesky(belief.covariances)
    states = belief.means[which] + np.einsum("nab,nb->na", factors[which], generator.standard_normal((draws, 3)))
    kept = np.exp(-15.0 / thermal.time_constants_seconds[which])[:, None]
    ends = kept * states[:, :1] + (1 - kept) * (states[:, 1:2] + states[:, 2:] * watts)
    broken = np.stack(
        [
            (ends > 75.0).mean(axis=0),
            (joules * (1 + 0.1 * generator.standard_normal((draws, 1))) > 8.0).mean(axis=0),
            (seconds * (1 + 0.05 * generator.standard_normal((draws, 1))) > 0.041).mean(axis=0),
        ]
    )
    assert np.all(np.abs(broken - 0.05) > 0.006)  # no action is so near a limit that luck would decide
    allowed = np.flatnonzero((broken <= 0.05).all(axis=0))
    assert 0 < len(allowed) < 6
    verdict = shield(limits, 8)
    assert verdict.allowed.tolist() == allowed.tolist()
    assert verdict.unkept == ()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(st.integers(0, 9), min_size=5, max_size=5), min_size=1, max_size=3), st.integers(0, 9))
def test_limits_are_kept_in_their_order(columns: list[list[int]], limit: int) -> None:
    """The rule in plain words, on numbers that are known exactly."""
    left, unkept = list(range(5)), []
    for number, values in enumerate(columns):
        passing = [action for action in left if values[action] < limit + 0.5]
        if not passing:
            unkept.append(str(number))
            passing = [action for action in left if values[action] == min(values[each] for each in left)]
        left = passing
    verdict = shield(
        [surely(str(number), [float(each) for each in values], limit + 0.5) for number, values in enumerate(columns)], 5
    )
    assert (verdict.allowed.tolist(), list(verdict.unkept)) == (left, unkept)


def test_where_all_are_too_hot_the_coolest_is_left_whatever_the_deadline() -> None:
    hot = Limit(
        name="temperature",
        forecast=Forecast.gaussian(np.array([120.0, 130.0, 140.0]), np.array(0.5)),
        limit=85.0,
        risk=0.01,
    )
    verdict = shield([hot, surely("deadline", [0.3, 0.2, 0.01], 0.1)], 3)
    assert verdict.allowed.tolist() == [0]
    assert verdict.unkept == ("temperature", "deadline")


def test_what_is_not_known_well_is_kept_away_from() -> None:
    for deviation, allowed in ((1.0, [0, 1]), (3.0, [0])):
        limit = Limit(
            name="temperature",
            forecast=Forecast.gaussian(np.array([70.0, 82.0]), np.array(deviation)),
            limit=85.0,
            risk=0.01,
        )
        assert shield([limit], 2).allowed.tolist() == allowed


def test_without_limits_everything_may_be_done() -> None:
    assert shield([], 3).allowed.tolist() == [0, 1, 2]


def test_a_mixture_is_as_sure_as_its_parts_together() -> None:
    forecast = Forecast(
        log_weights=np.log([0.25, 0.75]), means=np.array([[0.0], [4.0]]), deviations=np.array([[1.0], [2.0]])
    )
    assert np.exp(forecast.log_probability_below(4.0)) == pytest.approx([0.25 * 0.9999683287581669 + 0.75 * 0.5])
    mean, deviation = forecast.moments()
    assert (mean, deviation**2) == (pytest.approx([3.0]), pytest.approx([0.25 * 1 + 0.75 * 4 + 0.25 * 9 + 0.75 * 1]))


def test_forecasts_and_risks_that_mean_nothing_are_refused() -> None:
    with pytest.raises(InvariantError, match="above 0"):
        Forecast.gaussian(np.array([1.0]), np.array(0.0))
    with pytest.raises(InvariantError, match="finite"):
        Forecast.gaussian(np.array([np.nan]), np.array(1.0))
    with pytest.raises(ConfigurationError, match="deadline"):
        surely("deadline", [1.0], 1.0, risk=0.0)
