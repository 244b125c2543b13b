"""Gate counts: what Yosys says, against what a unit must have."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bitmixer.errors import MissingExtraError
from hwsim.cost.arrays import Bismo
from hwsim.errors import HwsimError
from hwsim.rtl import area
from hwsim.rtl.area import CELL_NAMES, Area, estimate_area, named_cells, synthesise


def some_cells(number: int) -> dict[str, int]:
    return dict.fromkeys(CELL_NAMES.values(), number)


def test_a_total_is_the_units_and_one_control() -> None:
    estimate = Area(array=Bismo(rows=3, depth=8, columns=5), unit=some_cells(10), control=some_cells(7))
    assert estimate.total == some_cells(157)
    assert estimate.to_text().splitlines()[1].split() == ["and", "10", "7", "157"]
    written = json.loads(estimate.to_json())
    assert (written["rows"], written["depth"], written["columns"]) == (3, 8, 5)
    assert written["total"] == some_cells(157)


def test_cells_of_other_types_are_not_passed_over() -> None:
    assert named_cells({"$_AND_": 3, "top.unit_0_0": 1, "$scopeinfo": 2}) == {"and": 3}
    with pytest.raises(HwsimError, match=r"type \$_DLATCH_P_"):
        named_cells({"$_AND_": 3, "$_DLATCH_P_": 1})


def test_synthesis_says_what_it_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    array = Bismo(rows=1, depth=1, columns=1)
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: SimpleNamespace(returncode=1))
    with pytest.raises(HwsimError, match="Yosys ended with 1"):
        estimate_area(array)
    monkeypatch.setattr(area, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"bitmixer-hwsim\[rtl\]"):
        estimate_area(array)


def test_the_command_refuses_sizes_that_are_none(hwsim: Callable[..., Any]) -> None:
    hwsim("area", "--rows", 0, "--depth", 8, "--columns", 2).refused("rows = 0: expected a whole number")


def test_without_the_extra_the_error_names_it() -> None:
    code = (
        "import sys\nfrom importlib import util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'amaranth' else find(name, *rest)\n"
        "sys.argv = ['hwsim', 'area', '--rows', '1', '--depth', '1', '--columns', '1']\n"
        "from hwsim.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: circuits need the extra 'rtl': pip install")


@pytest.mark.synthesis
def test_flip_flops_are_the_registers_of_the_pipeline(hwsim: Callable[..., Any]) -> None:
    answer = hwsim("area", "--rows", 2, "--depth", 8, "--columns", 2, "--json")
    assert answer.code == 0, answer
    written = json.loads(answer.out)
    # The count of 8 ones has 4 bits; shifted by 4 bits' worth, and signed, 4 + 15 + 1; a result has 32.
    assert written["unit"]["flip_flop"] == 4 + 20 + 32
    assert written["total"]["flip_flop"] == 4 * 56 + written["control"]["flip_flop"]


@pytest.mark.synthesis
def test_a_lane_costs_an_and_gate_and_a_full_adder() -> None:
    """Counting n ones takes about n full adders, five gates each."""
    shallow, deep = (estimate_area(Bismo(rows=1, depth=depth, columns=1)).unit for depth in (64, 128))
    gates = [sum(number for name, number in unit.items() if name != "flip_flop") for unit in (shallow, deep)]
    assert (gates[1] - gates[0]) / 64 == pytest.approx(6, rel=0.15)


@pytest.mark.synthesis
def test_an_array_synthesised_whole_has_what_the_estimate_says() -> None:
    array = Bismo(rows=2, depth=4, columns=2)
    whole: Counter[str] = Counter()
    for cells in synthesise(array).values():
        whole.update(cells)
    estimate = estimate_area(array).total
    assert whole["flip_flop"] == estimate["flip_flop"]
    assert whole.total() == pytest.approx(sum(estimate.values()), rel=0.02)
