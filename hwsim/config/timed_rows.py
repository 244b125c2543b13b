"""Rows of a text file that each begin at a time: a header names every column with its unit.

# comments and empty lines are passed over
time [h], ambient [degC]
0,        22.5
0.5,      22.1
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bitmixer.errors import did_you_mean
from hwsim.config.quantity import Measured, Picoseconds, measured
from hwsim.config.units import parse_quantity
from hwsim.errors import ConfigurationError

TIME = "time"
_HEADER = re.compile(r"([^\[\]]*?)\s*(?:\[\s*([^\[\]]*?)\s*\])?")


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell without the blanks around it, and where it stands."""

    text: str
    place: str

    def error(self, sentence: object) -> ConfigurationError:
        return ConfigurationError(f"{self.place}: {sentence}")


@dataclass(frozen=True, slots=True)
class _Column:
    """A column that is wanted: where it stands in a row, and how its numbers are read."""

    name: str
    position: int
    unit: str
    measure: Measured

    def read(self, cell: _Cell) -> float:
        try:
            return self.measure.read(f"{cell.text} {self.unit}")
        except ValueError as error:
            raise cell.error(f"{self.name}: {error}") from None


def read_timed_rows(
    text: str, origin: str, columns: Mapping[str, Measured], *, ties: bool
) -> tuple[tuple[float, ...], ...]:
    """Return the time in picoseconds and the wanted columns of each row.

    Args:
        text: Content of the file.
        origin: Its name, for messages.
        columns: Wanted columns beside the time, and what each measures; others are passed over.
        ties: Whether rows may have equal times.

    Raises:
        ConfigurationError: A column, unit or number is missing or wrong, or times go back; says ``file:line:column``.
    """
    lines = _lines(text, origin)
    header = next(lines, None)
    wanted = {TIME: measured(Picoseconds), **columns}
    if header is None:
        raise ConfigurationError(f"{origin}:1:1: no header: write {_example(wanted)!r}, then rows of numbers")
    found = _find_columns(header, wanted)
    rows: list[tuple[float, ...]] = []
    for cells in lines:
        if len(cells) != len(header):
            raise cells[0].error(f"{len(cells)} values, but the header names {len(header)} columns")
        row = tuple(column.read(cells[column.position]) for column in found)
        if rows and (row[0] < rows[-1][0] or (row[0] == rows[-1][0] and not ties)):
            order = "before" if ties else "not later than"
            raise cells[found[0].position].error(f"time: is {order} the row above: sort the rows by time")
        rows.append(row)
    if not rows:
        raise header[0].error("a header without rows: add at least one")
    return tuple(rows)


def _lines(text: str, origin: str) -> Iterator[list[_Cell]]:
    """Yield the cells of every line that says something."""
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.partition("#")[0]
        if said.strip():
            yield [
                _Cell(found.group().strip(), f"{origin}:{number}:{found.start() + 1 + _indent(found.group())}")
                for found in re.finditer(r"(?<![^,])[^,]*", said)
            ]


def _indent(cell: str) -> int:
    return len(cell) - len(cell.lstrip())


def _find_columns(header: list[_Cell], wanted: Mapping[str, Measured]) -> list[_Column]:
    """Return the wanted columns in the order in which they are wanted."""
    found: dict[str, _Column] = {}
    titles = [_title(cell, wanted) for cell in header]
    for position, (cell, (name, unit)) in enumerate(zip(header, titles, strict=True)):
        if name in found:
            raise cell.error(f"column {name!r} is given twice: keep one")
        if name in wanted:
            found[name] = _Column(name, position, _checked_unit(cell, unit, name, wanted[name]), wanted[name])
    for name in wanted:
        if name not in found:
            hint = did_you_mean(name, [title for title, _ in titles])
            raise header[0].error(f"no column {name!r}: {hint}; expected {_example(wanted)!r}")
    return [found[name] for name in wanted]


def _title(cell: _Cell, wanted: Mapping[str, Measured]) -> tuple[str, str | None]:
    """Return the name and the unit that a cell of the header gives."""
    match = _HEADER.fullmatch(cell.text)
    if match is None:
        raise cell.error(f"{cell.text!r} does not name a column: write for example {_example(wanted)!r}")
    return match.group(1), match.group(2)


def _checked_unit(cell: _Cell, unit: str | None, name: str, measure: Measured) -> str:
    if not unit:
        raise cell.error(f"column {name!r} has no unit: write for example {_titled(name, measure)!r}")
    try:
        parse_quantity(f"0 {unit}", measure.dimension)
    except ValueError as error:
        raise cell.error(f"column {name!r}: {error}") from None
    return unit


def _titled(name: str, measure: Measured) -> str:
    return f"{name} [{measure.dimension.unit}]"


def _example(wanted: Mapping[str, Measured]) -> str:
    return ",".join(_titled(name, measure) for name, measure in wanted.items())
