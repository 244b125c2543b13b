"""Values with units, and a profile's numbers: each with its source, or marked as an assumption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PrivateAttr
from pydantic_core import CoreSchema, core_schema

from bitmixer.documents import Problem, Section, Text, key_of, shown
from hwsim.config import units
from hwsim.config.units import PICOSECONDS_PER_SECOND, Dimension, parse_quantity

Number = TypeVar("Number", int, float)

_TWO_FORMS = (
    'write {{value: {0}, source: "where it was published"}} or {{value: {0}, assumption: "why", range: [low, high]}}'
)


_HELD_UNITS = {("s", PICOSECONDS_PER_SECOND): "ps", ("m", 10**9): "nm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Marks a field that is written with a unit and held as a plain number.

    Attributes:
        dimension: What it measures.
        per_unit: Held value per unit of the dimension (10^12 for seconds held as picoseconds).
        whole: Whether the held value is a whole number.
        above: Bound that the value, in the dimension's unit, must exceed.
        at_least: Bound that it must reach.
        at_most: Bound that it must not exceed.
    """

    dimension: Dimension
    per_unit: int = 1
    whole: bool = False
    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    def read(self, given: object) -> float:
        """Return the held value of what a file says.

        Raises:
            ValueError: Not this dimension, out of bounds, or between two whole numbers.
        """
        if given is None:
            raise ValueError(f"is not filled in: {self.expectation()}")
        value = parse_quantity(given, self.dimension)
        if bound := self._broken_bound(float(value)):
            raise ValueError(f"{given} is out of bounds: {self.dimension.name} here must be {bound}")
        held = value * self.per_unit
        if not self.whole:
            return float(held)
        if held.denominator != 1:
            unit = _HELD_UNITS.get((self.dimension.unit, self.per_unit), self.dimension.unit)
            raise ValueError(f"{given} is not a whole number{f' of {unit}' if unit else ''}: round it")
        return held.numerator

    def expectation(self) -> str:
        """Return what must be written where the value is missing."""
        return f"expected {self.form()}"

    def form(self) -> str:
        """Return what is measured, with an example; the bounds instead where the usual example is beyond them."""
        example = self.dimension.example
        usual = parse_quantity(example if self.dimension.unit else float(example), self.dimension)
        if self._broken_bound(float(usual)):
            return f"{self.dimension.name} from {self.at_least:g} to {self.at_most:g}"
        return f"{self.dimension.name}, for example {example}"

    def _broken_bound(self, value: float) -> str:
        if self.above is not None and value <= self.above:
            bound = f"above {self.above:.10g}"
        elif self.at_least is not None and value < self.at_least:
            bound = f"at least {self.at_least:.10g}"
        elif self.at_most is not None and value > self.at_most:
            bound = f"at most {self.at_most:.10g}"
        else:
            return ""
        return f"{bound} {self.dimension.unit}".rstrip()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        if self.dimension.unit:
            return {
                "type": "string",
                "description": self.dimension.name,
                "examples": [self.dimension.example],
            }
        return {"type": "integer" if self.whole else "number"}


def measured(kind: Any) -> Measured:
    """Return what a type of this module measures: ``measured(Celsius)`` is a temperature."""
    return next(part for part in get_args(kind) if isinstance(part, Measured))


def written(text: str) -> Any:
    """Return the default of a field that is written with a unit, as a file would write it."""
    return Field(default=text, validate_default=True)


_LONGEST_SECONDS = 9_000_000
"""A quarter of a year: records hold picoseconds in 64 bits."""


def _picoseconds(*, at_least: float | None = None, above: float | None = None) -> Measured:
    return Measured(
        dimension=units.DURATION,
        per_unit=PICOSECONDS_PER_SECOND,
        whole=True,
        at_least=at_least,
        above=above,
        at_most=_LONGEST_SECONDS,
    )


Picoseconds = Annotated[int, _picoseconds(at_least=0)]
PositivePicoseconds = Annotated[int, _picoseconds(above=0)]
Hertz = Annotated[int, Measured(dimension=units.FREQUENCY, whole=True, above=0)]
Nanometres = Annotated[int, Measured(dimension=units.LENGTH, per_unit=10**9, whole=True, above=0)]
Rate = Annotated[float, Measured(dimension=units.FREQUENCY, at_least=0)]
PositiveRate = Annotated[float, Measured(dimension=units.FREQUENCY, above=0)]
Volts = Annotated[float, Measured(dimension=units.VOLTAGE, above=0)]
Joules = Annotated[float, Measured(dimension=units.ENERGY, at_least=0)]
Watts = Annotated[float, Measured(dimension=units.POWER, at_least=0)]
Celsius = Annotated[float, Measured(dimension=units.TEMPERATURE, above=-273.15)]
Kelvin = Annotated[float, Measured(dimension=units.TEMPERATURE_DIFFERENCE, at_least=0)]
KelvinPerWatt = Annotated[float, Measured(dimension=units.THERMAL_RESISTANCE, above=0)]
JoulesPerKelvin = Annotated[float, Measured(dimension=units.HEAT_CAPACITY, above=0)]
PerKelvin = Annotated[float, Measured(dimension=units.SLOPE, at_least=0)]
BitsPerSecond = Annotated[float, Measured(dimension=units.DATA_RATE, above=0)]
DataRate = Annotated[float, Measured(dimension=units.DATA_RATE, at_least=0)]
BitsPerCycle = Annotated[int, Measured(dimension=units.PORT_WIDTH, whole=True, above=0)]
ElementsPerCycle = Annotated[int, Measured(dimension=units.LANES, whole=True, above=0)]
PositiveCount = Annotated[int, Measured(dimension=units.COUNT, whole=True, at_least=1)]
Count = Annotated[int, Measured(dimension=units.COUNT, whole=True, at_least=0)]
Whole = Annotated[int, Measured(dimension=units.COUNT, whole=True)]
PerSecond = Annotated[float, Measured(dimension=units.RATE, above=0)]
Coulombs = Annotated[float, Measured(dimension=units.CHARGE, above=0)]
Fraction = Annotated[float, Measured(dimension=units.FRACTION, at_least=0, at_most=1)]
PositiveFraction = Annotated[float, Measured(dimension=units.FRACTION, above=0, at_most=1)]


class Quantity(Section, Generic[Number]):
    """A number of a profile: published or measured somewhere, or assumed for a reason and within a range.

    Attributes:
        value: The number in the unit that the field's name ends in.
        source: Where it was published or measured.
        assumption: Why this value was assumed; excludes ``source`` and needs ``range``.
        range: Lowest and highest plausible value.
    """

    value: Number
    source: Text | None = None
    assumption: Text | None = None
    range: tuple[Number, Number] | None = None
    _value_text: str = PrivateAttr("")
    _range_text: str = PrivateAttr("")

    @property
    def text(self) -> str:
        """The value as the file writes it."""
        return self._value_text

    @property
    def range_text(self) -> str:
        """The range as the file writes it; empty where there is none."""
        return self._range_text

    @classmethod
    def expectation(cls) -> str:
        """Return the two forms in which a number can be given."""
        return _TWO_FORMS.format(cls._example())

    @classmethod
    def not_a_mapping(cls, given: object) -> str:
        """Return the sentence for a number that stands alone."""
        if isinstance(given, str | int | float) and not isinstance(given, bool):
            return f"a number without a source: {_TWO_FORMS.format(given)}"
        return f"expected a number with its source, got {shown(given)}: {cls.expectation()}"

    def keep_text(self, given: Mapping[str, object]) -> None:
        """Keep the value and the range as they were written."""
        self._value_text = str(given["value"])
        ends = given.get("range")
        if isinstance(ends, Sequence):
            self._range_text = f"[{', '.join(map(str, ends))}]"

    def contradictions(self) -> Iterator[Problem]:
        """Yield a missing or doubled origin, and a range that is missing or does not hold the value."""
        if self.source is None and self.assumption is None:
            yield Problem((), f"a number without a source: {_TWO_FORMS.format(self.text)}")
        if self.source is not None and self.assumption is not None:
            yield Problem(
                ("assumption",),
                "a number is either published or assumed: keep source or assumption, not both",
            )
        if self.assumption is not None and self.range is None:
            yield Problem((), f"an assumption without a range: add range: [low, high] around {self.text}")
        if self.range is not None and self.range[0] > self.range[1]:
            yield Problem(("range",), f"{self.range_text} runs backwards: write the lowest plausible value first")
        elif self.range is not None and not self.range[0] <= self.value <= self.range[1]:
            yield Problem(
                ("value",),
                f"{self.text} lies outside of {self.range_text}: correct it, or widen its range beside it",
            )

    @classmethod
    def form(cls) -> str:
        """Return what the value is, and how it is written: ``a power, for example 1.1 W``."""
        return next(part for part in cls.model_fields["value"].metadata if isinstance(part, Measured)).form()

    @classmethod
    def _example(cls) -> str:
        marks = [part for part in cls.model_fields["value"].metadata if isinstance(part, Measured)]
        return marks[0].dimension.example if marks else "..."


def quantities(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Quantity[Any]]]:
    """Yield every quantity within a section, with its dotted path as a file would name it."""
    match value:
        case Quantity():
            yield ".".join(path), value
        case Section():
            for field in type(value).model_fields:
                yield from quantities(getattr(value, field), (*path, key_of(field)))
        case Mapping():
            for key, item in value.items():
                yield from quantities(item, (*path, key))
        case tuple():
            for position, item in enumerate(value):
                yield from quantities(item, (*path, str(position)))
