"""What changes around a device: straight pieces, with their corners known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigurationError
from hwsim.plant.time_series import PiecewiseLinear, Sine

SECOND = 10**12
DAY = PiecewiseLinear(points=((10 * SECOND, 20.0), (20 * SECOND, 40.0), (30 * SECOND, 60.0), (40 * SECOND, 50.0)))


def test_constant() -> None:
    air = PiecewiseLinear.constant(25.0)
    assert [air.value_at(time) for time in (-1, 0, 10**18)] == [25.0, 25.0, 25.0]
    assert air.slope_per_second_at(5) == 0.0
    assert air.knots == ()


@pytest.mark.parametrize(
    ("second", "temperature", "slope"),
    [
        (0, 20, 0),
        (10, 20, 2),
        (15, 30, 2),
        (20, 40, 2),
        (29, 58, 2),
        (30, 60, -1),
        (35, 55, -1),
        (40, 50, 0),
        (99, 50, 0),
    ],
)
def test_values_and_slopes_by_hand(second: int, temperature: float, slope: float) -> None:
    assert DAY.value_at(second * SECOND) == pytest.approx(temperature)
    assert DAY.slope_per_second_at(second * SECOND) == pytest.approx(slope)


def test_knots_are_where_the_slope_changes() -> None:
    assert DAY.knots == (10 * SECOND, 30 * SECOND, 40 * SECOND)  # not at 20 s: the line goes straight on


def test_knots_between_exclude_both_ends() -> None:
    assert DAY.knots_between(10 * SECOND, 40 * SECOND) == (30 * SECOND,)
    assert DAY.knots_between(0, 100 * SECOND) == DAY.knots


@given(start=st.integers(0, 50 * SECOND), length=st.integers(1, SECOND))
def test_between_knots_the_slope_leads_from_one_temperature_to_the_next(start: int, length: int) -> None:
    if DAY.knots_between(start, start + length):
        length = DAY.knots_between(start, start + length)[0] - start
    reached = DAY.value_at(start) + DAY.slope_per_second_at(start) * length / SECOND
    assert reached == pytest.approx(DAY.value_at(start + length), abs=1e-11)


@pytest.mark.parametrize("points", [(), ((0, 1.0), (0, 2.0)), ((5, 1.0), (4, 2.0))])
def test_points_must_ascend(points: tuple[tuple[int, float], ...]) -> None:
    with pytest.raises(ConfigurationError, match="strictly ascending"):
        PiecewiseLinear(points=points)


PERIODS = st.integers(1_000, 40 * 3600 * SECOND)


@given(
    mean=st.floats(-20, 60), amplitude=st.floats(0, 30), period=PERIODS, peak=st.integers(0, 40 * 3600 * SECOND),
    tolerance=st.sampled_from([1e-3, 0.1, 5.0]), time=st.integers(0, 100 * 3600 * SECOND),
)  # fmt: skip
def test_chords_of_a_sine_stay_within_the_tolerance(
    mean: float, amplitude: float, period: int, peak: int, tolerance: float, time: int
) -> None:
    series = Sine(
        mean=mean, amplitude=amplitude, period_picoseconds=period, peak_picoseconds=peak, tolerance=tolerance
    )  # fmt: skip
    # Whole picoseconds: a knot is off by less than one of them.
    rounding = 2 * math.pi * amplitude / period
    exact = mean + amplitude * math.cos(2 * math.pi * ((time - peak) % period) / period)
    assert abs(series.value_at(time) - exact) <= tolerance + rounding + 1e-9
    assert series.value_at(peak) == pytest.approx(mean + amplitude, abs=1e-9)


@given(start=st.integers(0, 10**13), length=st.integers(1, 10**13), period=st.integers(10**11, 10**14))
def test_a_sine_is_straight_between_its_knots(start: int, length: int, period: int) -> None:
    series = Sine(mean=20.0, amplitude=8.0, period_picoseconds=period, peak_picoseconds=10**12, tolerance=0.05)
    knots = series.knots_between(start, start + length)
    assert all(start < knot < start + length for knot in knots)
    assert list(knots) == sorted(set(knots))
    for begin, end in zip((start, *knots), (*knots, start + length), strict=True):
        reached = series.value_at(begin) + series.slope_per_second_at(begin) * (end - begin) / SECOND
        assert reached == pytest.approx(series.value_at(end), abs=1e-9)


def test_a_sine_takes_as_many_chords_as_its_tolerance_needs() -> None:
    day = Sine(mean=25.0, amplitude=8.0, period_picoseconds=86_400 * SECOND, peak_picoseconds=0, tolerance=1e-3)
    # 2 pi sqrt(8 / 0.008) = 198.7
    assert len(day.knots_between(0, 86_400 * SECOND)) == 198
    times = [int(time) for time in np.linspace(0, 86_400 * SECOND, 5000)]
    worst = max(abs(day.value_at(time) - 25 - 8 * math.cos(2 * math.pi * time / (86_400 * SECOND))) for time in times)
    assert 0.9e-3 < worst <= 1e-3


@pytest.mark.parametrize("bad", [{"amplitude": -1.0}, {"tolerance": 0.0}, {"period_picoseconds": 3}])
def test_impossible_sines_are_refused(bad: dict[str, float]) -> None:
    good = {"mean": 0.0, "amplitude": 1.0, "period_picoseconds": 10**12, "peak_picoseconds": 0, "tolerance": 0.1}
    with pytest.raises(ConfigurationError, match="sine: expected an amplitude"):
        Sine(**{**good, **bad})  # type: ignore[arg-type]
