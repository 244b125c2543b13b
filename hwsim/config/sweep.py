"""The ``sweep:`` of a scenario: what is varied, how points are chosen, and what they are judged by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bitmixer.documents.section import Problem, Section, Text, shown
from hwsim.config.quantity import Count, PositiveCount

DIGITS = 6
"""Significant digits of a value between the ends of a range, so that files can show it whole."""
_WITH_UNIT = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(\S.*?)?\s*")

Value = int | float | str
Scale = Literal["linear", "log"]


class Parameter(Section):
    """What one field is set to: some values, or a range with both ends.

    A file may write the list of values alone.

    Attributes:
        values: Any that the field takes: numbers, names, whole mappings.
        low: Lower end, with the field's unit.
        high: Upper end, in the same unit; whole numbers without a unit have whole numbers between them.
        scale: Whether equal steps or equal ratios are equally likely.
        points: How many values a grid takes of a range, both ends among them.
    """

    values: tuple[Any, ...] = ()
    low: Any = None
    high: Any = None
    scale: Scale = "linear"
    points: PositiveCount | None = None

    def contradictions(self) -> Iterator[Problem]:
        """Yield a lack of values, values beside a range, and ends that are no ends."""
        ends = [end for end in (self.low, self.high) if end is not None]
        if bool(self.values) == bool(ends):
            yield Problem((), "expected either a list of values, or a range: {low: 1 ms, high: 10 ms}")
        elif self.values:
            if any(value in self.values[:at] for at, value in enumerate(self.values)):
                yield Problem((), "has a value twice: leave one out")
        elif len(ends) == 1:
            yield Problem((), "a range needs both ends: low and high")
        else:
            yield from self._range_problems()

    def _range_problems(self) -> Iterator[Problem]:
        try:
            (low, unit), (high, other) = number_of(self.low), number_of(self.high)
        except ValueError as error:
            yield Problem((), str(error))
            return
        if unit != other:
            yield Problem(("high",), f"{self.high!r} is not in the unit of low, {self.low!r}: write both in one unit")
        elif high <= low:
            yield Problem(("high",), f"{self.high!r} is not above low, {self.low!r}")
        elif self.scale == "log" and low <= 0:
            yield Problem(("low",), f"{self.low!r} has no logarithm: raise it above 0, or set scale: linear")
        elif self.points == 1:
            yield Problem(("points",), "a grid takes both ends of a range: write 2 or more")

    @property
    def on_grid(self) -> tuple[Any, ...]:
        """The values that a grid takes; of whole numbers that are close together, fewer than ``points``."""
        if self.values or self.points is None:
            return self.values
        return tuple(dict.fromkeys(self.at(step / (self.points - 1)) for step in range(self.points)))

    @property
    def extremes(self) -> tuple[Any, ...]:
        """The values that must be allowed: all of a list, or both ends."""
        return self.values or (self.low, self.high)

    def at(self, share: float) -> Value:
        """Return the value at a share of the range: 0 is the lower end, 1 the upper."""
        (low, unit), (high, _) = number_of(self.low), number_of(self.high)
        if share in {0, 1}:  # as the file writes it
            end: Value = self.high if share else self.low
            return end
        is_whole = isinstance(self.low, int) and isinstance(self.high, int)
        if is_whole:  # each whole number has as much room as any other
            low, high = low - 0.5, high + 0.5
        value = low * (high / low) ** share if self.scale == "log" else low + share * (high - low)
        if is_whole:
            return round(value)
        rounded = min(max(float(f"{value:.{DIGITS}g}"), low), high)
        return f"{rounded!r} {unit}" if unit else rounded


def number_of(end: object) -> tuple[float, str]:
    """Return number and unit of the end of a range.

    Raises:
        ValueError: It is no number.
    """
    if isinstance(end, int | float) and not isinstance(end, bool):
        return float(end), ""
    match = _WITH_UNIT.fullmatch(end) if isinstance(end, str) else None
    if match is None:
        raise ValueError(f"{shown(end)} is no end of a range: write a number with its unit, for example 5 ms")
    return float(match[1]), match[2] or ""


class Grid(Section):
    """Every value with every other."""

    kind: Literal["grid"] = "grid"


class RandomSamples(Section):
    """Points drawn independently of one another; more of them are the same ones and others.

    Attributes:
        samples: How many.
        seed: Of the draws.
    """

    kind: Literal["random"]
    samples: PositiveCount
    seed: Count = 0


class Nsga2(Section):
    """A search for the points that no other beats in all objectives (Deb et al., NSGA-II, 2002); extra ``search``.

    Attributes:
        trials: Points to try.
        population: Of a generation, whose points run side by side.
        seed: Of its draws.
    """

    kind: Literal["nsga2"]
    trials: PositiveCount
    population: PositiveCount = 20
    seed: Count = 0

    def contradictions(self) -> Iterator[Problem]:
        """Yield a population that has nothing to cross."""
        if self.population < 2:
            yield Problem(("population",), "crosses pairs of points: write 2 or more")


Method = Annotated[Grid | RandomSamples | Nsga2, Field(discriminator="kind")]
Direction = Literal["minimise", "maximise"]


def _with_its_key(given: object) -> object:
    return {"values": given} if isinstance(given, list) else given


class Sweep(Section):
    """Runs of a scenario with other values in its fields.

    Attributes:
        parameters: Dotted path in the scenario, or behind ``profile.`` in its profile, -> what it is set to.
        method: How points are chosen.
        objectives: Metric of the summary -> whether less or more of it is better; where none is named, less energy per
            input and more answers that are right and on time (without outputs: fewer missed deadlines).
        replications: Runs of each point, under the scenario's seed and those that follow it.
    """

    parameters: Mapping[
        Text, Annotated[Parameter, BeforeValidator(_with_its_key, json_schema_input_type=Parameter | tuple[Any, ...])]
    ] = {}
    method: Method = Grid()
    objectives: Mapping[Text, Direction] = {}
    replications: PositiveCount = 1

    def contradictions(self) -> Iterator[Problem]:
        """Yield what cannot be varied, and ranges that a grid has no points of."""
        for path, parameter in self.parameters.items():
            if path == "seed":
                yield Problem(("parameters", path), "seeds are not varied: write replications: N", about_key=True)
            if path.partition(".")[0] == "sweep":
                yield Problem(("parameters", path), "a sweep does not vary itself: leave it out", about_key=True)
            if isinstance(self.method, Grid) and not parameter.on_grid:
                yield Problem(("parameters", path), "a grid needs the number of points: {low: .., high: .., points: 5}")
