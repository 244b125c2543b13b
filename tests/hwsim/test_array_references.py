"""Cycle models against tables that the arrays' own simulators made, row by row, through the command line."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CYCLES = Path(os.environ.get("HWSIM_REFERENCE") or ROOT.parent / "shared" / "reference") / "cycles"
TOTALS = {
    "scalesim_ws_32x32_resnet18": 2_519_815,
    "stripes_resnet18_a8w8": 545_415,
    "loom_resnet18_a4w4": None,
}


@pytest.mark.skipif(
    not CYCLES.is_dir(), reason=f"no tables in {CYCLES}: HWSIM_REFERENCE names the folder that has 'cycles'"
)
@pytest.mark.parametrize("name", TOTALS)
def test_every_row_of_the_simulator_is_met(name: str, hwsim: Callable[..., Any]) -> None:
    described = json.loads((CYCLES / f"{name}.json").read_text(encoding="utf-8"))
    table = CYCLES / described["table"]
    answer = hwsim("cost", "--array", described["array"], *described["options"], "--layers", table)
    assert answer.code == 0, answer
    ours = list(csv.DictReader(io.StringIO(answer.out)))
    theirs = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    assert len(theirs) == 21
    for our_column, their_column in described["columns"].items():
        assert [row[our_column] for row in ours] == [row[their_column] for row in theirs], our_column
    if (total := TOTALS[name]) is not None:
        assert sum(int(row["compute_cycles"]) for row in ours) == total
    assert all(int(row["compute_cycles"]) >= int(row_of_theirs["compute_cycles"]) for row, row_of_theirs in
               zip(ours, theirs, strict=True))  # fmt: skip
