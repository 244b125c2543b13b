"""A table of priced layers, as ``hwsim cost`` prints it: CSV or JSON, with a total."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class PricedTable:
    """Priced layers, column by column; ``layer`` comes first.

    Attributes:
        columns: Name -> values, one per row.
        joules_by_action: Action -> energy, one per row; nothing where an array prices buffer by buffer itself.
        whole: Column -> total, where that is not the sum.
    """

    columns: Mapping[str, Sequence[object]]
    joules_by_action: Mapping[str, Sequence[float]] = field(default_factory=dict)
    whole: Mapping[str, object] = field(default_factory=dict)

    def total(self) -> dict[str, object]:
        """Return the sums of cycles, seconds, energies, DRAM and buffer traffic; others are left empty.

        The utilisation of all is that of the layers, each for as long as it has the array.
        """
        sums: dict[str, object] = {}
        for name, values in self.columns.items():
            adds_up = name.startswith("dram_") or "_buffer_" in name or name.endswith(("_cycles", "joules", "seconds"))
            sums[name] = sum(values) if adds_up else ""  # type: ignore[arg-type]
        if "utilisation" in self.columns:
            cycles, parts = self.columns["compute_cycles"], self.columns["utilisation"]
            busy = sum(part * each for part, each in zip(parts, cycles, strict=True))  # type: ignore[operator]
            sums["utilisation"] = busy / sums["compute_cycles"]  # type: ignore[operator]
        return {**sums, "layer": "total", **self.whole}

    def rows(self) -> list[dict[str, object]]:
        """Return the columns row by row."""
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]

    def to_csv(self, *, total: bool = False) -> str:
        """Return CSV with a header, one row per layer and, if asked, the total."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(zip(*self.columns.values(), strict=True))
        if total:
            found = self.total()
            writer.writerow(found[name] for name in self.columns)
        return text.getvalue()

    def to_json(self, *, total: bool = False) -> str:
        """Return ``layers`` and, if asked, ``total``: the columns, and the energy of each action."""
        names = self.joules_by_action
        rows = self.rows()
        if names:
            for row, parts in zip(rows, zip(*names.values(), strict=True), strict=True):
                row["energy_joules_by_action"] = dict(zip(names, parts, strict=True))
        answer: dict[str, object] = {"layers": rows}
        if total:
            whole = {name: value for name, value in self.total().items() if value != ""}
            parts_of_all = {action: sum(values) for action, values in names.items()}
            answer["total"] = {**whole, "energy_joules_by_action": parts_of_all} if names else whole
        return json.dumps(answer, indent=1) + "\n"
