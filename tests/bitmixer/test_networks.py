"""What users bring: every network here, registered or odd, obeys the same laws of conversion and capture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer import StepwiseRun, capture, convert
from bitmixer.bitwidths import BitAssignment
from bitmixer.execution import run
from bitmixer.graph import LayerGraph
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import ARCHITECTURES, create

Networks = dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]


def convolution(inputs: int, outputs: int, kernel: int = 3, groups: int = 1, activation: nn.Module | None = None):  # type: ignore[no-untyped-def]
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs),
        activation or nn.ReLU(inplace=True),
    )  # fmt: skip


class DenseNet(nn.Module):
    """Pre-activation norms over concatenations of all that came before, as a growing list or as a growing tensor."""

    def __init__(self, *, as_list: bool) -> None:
        super().__init__()
        self.as_list = as_list
        self.stem, self.relu = convolution(3, 6), nn.ReLU(inplace=True)
        self.norms = nn.ModuleList(nn.BatchNorm2d(6 + 4 * block) for block in range(4))
        self.convs = nn.ModuleList(nn.Conv2d(6 + 4 * block, 4, 3, 1, 1, bias=False) for block in range(3))
        self.classifier = nn.Linear(18, 5)

    def forward(self, x: Tensor) -> Tensor:
        found = [self.stem(x)]
        whole = found[0]
        for norm, conv in zip(self.norms, self.convs, strict=False):
            found.append(conv(self.relu(norm(torch.cat(found, 1) if self.as_list else whole))))
            whole = torch.cat([whole, found[-1]], dim=1)
        whole = torch.cat(found, 1) if self.as_list else whole
        return self.classifier(F.adaptive_avg_pool2d(self.relu(self.norms[-1](whole)), 1).flatten(1))


class Inception(nn.Module):
    """Branches of different depth; a pool before a convolution; a pool, a norm and a ReLU behind a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolution(3, 8)
        self.point, self.deep = convolution(8, 4, 1), nn.Sequential(convolution(8, 4, 1), convolution(4, 6))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), convolution(8, 4, 1))
        self.left, self.right = nn.Conv2d(14, 6, 1), nn.Conv2d(14, 4, 3, padding=1)
        self.after, self.classifier = nn.BatchNorm2d(10), nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.concat((self.point(x), self.deep(x), self.pooled(x)), 1)
        x = torch.cat([self.left(x), self.right(F.avg_pool2d(x, 3, 1, 1))], -3)
        x = F.max_pool2d(F.hardswish(self.after(x)), 2)
        return self.classifier(x.mean((2, 3)))


class UNet(nn.Module):
    """Skips into concatenations, with upsampling as a module and as a function; its result is a map."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.bottom = convolution(3, 4), convolution(4, 6), convolution(6, 8)
        self.up, self.up2, self.up1 = nn.Upsample(scale_factor=2), convolution(14, 6), convolution(10, 4)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down1(x)
        second = self.down2(F.max_pool2d(first, 2))
        x = self.up2(torch.cat([self.up(self.bottom(F.max_pool2d(second, 2))), second], 1))
        return self.head(self.up1(torch.cat([F.interpolate(x, scale_factor=2), first], 1)))


class SqueezeExcite(nn.Module):
    """A gate over channels, behind a depthwise convolution, in an inverted residual."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolution(3, 8, activation=nn.Hardswish(inplace=True))
        self.depthwise = convolution(8, 8, groups=8, activation=nn.SiLU())
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.project, self.norm = nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.depthwise(x)
        y = y * torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        return self.classifier((x + self.norm(self.project(y))).mean((2, 3)))


class ShuffleNet(nn.Module):
    """Channels are divided, joined again and shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolution(3, 8)
        self.branches = nn.ModuleList(
            nn.Sequential(convolution(4, 4, 1), nn.Conv2d(4, 4, 3, 1, 1, groups=4), nn.BatchNorm2d(4)) for _ in range(2)
        )
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for branch in self.branches:
            left, right = x.chunk(2, dim=1)
            x = torch.cat((left, branch(right)), 1)
            batch, channels, height, width = x.shape
            x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, -1, height, width)
        return self.classifier(x.mean([2, 3]))


class Divided(nn.Module):
    """A norm and a smooth activation over a concatenation of views."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = nn.Conv2d(3, 7, 3, 1, 1), nn.Conv2d(4, 3, 3, 1, 1)
        self.norm, self.head = nn.BatchNorm2d(6), nn.Conv2d(6, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = torch.split(self.stem(x), [4, 3], 1)
        x = torch.cat([right, self.branch(left)], 1)
        return self.head(torch.tanh(self.norm(x))).mean((2, 3))


class InPlace(nn.Module):
    """Overwrites concatenations, whose pieces others still read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch, self.relu = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, 1, 1), nn.ReLU(inplace=True)
        self.deep, self.head = nn.Conv2d(8, 4, 1), nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.branch(x)
        z = self.deep(self.relu(torch.cat([x, y], 1)))
        return self.head(torch.cat([torch.cat([x, y], 1).relu_(), x - 1, z], 1)).mean((2, 3))


class PoolBeforeReLU(nn.Module):
    """Pools, norms and activations in unusual orders; one ReLU and one pool for all places."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.norm = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8)
        self.relu, self.pool, self.classifier = nn.ReLU(inplace=True), nn.AvgPool2d(2), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.pool(self.conv1(x)))
        x = self.norm(self.relu(self.pool(self.conv2(x))))
        return self.classifier(torch.flatten(self.pool(x), 1))


class VectorUnit(nn.Module):
    """Arithmetic between layers: constants, scalars, differences, gates by hand; norms of samples; odd padding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, (4, 3), (2, 1), padding=(1, 2), dilation=(1, 2))
        self.conv2 = nn.Conv2d(8, 8, 3, padding="same", dilation=2)
        self.conv3 = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
        self.groups, self.instances = nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True)
        self.gain, self.leaky, self.classifier = nn.Parameter(torch.rand(8, 1, 1)), nn.LeakyReLU(), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.elu(self.groups(self.conv1(x)) * self.gain)
        x = self.instances(self.conv2(x * F.relu6(x + 3) / 6))
        x = self.leaky(x - self.conv3(F.pad(torch.tanh(x), (1, 1, 0, 0))[..., 1:-1]))
        x = 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.04 * x**3)))
        return self.classifier(torch.mean(1 - x, (2, 3)))


class VisionTransformer(nn.Module):
    """Class token and positions as parameters; queries, keys and values from one layer, or from three."""

    def __init__(self, attention: Callable[[Tensor, Tensor, Tensor], Tensor], *, packed: bool) -> None:
        super().__init__()
        self.attention, self.packed = attention, packed
        self.patches, self.token = nn.Conv2d(3, 12, 2, 2), nn.Parameter(torch.randn(1, 1, 12))
        self.positions = nn.Parameter(torch.randn(1, 17, 12))
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(12), nn.LayerNorm(12), nn.LayerNorm(12)
        self.inward = nn.ModuleList([nn.Linear(12, 36)] if packed else [nn.Linear(12, 12) for _ in range(3)])
        self.outward, self.expand, self.contract = nn.Linear(12, 12), nn.Linear(12, 24), nn.Linear(24, 12)
        self.classifier = nn.Linear(12, 5)

    def attend(self, x: Tensor) -> Tensor:
        batch, tokens, features = x.shape
        if self.packed:
            parts = self.inward[0](x).reshape(batch, tokens, 3, 3, features // 3).permute(2, 0, 3, 1, 4)
            query, key, value = parts.unbind(0)
        else:
            query, key, value = (layer(x).view(batch, tokens, 3, 4).transpose(1, 2) for layer in self.inward)
        return self.outward(self.attention(query, key, value).transpose(1, 2).reshape(batch, tokens, features))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        x = x + self.attend(self.norm1(x))
        x = x + self.contract(F.gelu(self.expand(self.norm2(x))))
        return self.classifier(self.norm3(x)[:, 0])


def by_matrix_products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.softmax(query @ key.transpose(-2, -1) * query.size(-1) ** -0.5, dim=-1) @ value


class TorchEncoder(nn.Module):
    """Torch's own encoder, whose linear layers hide in ``nn.MultiheadAttention``."""

    def __init__(self, *, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(12, 3, 24, dropout=0.0, batch_first=True, norm_first=norm_first)
        self.patches, self.classifier = nn.Conv2d(3, 12, 2, 2), nn.Linear(12, 5)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(12), enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


def perceptron() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(192, 16), nn.GELU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 5)
    )  # fmt: skip


class FunctionalTemporal(nn.Module):
    """A functional 1-d convolution and a functional layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.offset = nn.Parameter(torch.randn(6, 24, 3) * 0.1), nn.Parameter(torch.randn(6))
        self.gain, self.shift, self.classifier = (
            nn.Parameter(torch.rand(8)),
            nn.Parameter(torch.randn(8)),
            nn.Linear(6, 5),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv1d(x.flatten(1, 2), self.kernel, self.offset, padding="same")
        return self.classifier(F.silu(F.layer_norm(x, (8,), self.gain, self.shift)).amax(2))


ODD: Networks = {
    "dense_list": (partial(DenseNet, as_list=True), (3, 8, 8)),
    "dense_chain": (partial(DenseNet, as_list=False), (3, 8, 8)),
    "inception": (Inception, (3, 8, 8)),
    "u_net": (UNet, (3, 8, 8)),
    "squeeze_excite": (SqueezeExcite, (3, 8, 8)),
    "shuffle_net": (ShuffleNet, (3, 8, 8)),
    "divided": (Divided, (3, 8, 8)),
    "in_place": (InPlace, (3, 8, 8)),
    "pool_before_relu": (PoolBeforeReLU, (3, 8, 8)),
    "vector_unit": (VectorUnit, (3, 8, 8)),
    "vit_packed": (partial(VisionTransformer, F.scaled_dot_product_attention, packed=True), (3, 8, 8)),
    "vit_products": (partial(VisionTransformer, by_matrix_products, packed=False), (3, 8, 8)),
    "torch_encoder": (partial(TorchEncoder, norm_first=False), (3, 8, 8)),
    "torch_encoder_norm_first": (partial(TorchEncoder, norm_first=True), (3, 8, 8)),
    "perceptron": (perceptron, (3, 8, 8)),
    "functional_temporal": (FunctionalTemporal, (3, 8, 8)),
}
REGISTERED: Networks = {
    name: (
        partial(create, name, input_channels=form.input_shape[0], classes=5, width=8),
        form.input_shape if form.input_shape[1] <= 49 else (3, 32, 32),
    )
    for name, form in ARCHITECTURES.items()
}
NETWORKS = ODD | REGISTERED
WITH_CONSTANT_TOKENS = ("vit_packed", "vit_products")


@dataclass(frozen=True)
class Case:
    """A network, its calibrated twin with quantisers on, its graph and inputs."""

    original: nn.Module
    twin: MetaQuantizedNetwork
    graph: LayerGraph
    inputs: Tensor


def built(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(1)
    build, shape = NETWORKS[name]
    model = build()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    return model, torch.randn(9, *shape)


@cache
def case(name: str) -> Case:
    model, inputs = built(name)
    model(inputs)  # running statistics that no two layers share
    twin = convert(model.eval(), [2, 3, 8])
    graph = capture(twin, inputs)
    twin.calibrate_activations(inputs)
    twin.calibrate_weights()
    twin.quantize()
    return Case(model, twin, graph, inputs)


@pytest.mark.parametrize("name", NETWORKS)
def test_with_quantisers_off_the_twin_is_the_original_bit_for_bit(name: str) -> None:
    original, x = built(name)
    twin = convert(original)
    results = []
    for model in (original, twin):
        torch.manual_seed(3)  # of dropout
        results.append(model.train()(x))
    assert torch.equal(*results)  # and running statistics follow
    assert torch.equal(twin.eval()(x), original.eval()(x))


def test_torchs_fused_encoder_differs_by_rounding_alone() -> None:
    original, x = built("torch_encoder")
    twin = convert(original.eval())
    with torch.no_grad():  # only then torch takes its fused path
        torch.testing.assert_close(twin(x), original(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ODD)  # deep untrained networks amplify what rounding does
def test_at_eight_bits_it_computes_almost_the_same(name: str) -> None:
    chosen = case(name)
    with torch.no_grad():
        expected = chosen.original(chosen.inputs)
        error = (run(chosen.twin, chosen.inputs, chosen.twin.uniform(8)) - expected).norm() / expected.norm()
    assert 0 < float(error) < 0.1


def counted_by_hooks(model: nn.Module, x: Tensor) -> dict[str, tuple[int, int]]:
    """Return MACs and weights of every layer that forward hooks see: each result takes fan-in many products."""
    found: dict[str, tuple[int, int]] = {}

    def watch(name: str, layer: nn.Conv1d | nn.Conv2d | nn.Linear) -> torch.utils.hooks.RemovableHandle:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            found[name] = (output.numel() * layer.weight[0].numel(), layer.weight.numel())

        return layer.register_forward_hook(hook)

    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Linear)]
    handles = [watch(name, layer) for name, layer in layers]
    model(x)
    for handle in handles:
        handle.remove()
    return found


def counted_by_export(model: nn.Module, x: Tensor) -> tuple[int, int]:
    """Return MACs and weights of the convolutions and linear layers that ``torch.export`` finds."""
    macs = weights = 0
    for node in torch.export.export(model, (x,)).graph.nodes:
        if getattr(node.target, "__name__", "").split(".")[0] in ("conv1d", "conv2d", "linear"):
            weight = node.args[1].meta["val"]
            macs += node.meta["val"].numel() * weight[0].numel()
            weights += weight.numel()
    return macs, weights


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_counts_what_hooks_and_export_count(name: str) -> None:
    chosen = case(name)
    captured = {layer.name: (layer.macs, layer.weights) for layer in chosen.graph.layers}
    total = (sum(macs for macs, _ in captured.values()), sum(weights for _, weights in captured.values()))
    assert total == counted_by_export(chosen.original, chosen.inputs[:1])
    if not name.startswith(("torch_encoder", "functional")):  # their layers are no modules of the original
        assert captured == counted_by_hooks(chosen.original, chosen.inputs[:1])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_registry_states_true_sizes(name: str) -> None:
    form = ARCHITECTURES[name]
    with torch.device("meta"):
        model = create(name, input_channels=form.input_shape[0], classes=form.classes).eval()
        example = torch.zeros(1, *form.input_shape)
        assert sum(parameter.numel() for parameter in model.parameters()) == form.parameters
        assert sum(macs for macs, _ in counted_by_hooks(model, example).values()) == form.macs
        assert capture(model, example).macs == form.macs


def test_published_sizes() -> None:
    """Torchvision's documentation: parameters, 4.09 and 0.30 GFLOPS."""
    assert ARCHITECTURES["resnet18"].parameters == 11_689_512
    assert ARCHITECTURES["resnet50"].parameters == 25_557_032
    assert ARCHITECTURES["resnet50"].macs == pytest.approx(4.09e9, rel=2e-3)
    assert ARCHITECTURES["mobilenetv2"].parameters == 3_504_872
    assert ARCHITECTURES["mobilenetv2"].macs == pytest.approx(0.30e9, rel=1e-2)


def drawn(graph: LayerGraph, seed: int) -> BitAssignment:
    return BitAssignment.random(graph.layers, np.random.default_rng(seed))


@pytest.mark.parametrize("name", NETWORKS)
def test_results_depend_on_neither_batch_size_nor_layout_nor_threads(name: str) -> None:
    chosen, assignment = case(name), drawn(case(name).graph, 1)
    expected = run(chosen.twin, chosen.inputs, assignment)
    for batch_size in (1, 4):
        assert torch.equal(run(chosen.twin, chosen.inputs, assignment, batch_size=batch_size), expected)
    last = chosen.inputs.to(memory_format=torch.channels_last)
    assert torch.equal(run(chosen.twin, last, assignment), expected)
    torch.set_num_threads(2)
    assert torch.equal(run(chosen.twin, chosen.inputs, assignment), expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_stepping_with_widths_committed_late_gives_the_same(name: str) -> None:
    chosen, assignment = case(name), drawn(case(name).graph, 2)
    stepwise = StepwiseRun(chosen.twin, chosen.inputs)
    for position, layer in enumerate(chosen.graph.layers):
        for other, point in zip(chosen.graph.layers, chosen.graph.commit_points, strict=True):
            if point == position:
                stepwise.commit(other.name, assignment[other.name])
        stepwise.advance(layer.name)
    assert torch.equal(stepwise.finish(), run(chosen.twin, chosen.inputs, assignment))


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_read_was_written(name: str) -> None:
    """The stream holds what key consumers read and the result; a stored tensor is read at least once."""
    chosen = case(name)
    layers = chosen.graph.layers
    behind = [layer for layer in layers if "input" not in layer.producers]
    result = chosen.original(chosen.inputs[:1]).numel()
    constants = 12 if name in WITH_CONSTANT_TOKENS else 0
    read = sum(layer.input_elements - layer.residual_input_elements for layer in behind)
    assert sum(layer.stream_write_elements for layer in layers) == read + result - constants
    stored = sum(layer.residual_write_elements for layer in layers)
    read_back = sum(layer.residual_read_elements + layer.residual_input_elements for layer in layers)
    assert (stored == 0) == (read_back == 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_come_after_their_producers(name: str) -> None:
    graph = case(name).graph
    for position, layer in enumerate(graph.layers):
        assert all(producer == "input" or graph.index[producer] < position for producer in layer.producers)
        assert all(graph.index[consumer] > position for consumer in layer.consumers)
        assert layer.residual_input_elements <= layer.input_elements
        assert layer.is_key_consumer == (layer.residual_input_elements < layer.input_elements)
