"""Value-dependent cycles against tables that DNNsim made from given activations, row by row."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from bitmixer.graph import Layer
from bitmixer.operands import SiteOperands
from hwsim.cost.arrays.valued import Loom, Pragmatic, ValueArray, bound_cycles
from hwsim.cost.layer_csv import read_layers

ROOT = Path(__file__).parents[2]
CYCLES = Path(os.environ.get("HWSIM_REFERENCE") or ROOT.parent / "shared" / "reference") / "cycles"
TABLES = {"pragmatic_resnet18_a8w8": 343_987, "loom_resnet18_a4w4": 792_135}
"""Each table's total, in the order in which one generator drew their data."""

GRID = {"lanes": 16, "columns": 16, "rows": 16, "tiles": 16}
ARRAYS: dict[str, ValueArray] = {
    "pragmatic_resnet18_a8w8": Pragmatic(**GRID),
    "loom_resnet18_a4w4": Loom(**GRID),
}

pytestmark = pytest.mark.skipif(
    not CYCLES.is_dir(), reason=f"no tables in {CYCLES}: HWSIM_REFERENCE names the folder that has 'cycles'"
)


def drawn(layer: Layer, generator: np.random.Generator) -> SiteOperands:
    """Draw the weights and activations of a layer as the makers of the tables did."""
    (widths,) = layer.allowed
    highest_weight, highest = 2 ** (widths.weight - 1) - 1, 2 ** (widths.activation - 1) - 1
    kernel = layer.output_channels, layer.input_channels, layer.kernel_height, layer.kernel_width
    inputs = 1, layer.input_channels, layer.input_height, layer.input_width
    if layer.kind == "linear":
        weights = generator.integers(-highest_weight, highest_weight + 1, kernel)
        activations = generator.integers(0, highest + 1, inputs)
    else:
        weights = generator.laplace(0, (highest_weight + 1) / 8, kernel).round().clip(-highest_weight, highest_weight)
        activations = np.maximum(generator.laplace(0, (highest + 1) / 8, inputs), 0).round().clip(0, highest)
    return SiteOperands(
        site=layer.name, widths=widths, weights=weights.astype(np.int32), activations=activations.astype(np.int32)
    )


@pytest.fixture(scope="module")
def operands() -> dict[str, list[SiteOperands]]:
    generator = np.random.default_rng(0)
    return {name: [drawn(layer, generator) for layer in read_layers(CYCLES / f"{name}.csv")] for name in TABLES}


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_the_simulator_is_met(name: str, operands: dict[str, list[SiteOperands]]) -> None:
    table = CYCLES / f"{name}.csv"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 21
    layers = read_layers(table)
    ours = [int(ARRAYS[name].cycles(layer, found)[0]) for layer, found in zip(layers, operands[name], strict=True)]
    assert ours == [int(row["compute_cycles"]) for row in rows]
    assert sum(ours) == TABLES[name]


@pytest.mark.parametrize("name", TABLES)
def test_every_static_bound_is_met(name: str) -> None:
    table = CYCLES / f"{name}.csv"
    bounds = [int(row["static_bound_cycles"]) for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())]
    assert [bound_cycles(ARRAYS[name], layer, layer.allowed[0]) for layer in read_layers(table)] == bounds
