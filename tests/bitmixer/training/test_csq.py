"""CSQ: soft planes that harden, the pull towards a budget, and the scheme that a training finds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bitmixer import convert, load_network
from bitmixer.data import ImageSet
from bitmixer.errors import DocumentError
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import create
from bitmixer.quantizers.soft_planes import START, SoftPlaneQuantizer
from bitmixer.training import loop
from bitmixer.training.csq import PlaneSelection, held_by
from bitmixer.training.expansion import expand, scheme_of, starting_scheme
from bitmixer.training.recipe import ContinuousSparsity, load_recipe

RECIPE = """\
schema_version: 1
name: selected
architecture: resnet8
width: 2
data: digits
bits: [8]
norm: shared
quantizer: symmetric
continuous_sparsity: {target_bits: 3, strength: 1.0}
seed: 3
batch_size: 16
weight_decay: 0.0
distillation: {teacher: none}
stages:
  - {name: planes, epochs: 10, optimizer: sgd, learning_rate: 0.1, step_learning_rate: 1.0e-3}
  - {name: weights, epochs: 1, learning_rate: 1.0e-3, passes: [highest]}
"""
SETTINGS = ContinuousSparsity(target_bits=3.0, strength=0.5)


def held(weight: torch.Tensor) -> SoftPlaneQuantizer:
    quantizer = SoftPlaneQuantizer(8, weight)
    quantizer.calibrate(weight)
    return quantizer


@pytest.fixture
def expanded() -> MetaQuantizedNetwork:
    torch.manual_seed(0)
    original = create("resnet8", input_channels=1, classes=10, width=2)

    def twin(scheme: object = None) -> MetaQuantizedNetwork:
        return convert(original, [8], norm="shared", quantizer="symmetric", signed_input=False, scheme=scheme)  # type: ignore[arg-type]

    network = twin(starting_scheme(twin(), 4))
    expand(network, SoftPlaneQuantizer)
    network.calibrate_weights()
    return network


def test_soft_weights_start_in_proportion_to_the_weights_and_become_their_codes() -> None:
    weight = torch.randn(50, generator=torch.Generator().manual_seed(0))
    quantizer = held(weight)
    codes, step = quantizer.encode(weight)
    assert float((codes * step - weight).abs().max()) <= float(step) * 0.501
    on = torch.sigmoid(torch.tensor(START))
    torch.testing.assert_close(quantizer(weight).detach(), codes * step * on * (2 * on - 1), rtol=1e-4, atol=1e-6)
    quantizer.temperature.fill_(200.0)
    torch.testing.assert_close(quantizer(weight).detach(), codes * step)


def test_a_plane_that_is_not_selected_adds_nothing() -> None:
    quantizer = held(torch.tensor([127.0, -86.0, 5.0]))
    with torch.no_grad():
        quantizer.selection[[0, 6]] = -1.0
    assert quantizer.encode(torch.zeros(3)).codes.tolist() == [62.0, -22.0, 4.0]
    quantizer.temperature.fill_(200.0)
    torch.testing.assert_close(quantizer(torch.zeros(3)).detach(), torch.tensor([62.0, -22.0, 4.0]))


def test_every_bit_and_every_selection_is_trained_without_rounding() -> None:
    quantizer = held(torch.tensor([3.0, -1.0]))
    quantizer(torch.zeros(2)).square().sum().backward()
    for parameter in quantizer.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().min() > 0.0


def test_the_budget_closes_planes_above_and_opens_them_below(expanded: MetaQuantizedNetwork) -> None:
    selection = PlaneSelection(expanded, SETTINGS, epochs=4)
    number = 2 * len(expanded.sites)  # of each layer's planes, the lowest and the highest
    soft = float(torch.sigmoid(torch.tensor(START)))
    assert float(selection.penalty().detach()) == pytest.approx(0.5 * (7 - 3.0) * number * soft, rel=1e-5)
    for site in expanded.sites:
        with torch.no_grad():
            held_by(site).selection[:5] = -START
    assert selection.measured() == {"bits_per_weight": pytest.approx(2.0)}
    selection.penalty().backward()  # type: ignore[no-untyped-call]
    for site in expanded.sites:
        gradient = held_by(site).selection.grad
        assert gradient is not None
        assert gradient.nonzero().flatten().tolist() == [4]  # the one next to those that are on
        assert float(gradient[4]) < 0.0


def test_the_temperature_rises_to_the_final_one(expanded: MetaQuantizedNetwork) -> None:
    selection = PlaneSelection(expanded, SETTINGS, epochs=3)
    seen = []
    for epoch in range(3):
        assert not selection.begin_epoch(epoch)
        seen.append(float(held_by(expanded.sites[0]).temperature))
    assert seen == pytest.approx([1.0, 200.0**0.5, 200.0])


def test_planes_at_both_ends_that_are_not_selected_are_not_stored(expanded: MetaQuantizedNetwork) -> None:
    with torch.no_grad():
        held_by(expanded.sites[2]).selection[[0, 1, 3, 6]] = -1.0
    planes = scheme_of(expanded).planes
    assert planes[expanded.sites[2].name] == 4  # planes 2 to 5, of which one in the middle is empty
    assert set(planes.values()) == {4, 7}


def test_a_training_ends_near_its_budget(tmp_path: Path, few_images: ImageSet) -> None:
    file = tmp_path / "selected.yaml"
    file.write_text(RECIPE, encoding="utf-8")
    recipe = load_recipe(file)
    checkpoint = loop.train(recipe, RECIPE, tmp_path / "out")
    assert checkpoint is not None
    assert checkpoint.metrics is not None
    assert abs(checkpoint.metrics["scheme"]["bits_per_weight"] - 3.0) < 0.5
    network = load_network(tmp_path / "out")
    assert {site: widths.weight for site, widths in network.assignment.items()} == {
        site: max(2, planes + 1) for site, planes in checkpoint.metrics["scheme"]["planes"].items()
    }


def test_one_method_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "both.yaml"
    file.write_text(RECIPE + "bit_sparsity: {strength: 1.0, interval: 1}\n", encoding="utf-8")
    with pytest.raises(DocumentError, match="bit_sparsity looks for a scheme already: leave one of them out"):
        load_recipe(file)
