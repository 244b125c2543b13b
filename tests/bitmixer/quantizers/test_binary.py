"""One bit as binary networks have it, against the formulas of the papers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer import convert
from bitmixer.bitwidths import BitWidths
from bitmixer.layers import MixedConvolution
from bitmixer.quantizers import BinaryActivationQuantizer, BinaryWeightQuantizer, NestedWeightQuantizer, Quantization

BINARY = Quantization(quantizer="binary", granularity="channel")


def test_the_sign_of_zero_is_plus_one_on_either_side_of_every_threshold() -> None:
    quantizer = BinaryActivationQuantizer([1], signed=True, channels=3, trailing_axes=1)
    with torch.no_grad():
        quantizer.thresholds.copy_(torch.tensor([0.0, 1.0, -2.0]))
    x = torch.tensor([[[-0.0, 0.0, -1e-30], [1.0, 0.5, 1.5], [-2.0, -2.5, 0.0]]])
    assert quantizer(x).tolist() == [[[1, 1, -1], [1, -1, 1], [1, -1, 1]]]
    assert torch.equal(quantizer.codes(x), quantizer(x))


def test_the_slope_of_a_sign_is_that_of_bi_real_net() -> None:
    """Liu et al., ECCV 2018: 2 + 2x on [-1, 0), 2 - 2x on [0, 1), zero elsewhere; about the threshold."""
    quantizer = BinaryActivationQuantizer([1], signed=True, channels=7, trailing_axes=0)
    x = torch.tensor([[-1.5, -1.0, -0.75, 0.0, 0.25, 1.0, 3.0]]).requires_grad_()
    with torch.no_grad():
        quantizer.thresholds.fill_(0.5)
    (quantizer(x + 0.5) * torch.arange(1.0, 8.0)).sum().backward()
    assert x.grad is not None
    slopes = torch.tensor([[0.0, 0.0, 0.5, 2.0, 1.5, 0.0, 0.0]]) * torch.arange(1.0, 8.0)
    torch.testing.assert_close(x.grad, slopes)
    torch.testing.assert_close(quantizer.thresholds.grad, -slopes[0])


def test_weights_are_signs_times_the_mean_size_of_their_channel() -> None:
    weight = torch.tensor([[[0.5, -0.25]], [[-1.5, 0.0]]]).requires_grad_()
    quantizer = BinaryWeightQuantizer([1], channels=2)
    assert quantizer(weight).tolist() == [[[0.375, -0.375]], [[-0.75, 0.75]]]
    quantizer(weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[[1, 1]], [[0, 1]]]  # straight through within [-1, 1]
    assert list(quantizer.parameters()) == []


def test_among_wider_codes_one_bit_is_their_sign_plane() -> None:
    weight = torch.randn(4, 50)
    binary, nested = BinaryWeightQuantizer([1, 2, 8], channels=4), NestedWeightQuantizer([1, 2, 8], channels=4)
    for quantizer in (binary, nested):
        quantizer.calibrate(weight)
    for bits in (1, 2, 8):
        binary.bits = nested.bits = bits
        assert torch.equal(binary.codes(weight), nested.codes(weight))
    assert binary.bits == 8


def test_thresholds_of_what_is_never_negative_start_at_the_means() -> None:
    x = torch.rand(5, 3, 4, 4) * torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    for signed, expected in ((False, x.mean(dim=(0, 2, 3))), (True, torch.zeros(3))):
        quantizer = BinaryActivationQuantizer([1, 4], signed=signed, channels=3, trailing_axes=2)
        quantizer.calibrate(x)
        torch.testing.assert_close(quantizer.thresholds.detach(), expected)


def padded_reference(x: Tensor, layer: nn.Conv2d, thresholds: Tensor) -> Tensor:
    """Return the convolution of signs with +1 outside of the map, written down by itself."""
    signs = torch.where(x >= thresholds[:, None, None], 1.0, -1.0)
    rows, columns = layer.padding
    assert isinstance(rows, int)
    assert isinstance(columns, int)
    framed = torch.ones(*x.shape[:2], x.shape[2] + 2 * rows, x.shape[3] + 2 * columns)
    framed[:, :, rows : rows + x.shape[2], columns : columns + x.shape[3]] = signs
    size = layer.weight.detach().abs().mean(dim=(1, 2, 3), keepdim=True)
    weight = torch.where(layer.weight.detach() >= 0, 1.0, -1.0) * size
    return F.conv2d(framed, weight, None, layer.stride, 0, layer.dilation, layer.groups)


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(6, 4, 3, 1, 1, bias=False), nn.Conv2d(6, 4, (3, 5), (2, 1), (1, 2), groups=2, bias=False)],
    ids=["square", "grouped"],
)
@torch.no_grad()
def test_a_convolution_of_signs_is_padded_with_ones_in_training_and_evaluation(layer: nn.Conv2d) -> None:
    site = MixedConvolution(layer, (BitWidths(1, 1),), signed_input=True, quantization=BINARY)
    x = torch.randn(3, 6, 7, 8)
    site.activation_quantizer.calibrate(x)
    site.weight_quantizer.calibrate(site.weight)
    assert isinstance(site.activation_quantizer, BinaryActivationQuantizer)
    site.activation_quantizer.thresholds.normal_(std=0.3)
    site.quantize_weights = site.quantize_activations = True
    expected = padded_reference(x, layer, site.activation_quantizer.thresholds)
    torch.testing.assert_close(site.train()(x), expected)
    parallel = site.eval()(x)
    torch.testing.assert_close(parallel, expected)
    site.datapath = "bit_serial"
    assert torch.equal(site(x), parallel)


@torch.no_grad()
def test_wider_codes_are_padded_with_zeros() -> None:
    layer, x = nn.Conv2d(6, 4, 3, 1, 1), torch.randn(3, 6, 7, 8)
    site = MixedConvolution(layer, (BitWidths(1, 1), BitWidths(8, 8)), signed_input=True, quantization=BINARY)
    site.activation_quantizer.calibrate(x)
    site.weight_quantizer.calibrate(site.weight)
    site.quantize_weights = site.quantize_activations = True
    result = site.eval()(x)
    relative = (result - layer(x)).norm() / layer(x).norm()
    site.widths = BitWidths(1, 1)
    assert float(relative) < 0.1 < float((site(x) - layer(x)).norm() / layer(x).norm())


def test_a_relu_is_not_left_out_before_signs() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1))
    network = convert(model, (1, 8), quantizer="binary")
    x = torch.randn(4, 2, 5, 5)
    network.calibrate_activations(x)
    network.calibrate_weights()
    quantizer = network.sites[1].layer.activation_quantizer
    assert isinstance(quantizer, BinaryActivationQuantizer)
    with torch.no_grad():
        quantizer.thresholds.fill_(-0.1)  # what a ReLU returns is never below
    network.quantize()
    network.assign(network.uniform(1))
    read = []
    network.sites[1].layer.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    network.eval()(x)
    assert bool((quantizer.codes(read[0]) == 1).all())
