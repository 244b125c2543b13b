"""Quantities with units: exact values, and errors that name the units that would do."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.documents.section import Section
from hwsim.config import units
from hwsim.config.quantity import Hertz, Picoseconds
from hwsim.config.units import Dimension, parse_quantity


class Clock(Section):
    period_picoseconds: Picoseconds
    frequency_hertz: Hertz


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("3.2 pJ", units.ENERGY, 3.2e-12),
        ("15 K/W", units.THERMAL_RESISTANCE, 15.0),
        ("30.8 J/K", units.HEAT_CAPACITY, 30.8),
        ("200 MHz", units.FREQUENCY, 2e8),
        ("25 degC", units.TEMPERATURE, 25.0),
        ("-5 degC", units.TEMPERATURE, -5.0),
        ("1.575 GB/s", units.DATA_RATE, 12.6e9),
        ("64 bit/cycle", units.PORT_WIDTH, 64.0),
        ("8 B/cycle", units.PORT_WIDTH, 64.0),
        ("0.0185 1/K", units.SLOPE, 0.0185),
        ("10us", units.DURATION, 1e-5),
        (".5 h", units.DURATION, 1800.0),
        ("1e-3 W", units.POWER, 1e-3),
        ("1 J/s", units.POWER, 1.0),
        (0.75, units.FRACTION, 0.75),
    ],
)
def test_quantities_are_held_in_si(text: str | float, dimension: Dimension, value: float) -> None:
    assert float(parse_quantity(text, dimension)) == value


def test_durations_are_exact_picoseconds() -> None:
    clock = Clock.model_validate({"period": "33.333 ms", "frequency": "62.5 MHz"})
    assert clock.period_picoseconds == 33_333_000_000
    assert type(clock.period_picoseconds) is int
    assert clock.frequency_hertz == 62_500_000


@given(
    number=st.decimals(min_value=-(10**6), max_value=10**6, allow_nan=False, places=6),
    unit=st.sampled_from([("ps", -12), ("ns", -9), ("us", -6), ("ms", -3), ("s", 0)]),
)
def test_prefixes_scale_exactly(number: object, unit: tuple[str, int]) -> None:
    symbol, power = unit
    assert parse_quantity(f"{number:f} {symbol}", units.DURATION) == Fraction(str(number)) * Fraction(10) ** power


@pytest.mark.parametrize(
    ("text", "dimension", "words"),
    [
        (5, units.DURATION, ["5 has no unit", "a duration", "write for example 5 ms"]),
        ("5", units.DURATION, ["no unit", "write for example 5 ms"]),
        ("5 MHz", units.DURATION, ["'MHz' measures something else", "expected a duration in", "ms", "5 ms"]),
        ("5 msec", units.DURATION, ["unknown unit 'msec'", "did you mean 'ms'?"]),
        ("200 Mhz", units.FREQUENCY, ["unknown unit 'Mhz'", "did you mean 'MHz'?"]),
        ("300 K", units.TEMPERATURE, ["'K' measures something else", "degC"]),
        ("15 W/K", units.THERMAL_RESISTANCE, ["'W/K' measures something else", "15 K/W"]),
        ("15 K/", units.THERMAL_RESISTANCE, ["unknown unit 'K/'"]),
        ("fast", units.FREQUENCY, ["'fast' is not a frequency", "200 MHz"]),
        ("nan ms", units.DURATION, ["'nan ms' is not a duration"]),
        ("1e999 s", units.DURATION, ["expected a duration"]),
        (None, units.POWER, ["nothing is not a power"]),
        (True, units.COUNT, ["true is not a number"]),
        ("75 %", units.FRACTION, ["'75 %' is not a plain number", "0.75"]),
        ([1, 2], units.POWER, ["a list of 2 is not a power"]),
    ],
)
def test_what_is_no_such_quantity_says_what_to_write(text: object, dimension: Dimension, words: list[str]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_quantity(text, dimension)
    for word in words:
        assert word in str(caught.value)


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_a_clear_error(text: str) -> None:
    try:
        outcome: object = parse_quantity(text, units.DURATION)
    except ValueError as error:
        outcome = str(error)
    assert isinstance(outcome, Fraction) or "for example 5 ms" in str(outcome)


@pytest.mark.parametrize(
    ("period", "words"),
    [
        ("0.5 ps", "0.5 ps is not a whole number of ps"),
        ("-1 ms", "must be at least 0 s"),
        ("1e30 s", "must be at most 9000000 s"),
    ],
)
def test_durations_outside_of_what_records_hold_are_refused(period: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Clock.model_validate({"period": period, "frequency": "1 MHz"})
