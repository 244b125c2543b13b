"""Conversion: with quantisers off the twin is the original, to the bit; what cannot be converted is refused."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer import convert
from bitmixer.bitwidths import BitWidths
from bitmixer.description import build
from bitmixer.errors import BitmixerError, BitWidthError, UnsupportedNetworkError
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import create


class Functional(nn.Module):
    """Every layer a functional call on the module's own parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 3, 3, 3) * 0.2)
        self.kernel_bias = nn.Parameter(torch.randn(6))
        self.second = nn.Parameter(torch.randn(6, 1, 3, 3) * 0.2)
        self.gain = nn.Parameter(torch.rand(6) + 0.5)
        self.shift = nn.Parameter(torch.randn(6))
        self.register_buffer("mean", torch.randn(6))
        self.register_buffer("variance", torch.rand(6) + 0.5)
        self.matrix = nn.Parameter(torch.randn(5, 6 * 4 * 4) * 0.1)
        self.offset = nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.kernel, self.kernel_bias, padding=1)
        x = F.batch_norm(x, self.mean, self.variance, self.gain, self.shift, training=self.training)
        x = F.max_pool2d(F.relu(x), 2)
        x = F.relu6(torch.conv2d(x, self.second, None, 1, 1, 1, 6))
        x = F.dropout(x, 0.3, training=self.training)
        return F.linear(torch.flatten(x, 1), self.matrix, self.offset)


class FunctionalVectors(nn.Module):
    """A functional batch-norm on vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(12, 9), nn.Linear(9, 4)
        self.register_buffer("mean", torch.randn(9))
        self.register_buffer("variance", torch.rand(9) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.batch_norm(self.linear1(x), self.mean, self.variance, training=self.training, momentum=0.3)
        return self.linear2(torch.relu(x))


class Joins(nn.Module):
    """Nested blocks, shortcut first in the code, ``+`` and ``torch.add``, in-place ReLU, three-way join, view."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.main = nn.Sequential(
            nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU(inplace=True)),
            nn.Sequential(nn.Conv2d(12, 12, 3, 1, 1), nn.BatchNorm2d(12)),
        )
        self.projection = nn.Sequential(nn.Conv2d(8, 12, 1, 2, bias=False), nn.BatchNorm2d(12))
        self.third = nn.Conv2d(8, 12, 3, 2, 1)
        self.relu = nn.ReLU(inplace=True)
        self.left, self.right = nn.Conv2d(12, 12, 3, 1, 1), nn.Conv2d(12, 12, 1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Linear(48, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        shortcut = self.projection(x)
        x = self.relu(shortcut + self.main(x) + self.third(x))
        x = torch.add(self.left(x), self.right(x)).relu_()
        x = self.pool(x)
        return self.classifier(x.view(x.size(0), -1))


class PreActivation(nn.Module):
    """Norm and ReLU before the convolution; the shortcut carries what was never normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 1, 1)
        self.norm1, self.conv1 = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, 1, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, 1, 1)
        self.norm3, self.classifier = nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.conv1(F.relu(self.norm1(x), inplace=True))
        x = x + self.conv2(torch.relu(self.norm2(y)))
        return self.classifier(torch.mean(F.relu(self.norm3(x)), (2, 3)))


class IdentityAndProjection(nn.Module):
    """One tensor goes through a layer, through a projection, and past both."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8)
        self.conv, self.projection = nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 1)
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        y = self.conv(x) + x
        return self.classifier((y + self.projection(x)).mean((2, 3)))


def linear_network() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(192, 16), nn.BatchNorm1d(16), nn.ReLU(),
        nn.Linear(16, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 5),
    )  # fmt: skip


def depthwise_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True),
        nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True),
        nn.Conv2d(8, 12, 1, groups=2), nn.BatchNorm2d(12), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, 5),
    )  # fmt: skip


def temporal_network() -> nn.Module:
    """1-d convolutions over the rows of the image, as for audio or sensor signals."""
    return nn.Sequential(
        nn.Flatten(1, 2), nn.Conv1d(24, 8, 3, padding=1, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(8, 8, 3, padding=1, groups=8), nn.BatchNorm1d(8), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(8, 5),
    )  # fmt: skip


def plain_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(6, 5),
    )  # fmt: skip


def residual_network(architecture: str) -> Callable[[], nn.Module]:
    return lambda: create(architecture, input_channels=3, classes=5, width=4)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet8": residual_network("resnet8"),
    "resnet20": residual_network("resnet20"),
    "functional": Functional,
    "joins": Joins,
    "pre_activation": PreActivation,
    "identity_and_projection": IdentityAndProjection,
    "linear": linear_network,
    "depthwise": depthwise_network,
    "temporal": temporal_network,
    "no_norms": plain_network,
}


def randomised(model: nn.Module) -> nn.Module:
    """Give norms values that no two layers share, so that a mix-up cannot hide."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 1.5)
    return model


def train_step(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits and the input's gradient of one step that leaves gradients and running statistics."""
    model.train()
    torch.manual_seed(5)  # of dropout
    x = x.clone().requires_grad_()
    logits: Tensor = model(x)
    (logits.square().sum() + logits.sum()).backward()
    assert x.grad is not None
    return logits.detach(), x.grad


def gradients(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    named = [(name, p) for name, p in model.named_parameters() if "_affine." not in name]
    return [(p.detach(), p.grad) for _, p in named if p.grad is not None]


def holds(pairs: list[tuple[Tensor, Tensor]], value: Tensor, gradient: Tensor) -> bool:
    return any(torch.equal(value, v) and torch.equal(gradient, g) for v, g in pairs)


@pytest.mark.parametrize("name", NETWORKS)
def test_with_quantisers_off_the_twin_is_the_original_bit_for_bit(name: str) -> None:
    original = randomised(NETWORKS[name]())
    twin = convert(original)
    x = torch.randn(6, 3, 8, 8)
    assert torch.equal(twin.eval()(x), original.eval()(x))

    logits, input_gradient = train_step(original, x)
    twin_logits, twin_input_gradient = train_step(twin, x)
    assert torch.equal(twin_logits, logits)
    assert torch.equal(twin_input_gradient, input_gradient)
    expected = gradients(original)
    assert len(expected) == len(list(original.parameters()))
    pairs = gradients(twin)
    assert len(pairs) == len(expected)
    assert all(holds(pairs, value, gradient) for value, gradient in expected)

    updated = [buffer for key, buffer in twin.named_buffers() if "num_batches" not in key]
    for key, buffer in original.named_buffers():
        assert "num_batches" in key or any(torch.equal(buffer, other) for other in updated), key
    assert torch.equal(twin.eval()(x), original.eval()(x))


def test_a_functional_norm_on_vectors_converts() -> None:
    original = FunctionalVectors()
    twin = convert(original)
    x = torch.randn(6, 12)
    logits, gradient = train_step(original, x)
    twin_logits, twin_gradient = train_step(twin, x)
    assert torch.equal(twin_logits, logits)
    assert torch.equal(twin_gradient, gradient)
    assert torch.equal(twin.eval()(x), original.eval()(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_twin_is_built_again_from_plain_data(name: str) -> None:
    twin = convert(randomised(NETWORKS[name]()), (2, 8)).eval()
    description = json.loads(json.dumps(twin.form.module))
    again = convert(build(description), (2, 8))
    again.load_state_dict(twin.state_dict())
    x = torch.randn(6, 3, 8, 8)
    assert torch.equal(again.eval()(x), twin(x))
    assert again.form == twin.form


@pytest.mark.parametrize("name", NETWORKS)
def test_the_original_is_left_alone(name: str) -> None:
    original = NETWORKS[name]()
    before, layout = copy.deepcopy(original.state_dict()), repr(original)
    twin = convert(original)
    train_step(twin, torch.randn(6, 3, 8, 8))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert repr(original) == layout
    after = original.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("training", [True, False])
def test_the_twin_is_in_the_mode_of_the_original(training: bool) -> None:
    assert convert(plain_network().train(training)).training is training


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_and_buffer_has_one_name(name: str) -> None:
    state = convert(NETWORKS[name]()).state_dict()
    places = [tensor.data_ptr() for tensor in state.values() if tensor.numel()]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("name", NETWORKS)
def test_quantised_it_still_computes_almost_the_same(name: str) -> None:
    """8 bits, calibrated on the very batch: an untrained network stays near its real-valued self."""
    original = NETWORKS[name]().eval()
    twin = convert(original, [8])
    x = torch.randn(16, 3, 8, 8)
    expected = original(x)
    twin.calibrate_activations(x)
    twin.calibrate_weights()
    twin.quantize()
    error = (twin(x) - expected).norm() / expected.norm()
    assert 0 < error.item() < 0.1


def test_first_and_last_are_pinned_unless_one_asks() -> None:
    twin = convert(create("resnet8", input_channels=3, classes=5, width=4), [2, 4])
    assert [site.allowed for site in twin.sites if len(site.allowed) == 1] == [((8, 8),), ((8, 8),)]
    assert twin.sites[0].name == "stem"
    assert twin.sites[-1].name == "classifier"
    free = convert(plain_network(), [2, 4], pinned=())
    assert all(site.allowed == (BitWidths(2, 2), BitWidths(4, 4)) for site in free.sites)


def test_only_what_can_be_negative_gets_signed_codes() -> None:
    def signed(twin: MetaQuantizedNetwork) -> dict[str, bool]:
        return {site.name: site.layer.activation_quantizer.signed for site in twin.sites}

    twin = convert(PreActivation())
    assert signed(twin) == {"stem": True, "conv1": False, "conv2": False, "classifier": False}
    assert not signed(convert(PreActivation(), signed_input=False))["stem"]
    assert signed(convert(IdentityAndProjection())) == {
        "stem": True, "conv": False, "projection": False, "classifier": True,
    }  # fmt: skip


# What cannot be converted.


class Body(nn.Module):
    """A network around one function."""

    def __init__(self, function: Callable[[Body, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.other, self.norm = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=True)
        self.weight = nn.Parameter(torch.randn(3, 3, 1, 1))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def branch_on_values(net: Body, x: Tensor) -> Tensor:
    return net.conv(x) if x.sum() > 0 else net.other(x)


def loop_over_values(net: Body, x: Tensor) -> Tensor:
    for _ in range(x.shape[0]):
        x = net.conv(x)
    return x


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda net, x: net.conv(torch.relu(net.conv(x))), "conv is used 2 times"),
        (lambda net, x: net.other(net.norm(net.norm(net.conv(x)))), "norm is used 2 times"),
        (lambda net, x: F.conv2d(F.conv2d(x, net.weight), net.weight), "weight is used 2 times"),
        (branch_on_values, "must not depend on tensor values"),
        (lambda net, x: net.conv(x).no_such_method.other, "cannot be converted"),
        (lambda net, x: net.missing(x), "cannot be traced ('Body' object has no attribute 'missing')"),
        (loop_over_values, "must not depend on tensor values"),
        (lambda net, x: torch.relu(x), "no convolution or linear layer"),
        (lambda net, x: F.conv2d(x, torch.relu(net.weight)), "weights computed on the way"),
        (lambda net, x: (net.conv(x), net.other(x)), "expected one tensor in and one out"),
    ],
)
def test_refusals(function: Callable[[Body, Tensor], Tensor], message: str) -> None:
    with pytest.raises(UnsupportedNetworkError, match=re.escape(message)):
        convert(Body(function))


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (lambda net, x: torch.cumsum(net.conv(x), 1), "cumsum"),
        (lambda net, x: net.conv(x) / net.other(x), "truediv"),
        (lambda net, x: 1.0 / net.conv(x), "truediv"),
        (lambda net, x: net.conv(x) @ net.weight, "matmul"),
        (lambda net, x: torch.add(net.conv(x), net.other(x), alpha=-1), "add"),
        (lambda net, x: F.interpolate(net.conv(x), scale_factor=2, mode="bilinear"), "interpolate"),
        (lambda net, x: net.conv(x).T, "getattr"),
    ],
)
def test_an_unknown_operation_is_named_with_its_place(
    function: Callable[[Body, Tensor], Tensor], operation: str
) -> None:
    with pytest.raises(UnsupportedNetworkError) as caught:
        convert(Body(function))
    line = function.__code__.co_firstlineno
    assert str(caught.value).startswith(f"{Path(__file__)}:{line}: operation {operation} cannot be converted")


@pytest.mark.parametrize(
    "function",
    [
        lambda net, x: net.relu(h := net.conv(x)) + net.other(h),
        lambda net, x: net.other(F.relu(h := net.conv(x), inplace=True)) + h,
        lambda net, x: net.other((h := net.conv(x)).contiguous().relu_()) + h,
    ],
)
def test_overwriting_what_others_read_is_refused(function: Callable[[Body, Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedNetworkError, match="overwrites a tensor that others read too"):
        convert(Body(function))


@pytest.mark.parametrize(
    ("layer", "instead"),
    [
        (nn.ConvTranspose2d(3, 3, 1), "upsample to the nearest and convolve instead"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), "only mode='nearest'"),
        (nn.InstanceNorm2d(3, track_running_stats=True), "set track_running_stats=False"),
        (nn.LSTM(3, 3), "supported are convolution"),
    ],
)
def test_an_unknown_layer_is_named_with_what_would_work(layer: nn.Module, instead: str) -> None:
    with pytest.raises(UnsupportedNetworkError) as caught:
        convert(nn.Sequential(nn.Conv2d(3, 3, 1), layer))
    assert f"operation {type(layer).__name__} (1) cannot be converted" in str(caught.value)
    assert instead in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.MultiheadAttention(4, 2), "only batch_first=True"),
        (nn.MultiheadAttention(4, 2, batch_first=True, kdim=6), "keys and values as wide as queries"),
        (nn.TransformerEncoderLayer(4, 2, 8), "only batch_first=True"),
    ],
)
def test_attention_that_does_not_unfold_says_what_to_write_instead(layer: nn.Module, message: str) -> None:
    with pytest.raises(UnsupportedNetworkError, match=message) as caught:
        convert(nn.Sequential(nn.Linear(4, 4), layer))
    assert "scaled_dot_product_attention" in str(caught.value)


@pytest.mark.parametrize("mask", [{"attn_mask": torch.zeros(2, 2)}, {"is_causal": True}])
def test_masks_and_cross_attention_are_refused(mask: dict[str, object]) -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x if mask else x + 1, x, **mask)[0]

    with pytest.raises(UnsupportedNetworkError, match="only attention without masks"):
        convert(Attention())
    mask = {}
    with pytest.raises(UnsupportedNetworkError, match="only self-attention"):
        convert(Attention())


def test_the_parts_of_a_divided_tensor_are_taken_one_by_one() -> None:
    with pytest.raises(UnsupportedNetworkError, match=r"chunk: take its parts one by one: a, b = x\.chunk"):
        convert(Body(lambda net, x: torch.cat(net.conv(x).chunk(3, 1), 1)))


def test_two_inputs_are_refused() -> None:
    class TwoInputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.conv(x) + self.conv(y) if False else self.conv(x + y)

    with pytest.raises(UnsupportedNetworkError, match="takes x, y"):
        convert(TwoInputs())


@pytest.mark.parametrize("bits", [[], [0, 2], [16]])
def test_widths_that_do_not_exist_are_refused(bits: list[int]) -> None:
    with pytest.raises(BitWidthError, match="from 1 to 8"):
        convert(plain_network(), bits)


def test_what_is_no_network_or_converted_already_is_refused() -> None:
    with pytest.raises(UnsupportedNetworkError, match=r"3 is not a torch\.nn\.Module"):
        convert(3)  # type: ignore[arg-type]
    twin = convert(create("resnet8", input_channels=1, classes=10))
    with pytest.raises(UnsupportedNetworkError, match="is converted already"):
        convert(twin)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "transistion"}, "unknown norm 'transistion': did you mean 'transition'"),
        ({"residual_bits": 20}, "expected whole numbers from 1 to 8"),
        ({"bits": (2.5, 8)}, r"bit-widths \(2.5, 8\)"),
        ({"bits": ("2", "4")}, "expected whole numbers"),
        ({"bits": True}, "bit-widths True"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BitmixerError, match=message):
        convert(nn.Sequential(nn.Linear(2, 2)), **options)


def test_one_width_needs_no_list() -> None:
    assert convert(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)), 4).bits == (4,)  # type: ignore[arg-type]


def test_widths_are_assigned_as_pairs_or_numbers_and_all_or_none() -> None:
    network = convert(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)), (2, 4))
    network.assign({**network.uniform(4), "1": (2, 2), "2": 2})
    assert network.assignment == network.uniform(2)
    for wrong in ((2, 4), (2,), "ab", 3, 2.0):
        with pytest.raises(BitWidthError, match="site '1'"):
            network.assign({**network.uniform(4), "1": wrong})  # type: ignore[dict-item]
        assert network.assignment == network.uniform(2)
