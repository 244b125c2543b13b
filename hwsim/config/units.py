"""Numbers with units as people write them: ``3.2 pJ``, ``15 K/W``; exact until the last step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from bitmixer.documents import shown
from bitmixer.errors import did_you_mean

PICOSECONDS_PER_SECOND = 10**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """What a field measures.

    Attributes:
        name: Its name in error messages, with its article.
        unit: The unit in which values are held; empty for plain numbers.
        units: Units to offer to a reader whose unit is wrong.
        example: A value as it would be written.
    """

    name: str
    unit: str
    units: tuple[str, ...]
    example: str


DURATION = Dimension(name="a duration", unit="s", units=("ps", "ns", "us", "ms", "s", "min", "h"), example="5 ms")
FREQUENCY = Dimension(name="a frequency", unit="Hz", units=("Hz", "kHz", "MHz", "GHz"), example="200 MHz")
VOLTAGE = Dimension(name="a voltage", unit="V", units=("mV", "V"), example="0.9 V")
ENERGY = Dimension(name="an energy", unit="J", units=("fJ", "pJ", "nJ", "uJ", "mJ", "J"), example="3.2 pJ")
POWER = Dimension(name="a power", unit="W", units=("uW", "mW", "W"), example="1.1 W")
TEMPERATURE = Dimension(name="a temperature", unit="degC", units=("degC",), example="25 degC")
TEMPERATURE_DIFFERENCE = Dimension(name="a temperature difference", unit="K", units=("mK", "K"), example="0.5 K")
THERMAL_RESISTANCE = Dimension(name="a thermal resistance", unit="K/W", units=("K/W", "K/mW"), example="15 K/W")
HEAT_CAPACITY = Dimension(name="a heat capacity", unit="J/K", units=("mJ/K", "J/K"), example="0.6 J/K")
SLOPE = Dimension(name="a relative slope per kelvin", unit="1/K", units=("1/K",), example="0.0185 1/K")
DATA_RATE = Dimension(name="a data rate", unit="bit/s", units=("bit/s", "MB/s", "GB/s"), example="2.1 GB/s")
PORT_WIDTH = Dimension(name="a port width", unit="bit/cycle", units=("bit/cycle", "B/cycle"), example="64 bit/cycle")
LANES = Dimension(name="a rate of elements", unit="element/cycle", units=("element/cycle",), example="64 element/cycle")
LENGTH = Dimension(name="a process node", unit="m", units=("nm", "um"), example="45 nm")
CHARGE = Dimension(name="a charge", unit="A*s", units=("mAh", "Ah"), example="2000 mAh")
RATE = Dimension(name="a rate", unit="1/s", units=("1/s", "1/h"), example="0.5 1/h")
COUNT = Dimension(name="a number", unit="", units=(), example="8")
FRACTION = Dimension(name="a fraction", unit="", units=(), example="0.75")

_POWERS_OF_TEN = dict(zip(["T", "G", "M", "k", "", "m", "u", "n", "p", "f"], range(12, -16, -3), strict=True))
_PREFIXED: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "s": (1, {"s": 1}),
    "Hz": (1, {"s": -1}),
    "J": (1, {"J": 1}),
    "W": (1, {"J": 1, "s": -1}),
    "V": (1, {"V": 1}),
    "A": (1, {"A": 1}),
    "Ah": (3600, {"A": 1, "s": 1}),
    "K": (1, {"K": 1}),
    "m": (1, {"m": 1}),
    "bit": (1, {"bit": 1}),
    "B": (8, {"bit": 1}),
}
_UNPREFIXED: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "1": (1, {}),
    "min": (60, {"s": 1}),
    "h": (3600, {"s": 1}),
    "cycle": (1, {"cycle": 1}),
    "element": (1, {"element": 1}),
    "degC": (1, {"degC": 1}),
    "°C": (1, {"degC": 1}),
}
_SYMBOLS: Mapping[str, tuple[Fraction, Mapping[str, int]]] = {
    **{
        prefix + unit: (scale * Fraction(10) ** power_of_ten, powers)
        for unit, (scale, powers) in _PREFIXED.items()
        for prefix, power_of_ten in _POWERS_OF_TEN.items()
    },
    **{unit: (Fraction(scale), powers) for unit, (scale, powers) in _UNPREFIXED.items()},
}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][-+]?\d{1,2})?)\s*(\S.*?)?\s*")


def parse_quantity(given: object, dimension: Dimension) -> Fraction:
    """Return ``given`` in the unit of ``dimension``, exactly.

    A plain number is accepted only where the dimension has no unit, and is then needed.

    Raises:
        ValueError: Not a number, without a unit, or of another dimension; the message says what to write.
    """
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise ValueError(f"{shown(given)} is not {dimension.name}: write for example {dimension.example}")
    if not isinstance(given, str):
        if dimension.unit:
            raise ValueError(f"{given} has no unit: {dimension.name} needs one, write for example {dimension.example}")
        return Fraction(str(given))
    match = _QUANTITY.fullmatch(given)
    if not dimension.unit:
        raise ValueError(f"{given!r} is not a plain number: write for example {dimension.example}")
    if match is None:
        raise ValueError(f"{given!r} is not {dimension.name}: write for example {dimension.example}")
    number, unit = match.groups()
    if unit is None:
        raise ValueError(f"{number!r} has no unit: {dimension.name} needs one, write for example {dimension.example}")
    return Fraction(number) * _scale(unit, dimension)


def _scale(unit: str, dimension: Dimension) -> Fraction:
    try:
        scale, powers = _unit(unit)
    except KeyError:
        known = did_you_mean(unit, dimension.units)
        raise ValueError(
            f"unknown unit {unit!r}: expected {dimension.name}, for example {dimension.example}; {known}"
        ) from None
    if powers != _unit(dimension.unit)[1]:
        expected = f"expected {dimension.name} in {', '.join(dimension.units)}"
        raise ValueError(f"unit {unit!r} measures something else: {expected}, for example {dimension.example}")
    return scale


def _unit(text: str) -> tuple[Fraction, Mapping[str, int]]:
    """Return the scale and the base units of a product such as ``GB/s``."""
    scale, powers = Fraction(1), Counter[str]()
    for operator, symbol in re.findall(r"([/*]?)([^/*]*)", f"*{text}")[:-1]:
        factor, base = _SYMBOLS[symbol.strip()]
        sign = -1 if operator == "/" else 1
        scale *= factor**sign
        for unit, power in base.items():
            powers[unit] += sign * power
    return scale, {unit: power for unit, power in powers.items() if power}
