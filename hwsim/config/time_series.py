"""Whatever changes over time around a device: constant, from point to point, a ramp, a sine, or from a file.

``Value`` is what changes (degrees Celsius, say) and ``Difference`` how far it can move (kelvin).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field

from bitmixer.documents import Problem, Section, Text
from hwsim.config.input_file import InputFile
from hwsim.config.quantity import (
    Celsius,
    Kelvin,
    Measured,
    Picoseconds,
    PositivePicoseconds,
    Watts,
    measured,
    written,
)
from hwsim.config.timed_rows import TIME
from hwsim.errors import ConfigurationError

Value = TypeVar("Value", bound=float)
Difference = TypeVar("Difference", bound=float)


class PiecewiseLinear(Section, Generic[Value]):
    """Runs straight from point to point, and keeps the last value.

    Attributes:
        points: Pairs of time (picoseconds) and value; the first at 0 s.
    """

    kind: Literal["piecewise_linear"]
    points: tuple[tuple[Picoseconds, Value], ...]

    def contradictions(self) -> Iterator[Problem]:
        """Yield points that do not begin at 0 s or go back in time."""
        if not self.points or self.points[0][0] != 0:
            example = _measured_by(self).dimension.example
            yield Problem(("points",), f"must begin at 0 s: write the first point as [0 s, {example}]")
        for position, (before, after) in enumerate(pairwise(self.points), start=1):
            if after[0] <= before[0]:
                yield Problem(("points", position, 0), "is not later than the point before it: sort the points by time")


class Ramp(Section, Generic[Value]):
    """Keeps one value, runs straight to another, and keeps that.

    Attributes:
        start_value: Until ``start``.
        end_value: From ``end`` on.
        start_picoseconds: When it begins to move.
        end_picoseconds: When it has arrived.
    """

    kind: Literal["ramp"]
    start_value: Value
    end_value: Value
    start_picoseconds: Picoseconds
    end_picoseconds: Picoseconds

    def contradictions(self) -> Iterator[Problem]:
        """Yield an end that is not after the start."""
        if self.end_picoseconds <= self.start_picoseconds:
            yield Problem(("end",), "is not later than 'start': a ramp takes time")


class Sine(Section, Generic[Value, Difference]):
    """Swings about a mean, for ever.

    Attributes:
        mean: Value about which it swings.
        amplitude: Largest distance from the mean.
        period_picoseconds: From one highest value to the next.
        peak_picoseconds: A time at which it is highest.
    """

    kind: Literal["sine"]
    mean: Value
    amplitude: Difference
    period_picoseconds: PositivePicoseconds
    peak_picoseconds: Picoseconds


class SeriesFile(InputFile, Generic[Value]):
    """A column of a file; straight lines from row to row, and the first and last value outside them.

    Attributes:
        column: Name of the column beside ``time``.
        start_picoseconds: Time in the file at which the run starts.
    """

    kind: Literal["file"]
    column: Text
    start_picoseconds: Picoseconds = written("0 s")

    @property
    def points(self) -> tuple[tuple[int, float], ...]:
        """Time in picoseconds of the run, and value, of each row."""
        return tuple((int(time) - self.start_picoseconds, value) for time, value in self.rows)

    @property
    def content(self) -> tuple[tuple[int, float], ...]:
        """The points."""
        return self.points

    def load(self, path: Path, text: str) -> None:
        """Take the content of the file.

        Raises:
            ConfigurationError: It is wrong (says ``file:line:column``), or ends before the run starts in it.
        """
        super().load(path, text)
        if self.points[-1][0] < 0:
            raise ConfigurationError(f"{path}: its last row comes before 'start', so it tells nothing: lower 'start'")

    def contradictions(self) -> Iterator[Problem]:
        """Yield the column of times."""
        if self.column == TIME:
            yield Problem(("column",), "is the column of times: name the column of values")

    def _columns(self) -> Mapping[str, Measured]:
        return {self.column: _measured_by(self)}

    def _ties(self) -> bool:
        return False


class ConstantTemperature(Section):
    """Keeps its temperature."""

    kind: Literal["constant"]
    temperature_celsius: Celsius


class ConstantPower(Section):
    """Gives or takes the same power at all times."""

    kind: Literal["constant"]
    power_watts: Watts


Temperature = Annotated[
    ConstantTemperature | PiecewiseLinear[Celsius] | Ramp[Celsius] | Sine[Celsius, Kelvin] | SeriesFile[Celsius],
    Field(discriminator="kind"),
]
"""Temperature over time: of the air around a device."""

Power = Annotated[
    ConstantPower | PiecewiseLinear[Watts] | Ramp[Watts] | Sine[Watts, Watts] | SeriesFile[Watts],
    Field(discriminator="kind"),
]
"""Power over time: harvested, or drawn by what runs beside the accelerator."""


class CoRunningLoad(Section):
    """What else of the device is at work: the processors of a system on chip, a display.

    Attributes:
        heats: A thermal node of the profile, or ``elsewhere``.
        power: What it draws while the device is on.
    """

    heats: Text
    power: Power


def _measured_by(section: Section) -> Measured:
    """Return what the values of a series measure: the first argument of its type, or of the one that it extends."""
    kinds = (base for base in type(section).__mro__ if issubclass(base, Section))
    return measured(next(args[0] for kind in kinds if (args := kind.__pydantic_generic_metadata__["args"])))
