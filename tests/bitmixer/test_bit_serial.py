"""The bit-serial datapath: accumulators, logits and codes equal those of whole numbers to the bit."""

from __future__ import annotations

from itertools import product as pairs
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitmixer import StepwiseRun, load_data
from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import DatapathError
from bitmixer.execution import run
from bitmixer.layers import MixedConvolution, MixedLinear, Site
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.quantizers import Quantization, QuantizerName
from bitmixer.requantization import integer_thresholds

ALL_WIDTHS = tuple(BitWidths(*pair) for pair in pairs(range(1, 9), repeat=2))


def serial_equals_parallel(site: Site, x: Tensor) -> None:
    site.activation_quantizer.calibrate(x)
    site.weight_quantizer.calibrate(site.weight)
    site.eval()
    for widths in site.allowed:
        site.widths = widths
        site.datapath = "bit_parallel"
        expected = site.accumulators(x)
        site.datapath = "bit_serial"
        found = site.accumulators(x)
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected), widths
        assert found.abs().max() <= site.largest_accumulator


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("quantizer", ["nested", "lsq", "dorefa"])
def test_every_width_of_every_quantiser(quantizer: QuantizerName, signed: bool) -> None:
    x = torch.randn(2, 3, 6, 5) if signed else torch.rand(2, 3, 6, 5)
    quantization = Quantization(quantizer=quantizer, granularity="channel")
    layer = nn.Conv2d(3, 4, 3, padding=1)
    serial_equals_parallel(MixedConvolution(layer, ALL_WIDTHS, signed_input=signed, quantization=quantization), x)


FEW_WIDTHS = (BitWidths(1, 1), BitWidths(2, 3), BitWidths(8, 8))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(8, 12, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2)), (2, 8, 9, 7)),
        (nn.Conv2d(8, 12, 3, groups=4, bias=False), (2, 8, 5, 6)),
        (nn.Conv2d(6, 12, 3, padding=1, groups=6), (2, 6, 5, 5)),
        (nn.Conv2d(70, 5, 1), (2, 70, 3, 3)),
        (nn.Conv1d(4, 6, 5, stride=3, padding=4, dilation=2, groups=2), (2, 4, 17)),
    ],
    ids=["stride, padding, dilation", "grouped", "depthwise", "pointwise", "1-d"],
)
@pytest.mark.parametrize("signed", [True, False])
def test_every_shape_of_convolution(layer: nn.Conv1d | nn.Conv2d, shape: tuple[int, ...], signed: bool) -> None:
    x = torch.randn(*shape) if signed else torch.rand(*shape)
    serial_equals_parallel(MixedConvolution(layer, FEW_WIDTHS, signed_input=signed), x)


@pytest.mark.parametrize("shape", [(5, 130), (2, 3, 130)])
def test_linear_layers_on_vectors_and_tokens(shape: tuple[int, ...]) -> None:
    serial_equals_parallel(MixedLinear(nn.Linear(130, 7), FEW_WIDTHS, signed_input=True), torch.randn(*shape))


def test_sums_beyond_float32_and_two_threads() -> None:
    torch.set_num_threads(2)
    site = MixedLinear(nn.Linear(9000, 3), (BitWidths(8, 8),), signed_input=False)
    serial_equals_parallel(site, torch.rand(6, 9000))


def assignments(network: MetaQuantizedNetwork, seeds: int) -> list[BitAssignment]:
    drawn = [BitAssignment.random(network.sites, np.random.default_rng(seed)) for seed in range(seeds)]
    return [network.uniform(bits) for bits in network.bits] + drawn


def test_the_whole_test_set_of_digits(digits_network: MetaQuantizedNetwork) -> None:
    inputs, _ = load_data("digits")
    for assignment in assignments(digits_network, 2):
        expected = run(digits_network, inputs, assignment)
        assert torch.equal(run(digits_network, inputs, assignment, datapath="bit_serial"), expected)


def test_predictions_are_those_of_fake_quantisation(
    digits_network: MetaQuantizedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Float products of rounded values, as training computes them; their sums err in the last digits alone."""
    inputs, _ = load_data("digits")
    chosen = assignments(digits_network, 2)
    serial = [run(digits_network, inputs, each, datapath="bit_serial").argmax(1) for each in chosen]

    def fake_quantised(site: Site, x: Tensor) -> Tensor:
        return site.product(site.activation_quantizer(x), site.weight_quantizer(site.weight), site.bias)

    monkeypatch.setattr(Site, "_integer_forward", fake_quantised)
    for assignment, predictions in zip(chosen, serial, strict=True):
        assert torch.equal(run(digits_network, inputs, assignment).argmax(1), predictions)


def test_the_datapath_is_really_used(digits_network: MetaQuantizedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, used = load_data("digits")[0][:2], []
    original = MixedConvolution.bit_serial_product
    monkeypatch.setattr(
        MixedConvolution, "bit_serial_product", lambda site, *codes: (used.append(site), original(site, *codes))[1]
    )
    assignment = digits_network.uniform(2)
    run(digits_network, inputs, assignment)
    assert used == []
    run(digits_network, inputs, assignment, datapath="bit_serial")
    convolutions = [site.layer for site in digits_network.sites if isinstance(site.layer, MixedConvolution)]
    assert len(used) == len(convolutions)
    run(digits_network, inputs, assignment)
    assert len(used) == len(convolutions)


def test_stepping_and_branching_keep_the_datapath(
    digits_network: MetaQuantizedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, assignment = load_data("digits")[0][:5], digits_network.uniform(2)
    expected = run(digits_network, inputs, assignment)
    monkeypatch.setattr(MixedLinear, "product", None)  # nothing may multiply whole numbers
    stepped = StepwiseRun(digits_network, inputs, datapath="bit_serial")
    for site, widths in assignment.items():
        stepped.commit(site, widths)
    assert torch.equal(stepped.finish(), expected)
    changed = stepped.branch({"stages.2.0.conv2": BitWidths(8, 8)}).finish()
    assert not torch.equal(changed, expected)


@pytest.mark.parametrize("step", [run, StepwiseRun])
def test_an_unknown_datapath_is_named(digits_network: MetaQuantizedNetwork, step: Any) -> None:
    arguments = (digits_network.uniform(2),) if step is run else ()
    with pytest.raises(DatapathError, match="did you mean 'bit_serial'"):
        step(digits_network, torch.rand(1, 1, 8, 8), *arguments, datapath="bitserial")


def test_what_is_no_number_is_refused(digits_network: MetaQuantizedNetwork) -> None:
    inputs = torch.full((1, 1, 8, 8), torch.nan)
    with pytest.raises(DatapathError, match="no number has no bits"):
        run(digits_network, inputs, digits_network.uniform(2), datapath="bit_serial")


# Requantisation by thresholds.


@pytest.mark.parametrize("seed", range(3))
def test_thresholds_give_the_codes_that_the_next_layer_reads(digits_network: MetaQuantizedNetwork, seed: int) -> None:
    inputs, assignment = load_data("digits")[0], assignments(digits_network, 3)[-1 - seed]
    digits_network.eval().assign(assignment)
    found = integer_thresholds(digits_network)
    assert list(found) == [f"stages.{stage}.0.conv1" for stage in range(3)]
    sites = {site.name: site.layer for site in digits_network.sites}
    read: dict[str, Tensor] = {}
    hooks = [
        site.register_forward_pre_hook(lambda _, values, name=name: read.update({name: values[0]}))
        for name, site in sites.items()
    ]
    run(digits_network, inputs, assignment)
    for hook in hooks:
        hook.remove()
    for name, thresholds in found.items():
        reader = name.replace("conv1", "conv2")
        accumulators = sites[name].accumulators(read[name]).long().numpy()
        codes = sites[reader].activation_quantizer.codes(read[reader]).long().numpy()
        assert np.unique(codes).size > 1
        assert np.array_equal(thresholds.requantize(accumulators), codes)


def test_thresholds_know_signs_biases_and_falling_channels() -> None:
    """A linear network without norms or ReLUs: transitional affines, negative scales, codes from -1 to +1."""
    from bitmixer import convert

    model = nn.Sequential(nn.Linear(20, 16), nn.Linear(16, 8), nn.Linear(8, 3))
    inputs = torch.randn(200, 20)
    network = convert(model, [1, 2, 8])
    network.calibrate_activations(inputs)
    network.calibrate_weights()
    network.quantize()
    norm = next(module for name, module in network.body.named_modules() if name in network.transitions)
    for parameter in norm.parameters():
        parameter.data.normal_()
    for bits in (1, 2, 8):
        network.eval().assign(network.uniform(bits))
        found = integer_thresholds(network)
        first, second = (site.layer for site in network.sites[:2])
        accumulators = first.accumulators(inputs)
        with torch.no_grad():
            codes = second.activation_quantizer.codes(norm(first(inputs)))
        thresholds = found[network.sites[0].name]
        assert set(thresholds.signs) == {-1, 1}
        assert np.array_equal(thresholds.requantize(accumulators.long().numpy()), codes.long().numpy())
