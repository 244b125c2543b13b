"""Laws that every quantiser keeps, at every width."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor, nn

from bitmixer import capture, convert
from bitmixer.bitwidths import BitWidths
from bitmixer.errors import QuantizerError
from bitmixer.layers import MixedConvolution, MixedLinear, Site
from bitmixer.networks import create
from bitmixer.quantizers import QUANTIZERS, Quantization, Quantizer

WIDTHS = (1, 2, 3, 4, 6, 8)
FORMS = [Quantization(quantizer=name, granularity=grain) for name in QUANTIZERS for grain in ("tensor", "channel")]
forms = pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.quantizer}-{form.granularity}")

values = hnp.arrays(np.float32, (3, 5), elements=st.floats(-50, 50, width=32, allow_subnormal=False))
tensors = values.map(torch.from_numpy)


def weight_quantizer(form: Quantization, weight: Tensor, widths: tuple[int, ...] = WIDTHS) -> Quantizer:
    quantizer = form.for_weights(widths, weight)
    quantizer.calibrate(weight)
    return quantizer


def all_quantizers(form: Quantization, x: Tensor) -> Iterator[Quantizer]:
    yield weight_quantizer(form, x)
    for signed in (True, False):
        quantizer = form.for_activations(WIDTHS, signed=signed)
        quantizer.calibrate(x if signed else x.abs())
        yield quantizer


@forms
@settings(max_examples=12, deadline=None)
@given(x=tensors)
def test_values_are_codes_times_step_and_codes_are_what_a_width_has(form: Quantization, x: Tensor) -> None:
    for quantizer in all_quantizers(form, x):
        for quantizer.bits in WIDTHS:
            codes, step = quantizer.encode(x)
            assert torch.equal(quantizer(x), codes * step)
            assert torch.equal(codes, quantizer.codes(x))
            assert torch.equal(codes, codes.round())
            assert float(codes.abs().max()) <= quantizer.largest_code
            assert len(codes.unique()) <= 2**quantizer.bits
            for row, row_codes in zip(x, codes, strict=True):  # larger values never get smaller codes
                assert bool((row_codes[row.argsort()].diff() >= 0).all())


@forms
def test_more_bits_err_less_on_average(form: Quantization) -> None:
    weight = torch.randn(8, 400) * 0.1
    quantizer = weight_quantizer(form, weight)
    correlations = []
    for quantizer.bits in WIDTHS:
        correlations.append(
            float(torch.corrcoef(torch.stack([weight.flatten(), quantizer(weight).detach().flatten()]))[0, 1])
        )
    assert correlations == sorted(correlations)
    assert correlations[0] > 0.75  # the sign alone gives sqrt(2 / pi) = 0.80
    nested = QUANTIZERS[form.quantizer] == "nested"
    assert correlations[-1] > (0.98 if nested else 0.999)  # nested codes cut off what 2 bits do


@pytest.mark.parametrize("name", ["nested", "lsq", "symmetric"])
@pytest.mark.parametrize("grain", ["tensor", "channel"])
def test_calibration_errs_no_more_than_the_step_that_reaches_the_largest_value(name: str, grain: str) -> None:
    torch.manual_seed(3)
    weight = torch.randn(6, 50) * torch.logspace(-2, 0, 6)[:, None]
    for bits in WIDTHS:
        quantizer = weight_quantizer(Quantization(quantizer=name, granularity=grain), weight, (bits,))
        error = (quantizer(weight).detach() - weight).square().mean()
        step = weight.abs().max() / max(1, 2 ** (bits - 1) - 1)
        naive = weight.sign() * step if bits == 1 else (weight / step).round() * step
        assert float(error) <= float((naive - weight).square().mean()) * 1.0001


@pytest.mark.parametrize("name", QUANTIZERS)
@settings(max_examples=20, deadline=None)
@given(weight=hnp.arrays(np.float32, (1, 9), elements=st.floats(-50, 50, width=32)).map(torch.from_numpy))
def test_one_channel_per_tensor_is_one_per_channel(name: str, weight: Tensor) -> None:
    both = [
        weight_quantizer(Quantization(quantizer=name, granularity=grain), weight) for grain in ("tensor", "channel")
    ]
    for bits in WIDTHS:
        for quantizer in both:
            quantizer.bits = bits
        tensor, channel = (quantizer.encode(weight) for quantizer in both)
        assert torch.equal(tensor.codes, channel.codes)
        torch.testing.assert_close(tensor.codes * tensor.step, channel.codes * channel.step)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_every_channel_is_quantised_as_if_alone(name: str) -> None:
    form = Quantization(quantizer=name, granularity="channel")
    weight = torch.randn(4, 3, 3, 3) * torch.logspace(-2, 1, 4).reshape(-1, 1, 1, 1)
    together = weight_quantizer(form, weight)
    for channel in range(4):
        alone = weight_quantizer(form, weight[channel : channel + 1])
        for bits in WIDTHS:
            together.bits = alone.bits = bits
            own = alone(weight[channel : channel + 1])
            scale = 2.0 if form.quantizer == "dorefa" else 1.0  # 1 / sqrt(output channels): 4 against 1
            torch.testing.assert_close(together(weight)[channel : channel + 1] * scale, own)


@pytest.mark.parametrize("name", ["nested", "lsq"])
def test_gradients_per_channel_are_those_of_each_channel(name: str) -> None:
    form = Quantization(quantizer=name, granularity="channel")
    weight = torch.randn(4, 30)
    towards = torch.randn(4, 30)
    whole = weight_quantizer(form, weight)
    for whole.bits in WIDTHS:
        whole.zero_grad()
        x = weight.clone().requires_grad_()
        (whole(x) * towards).sum().backward()
        for channel in range(4):
            alone = Quantization(quantizer=form.quantizer).for_weights(WIDTHS, weight[:1])
            alone.bits = whole.bits
            for mine, theirs in zip(alone.parameters(), whole.parameters(), strict=True):
                mine.data.copy_(theirs[channel])
            own = weight[channel].clone().requires_grad_()
            (alone(own) * towards[channel]).sum().backward()
            assert x.grad is not None
            torch.testing.assert_close(x.grad[channel], own.grad)
            for mine, theirs in zip(alone.parameters(), whole.parameters(), strict=True):
                assert (mine.grad is None) == (theirs.grad is None)
                if mine.grad is not None and theirs.grad is not None:
                    torch.testing.assert_close(theirs.grad[channel], mine.grad)


def sites(form: Quantization, *, signed: bool) -> Iterator[tuple[Site, Tensor]]:
    allowed = tuple(BitWidths.tied(bits) for bits in WIDTHS)
    x = torch.randn(6, 4, 7, 7) if signed else torch.rand(6, 4, 7, 7)
    for layer in (nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(4, 8, 3, stride=2, groups=2, bias=False)):
        yield MixedConvolution(layer, allowed, signed_input=signed, quantization=form), x
    yield MixedLinear(nn.Linear(49 * 4, 5), allowed, signed_input=signed, quantization=form), x.flatten(1)


@forms
@pytest.mark.parametrize("signed", [True, False])
@torch.no_grad()
def test_integers_give_what_the_rounded_values_give(form: Quantization, signed: bool) -> None:
    for site, x in sites(form, signed=signed):
        site.weight_quantizer.calibrate(site.weight)
        site.activation_quantizer.calibrate(x)
        site.quantize_weights = site.quantize_activations = True
        for widths in site.allowed:
            site.widths = widths
            expected = site.train()(x)
            result = site.eval()(x)
            torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
            assert torch.equal(torch.cat([site(row.unsqueeze(0)) for row in x]), result)
            if x.dim() == 4:
                assert torch.equal(site(x.to(memory_format=torch.channels_last)), result)
            sums = site.accumulators(x)
            assert torch.equal(sums, sums.round())


@forms
def test_a_network_keeps_its_predictions_through_its_state(form: Quantization) -> None:
    options = {"quantizer": form.quantizer, "granularity": form.granularity}
    original = create("resnet8", input_channels=3, classes=5, width=4)
    network = convert(original, WIDTHS, **options)
    x = torch.randn(6, 3, 8, 8)
    network.calibrate_activations(x)
    network.calibrate_weights()
    other = convert(create("resnet8", input_channels=3, classes=5, width=4), WIDTHS, **options)
    other.load_state_dict(network.state_dict())
    for each in (network, other):
        each.quantize()
        each.eval()
    for bits in WIDTHS:
        network.assign(network.uniform(bits))
        other.assign(other.uniform(bits))
        assert torch.equal(network(x), other(x))
    assert torch.equal(copy.deepcopy(network)(x), network(x))


@forms
def test_a_changed_weight_or_step_is_seen_in_evaluation(form: Quantization) -> None:
    site, x = next(sites(form, signed=True))
    site.activation_quantizer.calibrate(x)
    site.weight_quantizer.calibrate(site.weight)
    site.quantize_weights = site.quantize_activations = True
    site.eval()
    site.widths = BitWidths(4, 4)
    with torch.no_grad():
        results = [site(x)]
        for tensor in (site.weight, *site.weight_quantizer.parameters()):
            tensor.add_(torch.rand_like(tensor))
            results.append(site(x))
    different = {tuple(result.flatten().tolist()) for result in results}
    unused = 1 if form.quantizer == "nested" else len(WIDTHS) - 1 if form.weight_codes == "independent" else 0
    assert len(different) == len(results) - unused  # steps of other widths change nothing


@forms
def test_what_hardware_must_fetch_is_in_the_graph(form: Quantization) -> None:
    network = convert(
        create("resnet8", input_channels=3, classes=5, width=4),
        (2, 4),
        quantizer=form.quantizer,
        granularity=form.granularity,
    )
    graph = capture(network, torch.zeros(1, 3, 8, 8))
    assert graph.weight_codes == QUANTIZERS[form.quantizer]
    assert type(graph).from_json(graph.to_json()) == graph
    pinned = sum(layer.weights for layer in graph.layers if layer.pinned)
    free = sum(layer.weights for layer in graph.layers if not layer.pinned)
    assert graph.stored_weight_bits == 8 * pinned + (2 + 4 if form.weight_codes == "independent" else 4) * free


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantizer": "dorefer"}, "unknown quantizer 'dorefer': did you mean 'dorefa'"),
        ({"granularity": "channels"}, "unknown granularity 'channels': did you mean 'channel'"),
    ],
)
def test_names_that_do_not_exist_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(QuantizerError, match=message):
        convert(nn.Sequential(nn.Linear(3, 3)), **options)  # type: ignore[arg-type]
