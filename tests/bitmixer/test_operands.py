"""What a site multiplies, as whole numbers: the codes whose products make the site's accumulators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer import StepwiseRun, capture, convert, load_data
from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import BitWidthError, QuantizerError, UnknownSiteError
from bitmixer.execution import operands, run
from bitmixer.graph import Layer, LayerGraph
from bitmixer.layers import Site
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import find_checkpoint
from bitmixer.operands import SiteOperands


class Tokens(nn.Module):
    """A 1-d convolution, a linear layer on its tokens, and one on vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv1d(3, 6, 3, stride=2, padding=1)
        self.mix = nn.Linear(6, 5)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mix(F.relu(self.embed(x)).transpose(1, 2))
        return self.head(F.relu(x).mean(dim=1))


@pytest.fixture(scope="module")
def tokens() -> tuple[MetaQuantizedNetwork, Tensor, LayerGraph]:
    torch.manual_seed(0)
    inputs = torch.randn(5, 3, 14)
    network = convert(Tokens().eval(), bits=(2, 4), signed_input=True)
    network.calibrate_activations(inputs)
    network.calibrate_weights()
    network.quantize()
    return network, inputs, capture(network, inputs[:1], name="tokens")


@pytest.fixture(scope="module")
def digits(digits_network: MetaQuantizedNetwork) -> tuple[MetaQuantizedNetwork, Tensor, LayerGraph]:
    return digits_network, load_data("digits")[0][:5], find_checkpoint("resnet8_digits").graph


def accumulators(
    network: MetaQuantizedNetwork, inputs: Tensor, assignment: BitAssignment, monkeypatch: pytest.MonkeyPatch
) -> list[Tensor]:
    """Return the accumulators of the sites in the order in which the network calls them."""
    kept: list[Tensor] = []
    original = Site.accumulators

    def keep(site: Site, x: Tensor) -> Tensor:
        kept.append(original(site, x))
        return kept[-1].clone()

    monkeypatch.setattr(Site, "accumulators", keep)
    run(network, inputs, assignment)
    return kept


def multiplied(layer: Layer, found: SiteOperands) -> Tensor:
    """Return what the operands make, as the layer graph says that the layer multiplies."""
    x, weights = (torch.from_numpy(codes).double() for codes in (found.activations, found.weights))
    return F.conv2d(x, weights, None, layer.stride, layer.padding, layer.dilation, layer.groups)


@pytest.mark.parametrize("name", ["digits", "tokens"])
def test_their_products_are_the_accumulators(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, inputs, graph = request.getfixturevalue(name)
    assignment = BitAssignment.random(graph.layers, np.random.default_rng(1))
    found = list(operands(network, inputs, assignment))
    assert [each.site for each in found] == [layer.name for layer in graph.layers]
    sums = accumulators(network, inputs, assignment, monkeypatch)
    ours = [multiplied(graph[each.site], each) for each in found]
    # Whatever the order of calls and the layout, each site's sums are among those of the run.
    by_values = sorted(sorted(total.flatten().tolist()) for total in sums)
    assert sorted(sorted(total.flatten().tolist()) for total in ours) == by_values
    assert all(total.abs().max() > 0 for total in ours)


@pytest.mark.parametrize("name", ["digits", "tokens"])
@pytest.mark.parametrize("bits", [2, 4])
def test_they_have_the_shape_of_the_layer_and_the_range_of_their_widths(
    name: str, bits: int, request: pytest.FixtureRequest
) -> None:
    network, inputs, graph = request.getfixturevalue(name)
    for found in operands(network, inputs, graph.uniform(bits)):
        layer, widths = graph[found.site], found.widths
        assert widths == graph.uniform(bits)[found.site]
        assert found.activations.shape == (5, layer.input_channels, layer.input_height, layer.input_width)
        kernel = layer.kernel_height, layer.kernel_width
        assert found.weights.shape == (layer.output_channels, layer.input_channels // layer.groups, *kernel)
        assert found.weights.dtype == found.activations.dtype == np.int32
        assert -(2 ** (widths.weight - 1)) <= found.weights.min() <= found.weights.max() < 2 ** (widths.weight - 1)
        assert found.activations.max() < 2**widths.activation


def test_a_run_tells_them_before_the_site_is_computed_and_goes_on_unchanged(digits: Any) -> None:
    network, inputs, graph = digits
    stepwise = StepwiseRun(network, inputs)
    seen = {}
    for layer in graph.layers:
        for site, widths in graph.uniform(4).items():
            stepwise.commit(site, widths)
        seen[layer.name] = stepwise.operands(layer.name).activations
        network.assign(graph.uniform(2))  # another run comes between
    assert torch.equal(stepwise.finish(), run(network, inputs, graph.uniform(4)))
    for found in operands(network, inputs, graph.uniform(4)):
        np.testing.assert_array_equal(found.activations, seen[found.site])


def test_what_has_no_operands_is_refused(digits: Any, tokens: Any) -> None:
    network, inputs, graph = digits
    stepwise = StepwiseRun(network, inputs)
    with pytest.raises(UnknownSiteError, match="did you mean 'stem'"):
        stepwise.operands("stam")
    with pytest.raises(BitWidthError, match="'stem' is not committed"):
        stepwise.operands("stem")
    with pytest.raises(BitWidthError, match="'stem' cannot run at w4a4"):
        next(operands(network, inputs, {**graph.uniform(4), "stem": BitWidths(4, 4)}))
    network, inputs, graph = tokens
    network.quantize(weights=True, activations=False)
    with pytest.raises(QuantizerError, match="quantisers are off"):
        next(operands(network, inputs, graph.uniform(4)))
    network.quantize()
