"""Beliefs about heat against the joint Gaussian they should be, and against the plant's own thermal network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from scipy.stats import multivariate_normal

from hwsim.controllers.information_directed.thermal_model import ThermalBelief, ThermalModel
from hwsim.errors import ConfigurationError
from hwsim.plant.thermal import ThermalNetwork

CANDIDATES = np.geomspace(5.0, 320.0, 13)


def model(time_constants: np.ndarray = CANDIDATES, **changes: object) -> ThermalModel:
    options: dict[str, object] = {
        "mean": np.array([40.0, 30.0, 8.0]),
        "deviations": np.array([10.0, 8.0, 4.0]),
        "drifts": np.array([0.01, 0.005, 0.002]),
        "sensor_deviation_kelvin": 0.5,
    }
    return ThermalModel(time_constants_seconds=time_constants, **(options | changes))  # type: ignore[arg-type]


def learned(thermal: ThermalModel, course: list[tuple[float, float, float]]) -> ThermalBelief:
    """Return the belief after (seconds, watts, reading at their end)."""
    belief = thermal.start()
    for seconds, watts, reading in course:
        belief = thermal.learn(thermal.advance(belief, seconds=seconds, watts=watts), reading)
    return belief


COURSE = [(2.0, 3.0, 47.0), (5.0, 1.0, 44.0), (1.0, 4.0, 46.5), (7.0, 0.5, 38.0)]


def test_the_filters_are_the_joint_gaussian_conditioned_on_all_readings() -> None:
    """Each state at each time as a linear map of the prior and all drifts: one large Gaussian, conditioned at once."""
    thermal = model(np.array([12.0, 60.0]))
    logs = []
    belief = learned(thermal, COURSE)
    for which, tau in enumerate((12.0, 60.0)):
        sources = 3 + 3 * len(COURSE)
        state = np.zeros((3, sources))
        state[:, :3] = np.diag(thermal.deviations)
        mean, rows, means = thermal.mean, [], []
        for step, (seconds, watts, _) in enumerate(COURSE):
            kept = np.exp(-seconds / tau)
            transition = np.array([[kept, 1 - kept, (1 - kept) * watts], [0, 1, 0], [0, 0, 1]])
            mean, state = transition @ mean, transition @ state
            state[:, 3 + 3 * step : 6 + 3 * step] += np.diag(thermal.drifts * np.sqrt(seconds))
            rows.append(state[0])
            means.append(mean[0])
        seen = np.array(rows) @ np.array(rows).T + 0.25 * np.eye(len(COURSE))
        readings = np.array([reading for _, _, reading in COURSE])
        gain = state @ np.array(rows).T @ np.linalg.inv(seen)
        assert belief.means[which] == pytest.approx(mean + gain @ (readings - means))
        assert belief.covariances[which] == pytest.approx(state @ state.T - gain @ np.array(rows) @ state.T, abs=1e-9)
        logs.append(multivariate_normal(means, seen).logpdf(readings))
    assert np.exp(belief.log_weights) == pytest.approx(np.exp(logs) / np.exp(logs).sum())


def test_a_forecast_is_where_advancing_would_lead() -> None:
    thermal = model()
    belief = learned(thermal, COURSE)
    forecast = thermal.forecast(belief, seconds=9.0, watts=np.array([0.0, 2.5]))
    for action, watts in enumerate((0.0, 2.5)):
        ahead = thermal.advance(belief, seconds=9.0, watts=watts)
        assert forecast.means[:, action] == pytest.approx(ahead.means[:, 0])
        assert forecast.deviations[:, action] ** 2 == pytest.approx(ahead.covariances[:, 0, 0])


def simulated(
    network: ThermalNetwork, watts: np.ndarray, seconds: float, generator: np.random.Generator, start: float = 25.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the die's true temperatures after each interval at 25 degC, and what a sensor of 0.5 K noise reads."""
    matrix = np.diag(network.ambient_conductances_watts_per_kelvin + network.conductances_watts_per_kelvin.sum(axis=1))
    matrix = (matrix - network.conductances_watts_per_kelvin) / network.capacities_joules_per_kelvin[:, None]
    rates, vectors = np.linalg.eig(matrix)
    decay = ((vectors * np.exp(-rates * seconds)) @ np.linalg.inv(vectors)).real
    rise, truths = np.full(len(network.nodes), start - 25.0), []
    for power in watts:
        steady = network.steady(np.array([power] + [0.0] * (len(network.nodes) - 1)))
        rise = steady + decay @ (rise - steady)
        truths.append(25.0 + rise[0])
    return np.array(truths), np.array(truths) + 0.5 * generator.standard_normal(len(watts))


ONE = ThermalNetwork(
    nodes=("die",),
    capacities_joules_per_kelvin=np.array([8.0]),
    conductances_watts_per_kelvin=np.zeros((1, 1)),
    ambient_conductances_watts_per_kelvin=np.array([0.2]),
)
"""40 s, 5 K/W."""
TWO = ThermalNetwork(
    nodes=("die", "board"),
    capacities_joules_per_kelvin=np.array([6.0, 60.0]),
    conductances_watts_per_kelvin=np.array([[0.0, 0.5], [0.5, 0.0]]),
    ambient_conductances_watts_per_kelvin=np.array([0.0, 0.2]),
)
"""A die of 12 s on a board of minutes: what one capacity cannot be."""


def test_resistance_ambient_and_time_constant_are_found() -> None:
    generator = np.random.default_rng(0)
    watts = np.repeat(generator.uniform(0, 5, size=40), 10)
    _, readings = simulated(ONE, watts, 2.0, generator)
    belief = learned(
        model(drifts=np.zeros(3)), [(2.0, power, reading) for power, reading in zip(watts, readings, strict=True)]
    )
    likely = belief.log_weights.argmax()
    assert CANDIDATES[likely] == pytest.approx(40.0, rel=0.01)
    assert belief.means[likely, 1:] == pytest.approx([25.0, 5.0], abs=0.2)
    assert np.all(np.abs(belief.means[likely, 1:] - [25.0, 5.0]) < 4 * np.sqrt(np.diag(belief.covariances[likely])[1:]))


def test_frequent_noisy_readings_are_not_taken_for_a_fast_time_constant() -> None:
    """Looks every 0.1 s at 0.5 K noise: the regression of readings on readings finds a time constant of a second."""
    generator = np.random.default_rng(1)
    watts = np.repeat(generator.uniform(0, 5, size=20), 150)
    _, readings = simulated(ONE, watts, 0.1, generator)
    regressed = np.linalg.lstsq(np.column_stack([readings[:-1], watts[1:], np.ones(len(watts) - 1)]), readings[1:])[0]
    assert -0.1 / np.log(regressed[0]) < 10
    belief = learned(model(drifts=np.zeros(3)), [(0.1, *each) for each in zip(watts, readings, strict=True)])
    assert CANDIDATES[belief.log_weights.argmax()] == pytest.approx(40.0, rel=0.5)


def test_switching_keeps_the_moments_of_the_whole() -> None:
    thermal = model(drifts=np.zeros(3), switches_per_second=0.05)
    belief = learned(model(), COURSE)
    switched = thermal.advance(belief, seconds=1e-9, watts=0.0)
    settled = thermal.advance(belief, seconds=1e6, watts=0.0)

    def moments(of: ThermalBelief) -> tuple[np.ndarray, np.ndarray]:
        weights = np.exp(of.log_weights)
        mean = weights @ of.means
        apart = of.means - mean
        return mean, np.einsum("j,jab->ab", weights, of.covariances + apart[:, :, None] * apart[:, None, :])

    (mean, covariance), (then_mean, then_covariance) = moments(belief), moments(settled)
    assert moments(switched)[0] == pytest.approx(mean, rel=1e-6)
    assert moments(switched)[1] == pytest.approx(covariance, rel=1e-6)
    # The die has cooled down by then; what is believed of ambient and resistance is as it was.
    assert then_mean[1:] == pytest.approx(mean[1:])
    assert then_covariance[1:, 1:] == pytest.approx(covariance[1:, 1:])
    assert np.exp(settled.log_weights) == pytest.approx(np.full(len(CANDIDATES), 1 / len(CANDIDATES)))


def test_a_fan_that_stops_is_followed() -> None:
    generator = np.random.default_rng(2)
    stopped = ThermalNetwork(
        nodes=("die",),
        capacities_joules_per_kelvin=np.array([8.0]),
        conductances_watts_per_kelvin=np.zeros((1, 1)),
        ambient_conductances_watts_per_kelvin=np.array([0.1]),
    )
    watts = np.repeat(generator.uniform(1, 5, size=40), 10)
    truths, before = simulated(ONE, watts[:200], 2.0, generator)
    _, after = simulated(stopped, watts[200:], 2.0, generator, start=truths[-1])
    found = {}
    readings = np.concatenate([before, after])
    for drift, rate in ((0.0, 0.0), (0.1, 0.0003)):
        thermal = model(drifts=np.array([0.0, 0.0, drift]), switches_per_second=rate)
        belief = learned(thermal, [(2.0, *each) for each in zip(watts, readings, strict=True)])
        found[drift] = np.exp(belief.log_weights) @ belief.means[:, 2], CANDIDATES[belief.log_weights.argmax()]
    assert found[0.1] == (pytest.approx(10.0, abs=0.6), pytest.approx(80.0))
    assert abs(found[0.0][0] - 10.0) > 2


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 2**32 - 1))
def test_forecasts_are_calibrated(seed: int) -> None:
    """Devices drawn from the prior: ranks of the truth are uniform (mean 1/2, 80 % in the middle)."""
    generator, ranks = np.random.default_rng(seed), []
    thermal = model(np.array([20.0, 80.0]), drifts=np.zeros(3))
    for _ in range(100):
        die, ambient, resistance = thermal.mean + thermal.deviations * generator.standard_normal(3)
        tau = float(generator.choice([20.0, 80.0]))
        belief = thermal.start()
        for power in generator.uniform(0, 5, size=5):
            kept = np.exp(-10 / tau)
            die = kept * die + (1 - kept) * (ambient + resistance * power)
            belief = thermal.advance(belief, seconds=10.0, watts=power)
            belief = thermal.learn(belief, die + 0.5 * generator.standard_normal())
        forecast = thermal.forecast(belief, seconds=30.0, watts=np.array([4.0]))
        kept = np.exp(-30 / tau)
        truth = kept * die + (1 - kept) * (ambient + resistance * 4.0)
        ranks.append(
            float(np.exp(forecast.log_weights) @ ndtr((truth - forecast.means[:, 0]) / forecast.deviations[:, 0]))
        )
    assert np.mean(ranks) == pytest.approx(0.5, abs=5 * np.sqrt(1 / 12 / 100))
    assert np.mean(np.abs(np.array(ranks) - 0.5) < 0.4) == pytest.approx(0.8, abs=5 * np.sqrt(0.16 / 100))


def test_two_nodes_are_predicted_well_enough_for_a_shield() -> None:
    """Where the device has a board behind its die: ten seconds ahead, seldom wrong by more than three deviations."""
    generator = np.random.default_rng(5)
    watts = np.repeat(generator.uniform(0, 5, size=60), 10)
    truths, readings = simulated(TWO, watts, 1.0, generator)
    thermal = model(drifts=np.array([0.2, 0.1, 0.02]), switches_per_second=0.001)
    belief, errors, deviations = thermal.start(), [], []
    for step, (power, reading) in enumerate(zip(watts, readings, strict=True)):
        if step >= 100 and step % 10 == 0:
            means, spread = thermal.forecast(belief, seconds=10.0, watts=np.array([power])).moments()
            errors.append(means[0] - truths[step + 9])
            deviations.append(spread[0])
        belief = thermal.learn(thermal.advance(belief, seconds=1.0, watts=power), reading)
    assert np.sqrt(np.mean(np.square(errors))) < 1.0
    assert np.mean(np.abs(errors) < 3 * np.array(deviations)) > 0.97
    assert np.mean(deviations) < 3


@pytest.mark.parametrize(
    "changes",
    [
        {"time_constants": np.array([0.0, 1.0])},
        {"time_constants": np.array([])},
        {"deviations": np.array([1.0, 0.0, 1.0])},
        {"drifts": np.array([0.0, -1.0, 0.0])},
        {"sensor_deviation_kelvin": 0.0},
        {"switches_per_second": -1.0},
    ],
)
def test_priors_that_are_none_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="thermal model"):
        model(**changes)  # type: ignore[arg-type]
