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
    "bitfusion_resnet18_a8w8": 3_563_520,
    "bitfusion_resnet18_a4w4": 1_131_648,
}
BITFUSION = (
    *("compute_cycles", "total_cycles", "memory_stall_cycles", "dram_bits", "dram_read_bits", "dram_write_bits"),
    *("weight_buffer_read_bits", "weight_buffer_write_bits", "activation_buffer_read_bits"),
    *("activation_buffer_write_bits", "output_buffer_read_bits", "output_buffer_write_bits"),
    *("tile_output_size", "tile_input_channels"),
)
needs_tables = pytest.mark.skipif(
    not CYCLES.is_dir(), reason=f"no tables in {CYCLES}: HWSIM_REFERENCE names the folder that has 'cycles'"
)


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@needs_tables
@pytest.mark.parametrize("name", TOTALS)
def test_every_row_of_the_simulator_is_met(name: str, hwsim: Callable[..., Any]) -> None:
    described = json.loads((CYCLES / f"{name}.json").read_text(encoding="utf-8"))
    table = CYCLES / described["table"]
    answer = hwsim("cost", "--array", described["array"], *described["options"], "--layers", table)
    assert answer.code == 0, answer
    ours, theirs = read(answer.out), read(table.read_text(encoding="utf-8"))
    assert len(theirs) == 21
    for our_column, their_column in described["columns"].items():
        assert [row[our_column] for row in ours] == [row[their_column] for row in theirs], our_column
    if (total := TOTALS[name]) is not None:
        assert sum(int(row["compute_cycles"]) for row in ours) == total
    for row, bound in zip(theirs, ours, strict=True):  # what depends on values never exceeds the bound
        assert int(row["compute_cycles"]) <= int(bound["compute_cycles"])


@needs_tables
@pytest.mark.parametrize("name", ["bitfusion_resnet18_a8w8", "bitfusion_resnet18_a4w4"])
def test_bitfusion_also_in_traffic_and_energy(name: str, hwsim: Callable[..., Any]) -> None:
    table = CYCLES / f"{name}.csv"
    ours = read(hwsim("cost", "--array", "bitfusion", "--layers", table).out)
    theirs = read(table.read_text(encoding="utf-8"))
    for column in BITFUSION:
        assert [row[column] for row in ours] == [row[column] for row in theirs], column
    energies = [float(row["energy_joules"]) * 1e12 for row in ours]
    assert energies == pytest.approx([float(row["energy_picojoules"]) for row in theirs], abs=6e-4)  # three decimals


@needs_tables
def test_bitfusion_knows_the_first_layer_without_being_told(hwsim: Callable[..., Any], tmp_path: Path) -> None:
    table = CYCLES / "bitfusion_resnet18_a8w8.csv"
    bare = read(table.read_text(encoding="utf-8"))
    with (tmp_path / "bare.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [name for name in bare[0] if name != "flattened_kernel"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(bare)
    ask = ("cost", "--array", "bitfusion", "--layers")
    assert hwsim(*ask, tmp_path / "bare.csv").out == hwsim(*ask, table).out
