"""Execution: exact integers, and the same logits however the inputs are batched, laid out or stepped through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer import StepwiseRun, capture, convert, load_data
from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import BitWidthError, UnknownSiteError
from bitmixer.execution import run
from bitmixer.graph import LayerGraph
from bitmixer.layers import (
    ExactAttention,
    ExactAverage,
    ExactProduct,
    ExactReduction,
    ExactSoftmax,
    MixedConvolution,
    MixedLinear,
    Site,
)
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import find_checkpoint

INPUTS = 70


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    return load_data("digits")[0][:INPUTS]


@pytest.fixture(scope="module")
def graph() -> LayerGraph:
    return find_checkpoint("resnet8_digits").graph


def drawn(graph: LayerGraph, seed: int) -> BitAssignment:
    return BitAssignment.random(graph.layers, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(3))
def test_logits_depend_on_neither_batch_size_nor_layout_nor_threads(
    digits_network: MetaQuantizedNetwork, graph: LayerGraph, inputs: Tensor, seed: int
) -> None:
    assignment = drawn(graph, seed)
    expected = run(digits_network, inputs, assignment)
    assert expected.shape == (INPUTS, 10)
    for batch_size in (1, 7, 64):
        assert torch.equal(run(digits_network, inputs, assignment, batch_size=batch_size), expected)
    last = inputs.expand(-1, 1, -1, -1).contiguous(memory_format=torch.channels_last)
    assert torch.equal(run(digits_network, last, assignment), expected)
    torch.set_num_threads(2)
    assert torch.equal(run(digits_network, inputs, assignment, batch_size=64), expected)


def test_weights_in_channels_last_give_the_same_logits(graph: LayerGraph, inputs: Tensor) -> None:
    from bitmixer import load_network

    network = load_network("resnet8_digits")
    assignment = drawn(graph, 4)
    expected = run(network, inputs, assignment)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert torch.equal(run(network, inputs, assignment), expected)


def test_mixed_widths_matter(digits_network: MetaQuantizedNetwork, graph: LayerGraph, inputs: Tensor) -> None:
    logits = {bits: run(digits_network, inputs, graph.uniform(bits)) for bits in (2, 4, 8)}
    assert not torch.equal(logits[2], logits[4])
    assert not torch.equal(logits[4], logits[8])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_stepping_with_widths_committed_late_gives_the_same_logits(
    digits_network: MetaQuantizedNetwork, graph: LayerGraph, inputs: Tensor, seed: int
) -> None:
    """As hardware does: before a layer is issued, those whose commit point it is are fixed, and no others."""
    assignment = drawn(graph, seed)
    digits_network.assign(graph.uniform(2))  # what the network stood at before must not show
    stepwise = StepwiseRun(digits_network, inputs)
    for position, layer in enumerate(graph.layers):
        for other, point in zip(graph.layers, graph.commit_points, strict=True):
            if point == position:
                stepwise.commit(other.name, assignment[other.name])
        stepwise.advance(layer.name)
    assert torch.equal(stepwise.finish(), run(digits_network, inputs, assignment))


def test_runs_that_are_under_way_at_once_do_not_disturb_each_other(
    digits_network: MetaQuantizedNetwork, graph: LayerGraph, inputs: Tensor
) -> None:
    assignments = [drawn(graph, 11), drawn(graph, 12)]
    halves = [inputs[:30], inputs[30:]]
    runs = [StepwiseRun(digits_network, half) for half in halves]
    for layer in graph.layers:
        for stepwise, assignment in zip(runs, assignments, strict=True):
            for site, widths in assignment.items():
                stepwise.commit(site, widths)
            stepwise.advance(layer.name)
        digits_network.assign(graph.uniform(8))
    logits = [stepwise.finish() for stepwise in runs]
    for half, assignment, result in zip(halves, assignments, logits, strict=True):
        assert torch.equal(result, run(digits_network, half, assignment))


def test_a_committed_site_keeps_its_widths(digits_network: MetaQuantizedNetwork, inputs: Tensor) -> None:
    stepwise = StepwiseRun(digits_network, inputs)
    stepwise.commit("stages.0.0.conv1", BitWidths(4, 4))
    stepwise.commit("stages.0.0.conv1", BitWidths(4, 4))
    with pytest.raises(BitWidthError, match="is committed at w4a4 and cannot run at w2a2"):
        stepwise.commit("stages.0.0.conv1", BitWidths(2, 2))


def test_stepping_refuses_what_cannot_be(digits_network: MetaQuantizedNetwork, inputs: Tensor) -> None:
    stepwise = StepwiseRun(digits_network, inputs)
    with pytest.raises(UnknownSiteError, match="did you mean 'stem'"):
        stepwise.commit("stam", BitWidths(8, 8))
    with pytest.raises(UnknownSiteError, match=r"stages\.0\.0\.norm1"):
        stepwise.advance("stages.0.0.norm1")
    with pytest.raises(BitWidthError, match="'stem' cannot run at w4a4"):
        stepwise.commit("stem", BitWidths(4, 4))
    with pytest.raises(BitWidthError, match="'stem' is not committed"):
        stepwise.advance("stem")
    stepwise.commit("stem", BitWidths(8, 8))
    with pytest.raises(BitWidthError, match="is not committed"):
        stepwise.finish()


# Integer truth.


def reference(x: np.ndarray, weight: np.ndarray, stride: int, padding: int, groups: int) -> np.ndarray:
    """Convolve int64 codes as the definition says."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    height, width = weight.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(2, 3))[:, :, ::stride, ::stride]
    parts = [
        np.einsum("nchwyx,ocyx->nohw", channels, kernels)
        for channels, kernels in zip(np.split(windows, groups, axis=1), np.split(weight, groups, axis=0), strict=True)
    ]
    return np.concatenate(parts, axis=1)


def integers(tensor: Tensor) -> np.ndarray:
    assert torch.equal(tensor, tensor.round())
    return tensor.numpy().astype(np.int64)


def site_with_codes(site: Site, x: Tensor) -> Site:
    site.activation_quantizer.calibrate(x)
    site.weight_quantizer.calibrate(site.weight)
    return site.eval()


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("widths", [BitWidths(2, 2), BitWidths(3, 8), BitWidths(8, 4), BitWidths(8, 8)])
def test_accumulators_are_the_integers_of_the_definition(widths: BitWidths, signed: bool, groups: int) -> None:
    x = torch.randn(3, 8, 9, 7) if signed else torch.rand(3, 8, 9, 7)
    layer = nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=groups)
    site = site_with_codes(MixedConvolution(layer, (widths, BitWidths(8, 8)), signed_input=signed), x)
    site.widths = widths
    accumulators = site.accumulators(x)
    codes = integers(site.activation_quantizer.codes(x))
    kernel = integers(site.weight_quantizer.codes(site.weight))
    assert np.array_equal(integers(accumulators), reference(codes, kernel, 2, 1, groups))


def test_accumulators_beyond_float32_stay_exact() -> None:
    x = torch.rand(2, 4000) * 100
    site = site_with_codes(MixedLinear(nn.Linear(4000, 3), (BitWidths(8, 8),), signed_input=False), x)
    with torch.no_grad():
        site.weight.fill_(1.0).mul_(torch.tensor([[1.0], [-1.0], [0.999]]))
        site.weight_quantizer.log_step.fill_(float(np.log(1 / 127)))
        site.activation_quantizer.log_steps["8"].fill_(float(np.log(100 / 255)))
    accumulators = site.accumulators(x)
    exact = integers(site.activation_quantizer.codes(x)) @ integers(site.weight_quantizer.codes(site.weight)).T
    assert np.abs(exact).max() > 2**24
    assert np.array_equal(integers(accumulators), exact)


@pytest.mark.parametrize("widths", [BitWidths(2, 2), BitWidths(4, 4), BitWidths(8, 8)])
def test_the_result_is_the_fake_quantised_one_up_to_rounding(widths: BitWidths) -> None:
    x = torch.randn(4, 6, 8, 8)
    site = site_with_codes(MixedConvolution(nn.Conv2d(6, 5, 3), (widths, BitWidths(8, 8)), signed_input=True), x)
    site.widths = widths
    site.quantize_weights = site.quantize_activations = True
    with torch.no_grad():
        exact = site(x)
        rounded = F.conv2d(site.activation_quantizer(x), site.weight_quantizer(site.weight), site.bias)
    torch.testing.assert_close(exact, rounded, rtol=1e-4, atol=1e-4)


def test_codes_follow_their_weights_and_their_type() -> None:
    x = torch.rand(2, 6)
    site = site_with_codes(MixedLinear(nn.Linear(6, 3), (BitWidths(8, 8),), signed_input=False), x)
    site.quantize_weights = site.quantize_activations = True
    before = site(x)
    with torch.no_grad():
        site.weight.mul_(-1)
        assert site.bias is not None
    torch.testing.assert_close(site(x) - site.bias, -(before - site.bias))
    with torch.no_grad():
        site.weight_quantizer.log_step.add_(1.0)
    assert not torch.equal(site(x), before)
    assert site.double()(x.double()).dtype == torch.float64


def test_averages_are_exact_in_any_order() -> None:
    """Float32 sums of these numbers depend on the order; fixed-point sums do not."""
    x = torch.rand(5, 4, 33, 31) * torch.logspace(-3, 3, 33)[:, None]
    shuffled = x.flatten(2)[..., torch.randperm(33 * 31)].reshape(x.shape)
    plain = nn.AdaptiveAvgPool2d(1)
    assert not torch.equal(plain(x), plain(shuffled))
    exact = ExactAverage(plain).eval()
    exact.integer = True
    assert torch.equal(exact(x), exact(shuffled))
    torch.testing.assert_close(exact(x), plain(x))


def in_integer_evaluation(reduction: ExactReduction) -> ExactReduction:
    reduction.eval().integer = True
    return reduction


WIDE = torch.logspace(-3, 2, 96)  # float32 sums of such numbers depend on their order


def test_softmax_is_exact_in_any_order() -> None:
    scores, order = torch.randn(6, 4096) * 3, torch.randperm(4096)
    exact = in_integer_evaluation(ExactSoftmax(torch.softmax))
    assert not torch.equal(torch.softmax(scores, -1)[:, order], torch.softmax(scores[:, order], -1))
    assert torch.equal(exact(scores, -1)[:, order], exact(scores[:, order], dim=-1))
    torch.testing.assert_close(exact(scores, 1), torch.softmax(scores, 1), rtol=1e-5, atol=1e-9)
    assert torch.equal(in_integer_evaluation(ExactSoftmax(nn.Softmax(1)))(scores), exact(scores, 1))


def test_products_are_exact_in_any_order() -> None:
    a, b = torch.randn(3, 5, 96) * WIDE, torch.randn(3, 96, 4) * WIDE[:, None]
    order = torch.randperm(96)
    exact = in_integer_evaluation(ExactProduct(torch.matmul))
    assert not torch.equal(a @ b, a[..., order] @ b[:, order])
    assert torch.equal(exact(a, b), exact(a[..., order], b[:, order]))
    torch.testing.assert_close(exact(a, b), a @ b, rtol=1e-4, atol=1e-1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"is_causal": True, "scale": 0.7},
        {"attn_mask": torch.tensor([[True, False], [True, True]]).repeat(3, 4)},
        {"attn_mask": torch.linspace(-2, 2, 48).reshape(6, 8), "scale": 0.1},
    ],
)
def test_attention_is_that_of_torch(options: dict[str, Any]) -> None:
    query, key, value = torch.randn(2, 3, 6, 16), torch.randn(2, 3, 8, 16), torch.randn(2, 3, 8, 5)
    exact = in_integer_evaluation(ExactAttention(F.scaled_dot_product_attention))
    expected = F.scaled_dot_product_attention(query, key, value, **options)
    torch.testing.assert_close(exact(query, key, value, **options), expected, rtol=1e-3, atol=1e-3)


def test_attention_drops_nothing_in_evaluation() -> None:
    query, key, value = torch.randn(3, 2, 6, 4).unbind(0)
    attention = ExactAttention(F.scaled_dot_product_attention)
    assert not torch.equal(attention(query, key, value, None, 0.5), attention(query, key, value))
    attention.eval()
    assert torch.equal(attention(query, key, value, None, 0.5), F.scaled_dot_product_attention(query, key, value))


def test_running_works_on_a_fresh_network() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    x = torch.rand(9, 1, 8, 8)
    network = convert(model, [2, 8], signed_input=False)
    network.calibrate_activations(x)
    network.calibrate_weights()
    network.quantize()
    assignment = capture(network, x).uniform(2)
    assert torch.equal(run(network, x, assignment, batch_size=2), run(network, x, assignment))


def stepwise(network: MetaQuantizedNetwork, inputs: Tensor, assignment: BitAssignment) -> StepwiseRun:
    """Return a run that is finished."""
    stepped = StepwiseRun(network, inputs)
    for site, widths in assignment.items():
        stepped.commit(site, widths)
    stepped.finish()
    return stepped


@pytest.mark.parametrize("seed", range(3))
def test_a_branch_equals_a_run_of_its_own_and_leaves_the_first_alone(
    digits_network: MetaQuantizedNetwork, graph: LayerGraph, inputs: Tensor, seed: int
) -> None:
    first, other = drawn(graph, seed), drawn(graph, seed + 100)
    stepped = stepwise(digits_network, inputs, first)
    for count in (0, 1, 3, len(graph.layers)):
        changes = {layer.name: other[layer.name] for layer in graph.layers[len(graph.layers) - count :]}
        branched = stepped.branch(changes).finish()
        assert torch.equal(branched, run(digits_network, inputs, {**first, **changes}))
    for layer in graph.layers:
        changes = {layer.name: other[layer.name]}
        branched = stepped.branch(changes).branch({graph.layers[1].name: BitWidths(2, 2)}).finish()
        assert torch.equal(
            branched, run(digits_network, inputs, {**first, **changes, graph.layers[1].name: BitWidths(2, 2)})
        )
    assert torch.equal(stepped.finish(), run(digits_network, inputs, first))


def test_a_branch_computes_only_what_depends_on_its_changes(
    digits_network: MetaQuantizedNetwork, graph: LayerGraph, inputs: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped = stepwise(digits_network, inputs, graph.uniform(8))
    computed: list[str] = []
    for site in digits_network.sites:
        product = site.layer.product

        def noted(*arguments: Tensor, name: str = site.name, product: Any = product) -> Tensor:
            computed.append(name)
            result: Tensor = product(*arguments)
            return result

        monkeypatch.setattr(site.layer, "product", noted)
    stepped.branch({}).finish()
    assert computed == []
    stepped.branch({"stages.2.0.conv2": BitWidths(8, 8)}).finish()
    assert computed == []
    stepped.branch({"stages.2.0.conv2": BitWidths(2, 2)}).finish()
    assert computed == ["stages.2.0.conv2", "classifier"]  # the norm before it changes too, but no layer before that


def test_a_branch_refuses_what_a_commit_refuses(
    digits_network: MetaQuantizedNetwork, graph: LayerGraph, inputs: Tensor
) -> None:
    stepped = stepwise(digits_network, inputs, graph.uniform(8))
    with pytest.raises(UnknownSiteError, match="did you mean 'stages"):
        stepped.branch({"stages.0.0.conv3": BitWidths(2, 2)})
    with pytest.raises(BitWidthError, match="cannot run at w3a3"):
        stepped.branch({"stages.0.0.conv1": BitWidths(3, 3)})


class InPlace(nn.Module):
    """Overwrites the sum's first operand, which shares its memory with that of a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(4)
        self.norm2 = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 4, 3, padding=1)
        self.norm3 = nn.BatchNorm2d(4)
        self.classifier = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        y = F.relu(self.norm1(self.first(x)), inplace=True)
        z = self.norm2(self.second(x))
        y += z
        y = self.norm3(self.last(F.relu(y, inplace=True)))
        return self.classifier(F.relu(y, inplace=True).mean((2, 3)))  # type: ignore[no-any-return]


def test_a_branch_is_right_where_tensors_are_overwritten() -> None:
    inputs = torch.rand(5, 1, 6, 6)
    network = convert(InPlace().eval(), (2, 4, 8))
    network.calibrate_activations(inputs)
    network.calibrate_weights()
    network.start_transitions()
    network.quantize()
    first = network.eval().uniform(8)
    stepped = stepwise(network, inputs, first)
    for site in ("first", "second", "last"):
        expected = run(network, inputs, {**first, site: BitWidths(2, 2)})
        assert torch.equal(stepped.branch({site: BitWidths(2, 2)}).finish(), expected)
        assert not torch.equal(expected, stepped.finish())
