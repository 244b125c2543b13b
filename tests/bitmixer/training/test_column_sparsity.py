"""The group Lasso over bit columns: what it counts, how it pulls, and what a training with it leaves."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bitmixer import Training, capture, convert, fit
from bitmixer.data import ImageSet
from bitmixer.errors import DocumentError
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import create
from bitmixer.quantizers import NestedWeightQuantizer
from bitmixer.training import loop
from bitmixer.training.column_sparsity import ColumnLasso, bit_columns
from bitmixer.training.recipe import ColumnSparsity, Recipe, load_recipe

RECIPE = """\
schema_version: 1
name: columns
architecture: resnet8
width: 4
data: digits
bits: [2, 4, 8]
seed: 3
batch_size: 32
column_sparsity: {strength: 300.0, group: 4, rows: 2}
stages:
  - {name: weights, epochs: 1, learning_rate: 1.0e-3}
  - {name: transitions, epochs: 2, learning_rate: 2.0e-2}
"""
SECTION = "column_sparsity: {strength: 300.0, group: 4, rows: 2}\n"
ONE_WEIGHT = ColumnSparsity(strength=1.0, group=1, rows=1)


def recipe_of(folder: Path, *changes: tuple[str, str]) -> Recipe:
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = folder / "columns.yaml"
    file.write_text(text, encoding="utf-8")
    return load_recipe(file)


def rows_of(recipe: Recipe, folder: Path, *, stop_after: int | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def progress(row: dict[str, Any]) -> None:
        rows.append(row)
        if row["epoch"] == stop_after:
            raise KeyboardInterrupt

    loop.train(recipe, RECIPE, folder, progress=progress)
    return rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("columns")
    return folder, rows_of(recipe_of(folder), folder)


@pytest.fixture
def network(few_images: ImageSet) -> MetaQuantizedNetwork:
    torch.manual_seed(0)
    network = convert(create("resnet8", input_channels=1, classes=10, width=2), (2, 4, 8), signed_input=False)
    network.calibrate_activations(torch.from_numpy(few_images.train_inputs[:32]))
    network.calibrate_weights()
    network.quantize()
    return network


def lasso_of(network: MetaQuantizedNetwork, few_images: ImageSet, settings: ColumnSparsity) -> ColumnLasso:
    return ColumnLasso(network, capture(network, torch.from_numpy(few_images.test_inputs[:1])), settings)


def test_columns_of_sign_and_magnitude_are_counted_by_hand() -> None:
    codes = torch.tensor([[5.0, -4.0, 1.0, 0.0]])  # 101, 100, 001, 000: planes 2 and 0 have two ones each
    found = bit_columns(codes, 4, ColumnSparsity(strength=1.0, group=4))
    assert found.occupied == 2
    assert float(found.norm) == pytest.approx(2 * math.sqrt(2 / 4))
    value = 1 / math.sqrt(2) / math.sqrt(4)  # a bit over its column's norm, and that over a full column's
    expected = torch.tensor([[value / 2 + value / 8, -value / 2, value / 8, 0.0]])  # bits are worth 4/8 and 1/8
    torch.testing.assert_close(found.pull, expected)


def test_the_lowest_code_of_two_s_complement_has_a_column_more() -> None:
    assert bit_columns(torch.tensor([[-8.0]]), 4, ONE_WEIGHT).occupied == 1
    assert bit_columns(torch.tensor([[-8.0, 7.0]]), 4, ColumnSparsity(strength=1.0, group=2)).occupied == 4


@pytest.mark.parametrize(("shape", "groups"), [((6, 5, 3, 3), 1), ((6, 1, 3, 3), 6), ((4, 3, 1, 1), 2), ((3, 7), 1)])
def test_every_weight_is_in_one_block(shape: tuple[int, ...], groups: int) -> None:
    codes = torch.randint(-8, 8, shape, generator=torch.Generator().manual_seed(1)).float()
    found = bit_columns(codes, 4, ColumnSparsity(strength=1.0, group=4, rows=4), groups=groups)
    assert found.pull.shape == codes.shape
    assert torch.equal(found.pull.sign(), codes.sign())  # every code but zero is pulled towards it


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 8]), st.sampled_from([1, 2]))
def test_occupied_columns_are_those_of_a_walk_through_the_blocks(seed: int, group: int, rows: int) -> None:
    codes = np.random.default_rng(seed).integers(-8, 8, (4, 5, 2, 1))
    expected = 0
    for first in range(0, 4, rows):
        for channel in range(0, 5, group):
            for position in range(2):
                block = codes[first : first + rows, channel : channel + group, position]
                expected += int(np.bitwise_or.reduce(np.abs(block), axis=None)).bit_count()
    settings = ColumnSparsity(strength=1.0, group=group, rows=rows)
    assert bit_columns(torch.from_numpy(codes).float(), 4, settings).occupied == expected


def test_a_carry_counts_at_the_width_that_it_reaches() -> None:
    quantizer = NestedWeightQuantizer((2, 8))  # its step is 1
    weight = torch.tensor([[float(0x3F)]])  # 0011 1111: its two leading planes are empty, but it rounds to 01
    for bits, occupied in ((8, 6), (2, 1)):
        quantizer.bits = bits
        assert bit_columns(quantizer.codes(weight), bits, ONE_WEIGHT).occupied == occupied


def test_the_penalty_is_columns_per_read_and_its_gradient_is_the_pull(
    network: MetaQuantizedNetwork, few_images: ImageSet
) -> None:
    settings = ColumnSparsity(strength=2.0, group=1, rows=1)
    lasso = lasso_of(network, few_images, settings)
    assert lasso.penalty().item() == pytest.approx(2.0 * lasso.measured()["occupied_columns"], rel=1e-5)
    lasso.penalty().backward()  # type: ignore[no-untyped-call]
    for site in network.sites:
        gradient = site.layer.weight.grad
        assert isinstance(gradient, Tensor)
        codes = site.layer.weight_codes()
        assert torch.equal(gradient.sign()[codes != 0], codes.sign()[codes != 0])


def test_a_block_weighs_as_often_as_it_is_read(network: MetaQuantizedNetwork, few_images: ImageSet) -> None:
    """ResNet-8 halves its maps twice: a block of the last stage is read a sixteenth as often as one of the first."""
    lasso_of(network, few_images, ONE_WEIGHT).penalty().backward()  # type: ignore[no-untyped-call]
    layers = {site.name: site.layer for site in network.sites}
    largest = {}
    for name in ("stages.0.0.conv1", "stages.2.0.conv1"):
        layer = layers[name]
        assert layer.weight.grad is not None
        largest[name] = float(layer.weight.grad.abs().max())
    bound = sum(2.0 ** (plane - 7) for plane in range(8))
    assert largest["stages.0.0.conv1"] / largest["stages.2.0.conv1"] == pytest.approx(16, rel=0.3)
    assert max(largest.values()) < bound


def test_a_training_empties_columns_at_every_width(trained: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    _, rows = trained
    plain = rows_of(recipe_of(tmp_path, ("strength: 300.0", "strength: 0.0")), tmp_path)
    assert "occupied_columns" not in rows[0]  # the stage before
    assert rows[-1]["occupied_columns"] < 0.9 * plain[-1]["occupied_columns"]


@pytest.mark.parametrize("stop_after", [1, 2])
def test_an_interrupted_training_ends_where_it_would_have(
    trained: tuple[Path, list[dict[str, Any]]], tmp_path: Path, stop_after: int
) -> None:
    recipe = recipe_of(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        rows_of(recipe, tmp_path, stop_after=stop_after)
    rows_of(recipe, tmp_path)
    hashes = [
        hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest() for folder in (trained[0], tmp_path)
    ]
    assert hashes[0] == hashes[1]


def test_no_section_and_no_strength_train_the_same(tmp_path: Path) -> None:
    weights = []
    for name, change in (("none", (SECTION, "")), ("zero", ("strength: 300.0", "strength: 0.0"))):
        folder = tmp_path / name
        folder.mkdir()
        rows_of(recipe_of(folder, change), folder)
        weights.append((folder / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_network_that_is_calibrated_keeps_the_norms_of_its_transitions(
    network: MetaQuantizedNetwork, few_images: ImageSet, tmp_path: Path
) -> None:
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "norms.2_8" in name and name.endswith("weight"):
                value.fill_(3.0)
    stages = [{"name": "transitions", "epochs": 1, "learning_rate": 1e-9, "passes": ["highest"]}]
    fit(network, few_images, Training(seed=0, batch_size=32, stages=stages), tmp_path, is_calibrated=True)  # type: ignore[arg-type]
    kept = [v.mean().item() for name, v in network.named_parameters() if "norms.2_8" in name and "weight" in name]
    assert kept
    assert kept == pytest.approx([3.0] * len(kept))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("  - {name: transitions, epochs: 2, learning_rate: 2.0e-2}\n", "")], r"columns.yaml:9:.*add that stage"),
        ([("bits: [2, 4, 8]", "bits: [2, 4, 8]\nquantizer: dorefa")], "odd numbers, in which no column is empty"),
        ([("group: 4", "group: 0")], r"columns.yaml:9:\d+: .*group"),
        ([("rows: 2", "row: 2")], "did you mean 'rows'"),
        ([("strength: 300.0", "strength: -1")], "strength"),
    ],
)  # fmt: skip
def test_wrong_settings_are_explained(changes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=message):
        recipe_of(tmp_path, *changes)
