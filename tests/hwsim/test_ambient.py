"""The air around the device: piecewise linear, with its corners known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigurationError
from hwsim.plant.ambient import Ambient

SECOND = 10**12
DAY = Ambient(points=((10 * SECOND, 20.0), (20 * SECOND, 40.0), (30 * SECOND, 60.0), (40 * SECOND, 50.0)))


def test_constant() -> None:
    air = Ambient.constant(25.0)
    assert [air.temperature_celsius(time) for time in (-1, 0, 10**18)] == [25.0, 25.0, 25.0]
    assert air.slope_kelvin_per_second(5) == 0.0
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
    assert DAY.temperature_celsius(second * SECOND) == pytest.approx(temperature)
    assert DAY.slope_kelvin_per_second(second * SECOND) == pytest.approx(slope)


def test_knots_are_where_the_slope_changes() -> None:
    assert DAY.knots == (10 * SECOND, 30 * SECOND, 40 * SECOND)  # not at 20 s: the line goes straight on


def test_knots_between_exclude_both_ends() -> None:
    assert DAY.knots_between(10 * SECOND, 40 * SECOND) == (30 * SECOND,)
    assert DAY.knots_between(0, 100 * SECOND) == DAY.knots


@given(start=st.integers(0, 50 * SECOND), length=st.integers(1, SECOND))
def test_between_knots_the_slope_leads_from_one_temperature_to_the_next(start: int, length: int) -> None:
    if DAY.knots_between(start, start + length):
        length = DAY.knots_between(start, start + length)[0] - start
    reached = DAY.temperature_celsius(start) + DAY.slope_kelvin_per_second(start) * length / SECOND
    assert reached == pytest.approx(DAY.temperature_celsius(start + length), abs=1e-11)


@pytest.mark.parametrize("points", [(), ((0, 1.0), (0, 2.0)), ((5, 1.0), (4, 2.0))])
def test_points_must_ascend(points: tuple[tuple[int, float], ...]) -> None:
    with pytest.raises(ConfigurationError, match="strictly ascending"):
        Ambient(points=points)
