"""Clocks and whole picoseconds."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigurationError
from hwsim.plant.operating_points import OperatingPoint, OperatingPoints, cycles_done, duration_picoseconds

POINTS = OperatingPoints(
    points=tuple(OperatingPoint(frequency_hertz=hertz, voltage_volts=1.0) for hertz in (100, 200, 125))
)
CYCLES, FREQUENCIES = st.integers(0, 10**15), st.integers(1, 10**11)


@given(cycles=CYCLES, frequency=FREQUENCIES)
def test_durations_are_exact(cycles: int, frequency: int) -> None:
    duration = duration_picoseconds(cycles, frequency)
    assert duration == ceil(Fraction(cycles * 10**12, frequency))
    assert cycles_done(duration, frequency) == cycles


@given(cycles=CYCLES, first=FREQUENCIES, second=FREQUENCIES, data=st.data())
def test_a_change_of_the_clock_loses_no_cycle_and_less_than_one_cycle_of_time(
    cycles: int, first: int, second: int, data: st.DataObject
) -> None:
    elapsed = data.draw(st.integers(0, duration_picoseconds(cycles, first)))
    done = cycles_done(elapsed, first)
    assert 0 <= done <= cycles
    total = elapsed + duration_picoseconds(cycles - done, second)
    fluid = elapsed + (cycles - Fraction(elapsed * first, 10**12)) * Fraction(10**12, second)
    assert fluid <= total < fluid + Fraction(10**12, second) + 1


def test_points_are_fastest_first() -> None:
    assert [point.frequency_hertz for point in POINTS.points] == [200, 125, 100]
    assert POINTS.fastest.frequency_hertz == 200


@pytest.mark.parametrize(
    ("limits", "chosen"),
    [((), 200), ((None, None), 200), ((150, None), 125), ((200, 125), 125), ((100, 199), 100), ((99,), 100)],
)
def test_the_clock_is_the_fastest_within_request_and_cap(limits: tuple[int | None, ...], chosen: int) -> None:
    assert POINTS.at_most(*limits).frequency_hertz == chosen


@pytest.mark.parametrize(("frequencies", "message"), [((), "one or more"), ((0,), "above 0"), ((5, 5), "given twice")])
def test_impossible_operating_points_are_refused(frequencies: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        OperatingPoints(points=tuple(OperatingPoint(frequency_hertz=hertz, voltage_volts=1.0) for hertz in frequencies))
