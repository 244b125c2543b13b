"""Sensors: what a device is allowed to know."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigurationError, InvariantError
from hwsim.plant.sensors import Sensor, SensorChannel


def generator() -> np.random.Generator:
    return np.random.default_rng(3)


def test_a_perfect_sensor_tells_the_truth() -> None:
    assert Sensor(period_picoseconds=1).sample(61.234, generator()) == 61.234


@given(truth=st.floats(-40, 125), step=st.sampled_from([0.123, 0.25, 1.0]))
def test_samples_lie_on_the_grid_and_within_half_a_step(truth: float, step: float) -> None:
    sample = Sensor(period_picoseconds=1, step=step).sample(truth, generator())
    assert sample / step == pytest.approx(round(sample / step), abs=1e-9)
    assert abs(sample - truth) <= step / 2 + 1e-12


def test_noise_has_the_given_deviation_and_no_bias() -> None:
    draws = generator()
    sensor = Sensor(period_picoseconds=1, noise=0.25, step=0.123)
    samples = np.array([sensor.sample(60.0, draws) for _ in range(4000)])
    assert samples.mean() == pytest.approx(60.0, abs=0.02)
    assert samples.std() == pytest.approx(np.hypot(0.25, 0.123 / np.sqrt(12)), rel=0.05)


def test_the_noise_level_does_not_move_later_draws() -> None:
    quiet, noisy = generator(), generator()
    Sensor(period_picoseconds=1).sample(60.0, quiet)
    Sensor(period_picoseconds=1, noise=2.0).sample(60.0, noisy)
    assert quiet.random() == noisy.random()


@given(
    period=st.integers(1, 50),
    delay=st.integers(0, 200),
    reads=st.lists(st.integers(0, 1000), min_size=1, max_size=20).map(sorted),
)
def test_a_reading_is_the_last_sample_that_is_old_enough(period: int, delay: int, reads: list[int]) -> None:
    channel = SensorChannel(Sensor(period_picoseconds=period, delay_picoseconds=delay))
    next_sample = 0
    for time in reads:
        while next_sample <= time:
            channel.sample(next_sample, float(next_sample), generator())
            next_sample += period
        assert channel.read(time) == max(0, (time - delay) // period * period)


def test_reading_before_any_sample_is_an_error() -> None:
    with pytest.raises(InvariantError, match="before its first sample"):
        SensorChannel(Sensor(period_picoseconds=1)).read(0)


@pytest.mark.parametrize("bad", [{"period_picoseconds": 0}, {"step": -1.0}, {"delay_picoseconds": -1}])
def test_impossible_sensors_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="expected a period above 0"):
        Sensor(**{"period_picoseconds": 1, **bad})
