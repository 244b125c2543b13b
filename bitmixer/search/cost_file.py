"""Costs from a file: CSV, one row per site and widths, every further column of numbers a cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bitmixer.bitwidths import BitWidths, require_allowed
from bitmixer.documents import read_text
from bitmixer.errors import BitmixerError, SearchError
from bitmixer.graph import LayerGraph
from bitmixer.search.costs import AdditiveCost, cost_from_table

KEYS = ("layer", "weight_bits", "activation_bits")
Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostFile:
    """A table of costs, for example as ``hwsim cost --network NAME --all-widths`` prints it.

    Attributes:
        path: The file.
        kinds: Names of the cost columns.
        rows: Number of the line and its cells by column.
    """

    path: Path
    kinds: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]

    @classmethod
    def load(cls, path: Path) -> CostFile:
        """Read a CSV file with the columns ``layer``, ``weight_bits``, ``activation_bits`` and costs.

        Raises:
            DocumentError: It cannot be read.
            SearchError: Not CSV, a column is missing, or a row has more or fewer cells than the header.
        """
        reader: csv.DictReader[str] = csv.DictReader(io.StringIO(read_text(path)), strict=True)
        try:
            columns, rows = tuple(reader.fieldnames or ()), [(reader.line_num, row) for row in reader]
        except csv.Error as error:
            raise SearchError(f"{path}:{reader.reader.line_num}:1: not CSV: {error}") from None
        missing = [key for key in KEYS if key not in columns]
        if missing:
            raise SearchError(f"{path}:1:1: no column {missing[0]!r}: expected {', '.join(KEYS)}, and costs")
        for line, row in rows:
            if len(row) != len(columns) or None in row.values():
                raise SearchError(f"{path}:{line}:1: expected {len(columns)} cells, as the header has")
        return cls(path=path, kinds=tuple(column for column in columns if column not in KEYS), rows=tuple(rows))

    def cost(self, graph: LayerGraph, kind: str) -> AdditiveCost:
        """Return the cost that is in one column.

        Raises:
            SearchError: A cell is not a number, a row is given twice, or the table does not fit the network.
        """
        table: dict[str, dict[BitWidths, float]] = {}
        for line, row in self.rows:
            site, price = row["layer"], self._number(line, row, kind, float)
            widths = BitWidths(*(self._number(line, row, column, int) for column in KEYS[1:]))
            try:
                require_allowed(graph[site], widths)
            except BitmixerError as error:
                raise SearchError(f"{self.path}:{line}:1: {error}") from None
            prices = table.setdefault(site, {})
            if widths in prices:
                raise SearchError(f"{self.path}:{line}:1: site {site!r} at {widths} is given twice: keep one row")
            prices[widths] = price
        try:
            return cost_from_table(graph, kind, table)
        except SearchError as error:
            raise SearchError(f"{self.path}: {error}") from None

    def _number(self, line: int, row: Mapping[str, str], column: str, kind: Callable[[str], Number]) -> Number:
        try:
            return kind(row[column])
        except ValueError:
            where = f"{self.path}:{line}:{1 + list(row).index(column)}: {column}"
            expected = "a whole number" if kind is int else "a number"
            raise SearchError(f"{where}: expected {expected}; got {row[column]!r}") from None
