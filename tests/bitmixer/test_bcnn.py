"""The BCNN: every convolution multiplies signs with signs, whatever the stem; and its training in two steps."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer import capture, convert
from bitmixer.binary_convolutions import convolution_operands, require_binary_convolutions
from bitmixer.bitwidths import BitWidths
from bitmixer.errors import BitWidthError, UnsupportedNetworkError
from bitmixer.execution import requantization, run
from bitmixer.layers import BitPlaneCode, RepeatedChannels, ShiftedPReLU, ThermometerCode
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import ARCHITECTURES, create, find_checkpoint, load_network
from bitmixer.networks.bcnn import BCNN
from bitmixer.training.loop import train
from bitmixer.training.recipe import find_recipe, load_recipe

ALL_BINARY = ["bcnn", "bcnn_bit_planes", "bcnn_space_to_depth", "bcnn_plain"]
INPUTS = (8, 3, 14, 14)
"""An odd map appears on the way: 14, 7, 4."""


@cache
def twin(name: str) -> tuple[MetaQuantizedNetwork, Tensor]:
    torch.manual_seed(2)
    model, x = create(name, input_channels=3, classes=5, width=8), torch.rand(*INPUTS)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.3)
        if isinstance(module, ShiftedPReLU):
            nn.init.normal_(module.before, std=0.3)
            nn.init.normal_(module.behind, std=0.3)
    model.train()(x)
    pinned = ["first", "last"] if "real_stem" in name else ["last"]
    network = convert(model, [1], quantizer="binary", granularity="channel", pinned=pinned, signed_input=False)
    network.calibrate_activations(x)
    network.calibrate_weights()
    network.quantize()
    return network, x


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ALL_BINARY)
def test_both_operands_of_every_convolution_are_signs(name: str, training: bool) -> None:
    network, x = twin(name)
    found = require_binary_convolutions(network.train(training), x)
    assert len(found) == 7
    assert {operands.input_values for operands in found} == {(-1.0, 1.0)}
    assert found[0].name == "body.stem.convolution"


def test_what_is_not_binary_is_named() -> None:
    network, x = twin("bcnn_real_stem")
    with pytest.raises(BitWidthError, match=r"signs: body\.stem\.convolution: inputs 0, 1, .*padded with zeros"):
        require_binary_convolutions(network.eval(), x)
    (stem, *others) = convolution_operands(network, x)
    assert not stem.is_binary
    assert all(operands.is_binary for operands in others)
    with pytest.raises(BitWidthError, match="there is none"):
        require_binary_convolutions(nn.Linear(3, 3), torch.rand(1, 3))


class _Functional(nn.Module):
    def __init__(self, weight: Tensor, padding: int) -> None:
        super().__init__()
        self.weight, self.padding = weight, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, padding=self.padding)


@pytest.mark.parametrize(
    ("weight", "padding", "holds"),
    [
        (torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1) * 0.3, 0, True),
        (torch.tensor([1.0, -2.0]).reshape(1, 1, 2, 1), 0, False),
        (torch.tensor([1.0, 0.0]).reshape(1, 1, 2, 1), 0, False),
        (torch.tensor([1.0, -1.0]).reshape(1, 1, 2, 1), 1, False),
    ],
    ids=["a scale per channel", "two sizes", "a zero", "zeros outside"],
)
def test_functions_are_watched_too(weight: Tensor, padding: int, holds: bool) -> None:
    x = torch.tensor([1.0, -1.0, -1.0]).reshape(1, 1, 3, 1)
    (operands,) = convolution_operands(_Functional(weight, padding), x)
    assert operands.is_binary is holds
    (operands,) = convolution_operands(_Functional(weight, padding), 0.5 * x)
    assert not operands.is_binary


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name.startswith("bcnn")])
def test_everything_learns_and_the_bit_serial_datapath_gives_the_same_bits(name: str) -> None:
    network, x = twin(name)
    network.train()(x).square().sum().backward()
    silent = [path for path, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert silent == []
    network.zero_grad()
    assignment = network.uniform(1)
    expected = run(network, x, assignment)
    assert torch.equal(run(network, x, assignment, datapath="bit_serial"), expected)
    assert torch.equal(torch.cat([run(network, one[None], assignment) for one in x]), expected)


def test_without_shortcuts_thresholds_of_integers_lead_from_convolution_to_convolution() -> None:
    network, x = twin("bcnn_plain")
    between = requantization(network, x, network.uniform(1))
    assert [between[site.name] for site in network.sites[:-2]] == ["thresholds"] * 6


def test_codes_of_images() -> None:
    x = torch.tensor([0.0, 0.2, 0.5, 1.0]).reshape(1, 1, 2, 2)
    thermometer = ThermometerCode(1, levels=4)(x)
    assert (thermometer > 0).sum(dim=1).tolist() == [[[0, 1], [2, 4]]]  # thresholds 1/8, 3/8, 5/8, 7/8
    planes = BitPlaneCode()(x)
    assert set(planes.unique().tolist()) == {-0.5, 0.5}
    values = ((planes + 0.5) * 2.0 ** torch.arange(8)[:, None, None]).sum(dim=1)
    assert values.tolist() == [[[0, 51], [128, 255]]]
    assert torch.equal(RepeatedChannels(2)(x), torch.cat([x, x], dim=1))


def test_a_shifted_prelu_is_reactnets() -> None:
    layer, x = ShiftedPReLU(2), torch.randn(3, 2, 4, 4)
    with torch.no_grad():
        layer.before.copy_(torch.tensor([0.3, -0.2]))
        layer.behind.copy_(torch.tensor([1.0, 2.0]))
    shifted = x + torch.tensor([0.3, -0.2])[:, None, None]
    expected = torch.where(shifted > 0, shifted, 0.25 * shifted) + torch.tensor([1.0, 2.0])[:, None, None]
    assert torch.equal(layer(x), expected)
    assert layer.rises
    with torch.no_grad():
        layer.slope[0] = -0.1
    assert not layer.rises


def test_only_ends_can_be_pinned_and_the_classifier_may_be_binary() -> None:
    model = partial(create, "bcnn", input_channels=3, classes=5, width=8)
    with pytest.raises(UnsupportedNetworkError, match="cannot pin 'frist': did you mean 'first'"):
        convert(model(), [1], pinned=["frist"])  # type: ignore[list-item]
    network = convert(model(), [1], quantizer="binary", pinned=[])
    assert {layer.allowed for layer in capture(network, torch.rand(1, *INPUTS[1:])).layers} == {(BitWidths(1, 1),)}


def test_the_shipped_geometry_is_that_of_the_architecture() -> None:
    checkpoint = find_checkpoint("bcnn")
    form = ARCHITECTURES["bcnn"]
    assert checkpoint.graph.macs == form.macs
    assert [layer.allowed for layer in checkpoint.graph.layers] == [(BitWidths(1, 1),)] * 7 + [(BitWidths(8, 8),)]
    assert checkpoint.graph.stored_weight_bits == sum(layer.weights for layer in checkpoint.graph.layers) + 7 * 2560


def test_two_steps_train_a_binary_network(tmp_path: Path) -> None:
    recipe = load_recipe(find_recipe("bcnn_digits"))
    shorter = [stage.model_copy(update={"epochs": 3}) for stage in recipe.stages]
    rows: list[str] = []
    plan = recipe.model_copy(update={"stages": tuple(shorter)})
    checkpoint = train(plan, "", tmp_path, progress=lambda row: rows.append(row["stage"]))
    assert rows == ["float"] * 3 + ["activations"] * 3 + ["weights"] * 3
    assert checkpoint is not None
    assert checkpoint.metrics is not None
    assert checkpoint.metrics["uniform"]["1"] > 0.6  # chance is 0.1
    network = load_network(checkpoint)
    require_binary_convolutions(network, torch.rand(4, 1, 8, 8))


def test_space_to_depth_makes_channels_of_squares() -> None:
    network = BCNN((1,), width=4, input_channels=1, classes=2, space_to_depth=2)
    seen = []
    network.stem.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    network(torch.rand(2, 1, 8, 8))
    assert seen == [(2, 4 * 8, 4, 4)]
