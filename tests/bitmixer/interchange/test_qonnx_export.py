"""Export: judged by the executor of the ``qonnx`` package, and by what it reads in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import bitmixer
from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import BitWidthError, InterchangeError, UnknownSiteError, UnsupportedNetworkError
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import find_checkpoint

CASES = {"resnet8_digits": ("digits", 200), "resnet20_mnist5k": ("mnist5k", 100)}


def largest_step_of_the_logits(network: MetaQuantizedNetwork) -> float:
    """Return by how much the logits move if one input of the classifier moves by one code."""
    classifier = network.sites[-1].layer
    assert isinstance(classifier.weight, Tensor)
    return float((classifier.activation_quantizer.step() * classifier.weight.abs().max()).detach())


@pytest.mark.parametrize("name", CASES)
def test_the_executor_predicts_what_the_network_predicts(name: str, tmp_path: Path, execute_qonnx: Any) -> None:
    """At every uniform width and under random assignments.

    Everything up to the last average is exact whole numbers on both sides. That average is summed in float32 there
    and in fixed point here, which turns the rounding of a classifier's input once in a thousand inputs or so; all
    other logits are equal to the bit.
    """
    network = bitmixer.load_network(name)
    data, count = CASES[name]
    inputs = bitmixer.load_data(data)[0][:count]
    generator = np.random.default_rng(1)
    assignments = [network.uniform(bits) for bits in network.bits]
    assignments += [BitAssignment.random(network.sites, generator) for _ in range(3)]
    equal = 0
    for assignment in assignments:
        bitmixer.export_qonnx(network, assignment, tmp_path / "net.onnx", batch=count)
        theirs = execute_qonnx(tmp_path / "net.onnx", inputs)
        network.assign(assignment)
        ours = network(inputs).detach()
        assert torch.equal(theirs.argmax(1), ours.argmax(1)), assignment
        difference = (theirs - ours).abs().amax(1)
        assert difference.max() <= 1.01 * largest_step_of_the_logits(network)
        equal += int((difference == 0).sum())
    assert equal >= 0.98 * count * len(assignments)


def every_operation(x: Tensor, layers: nn.ModuleDict) -> Tensor:
    x = F.relu6(layers["norm1"](layers["conv1"](x)))
    x = F.max_pool2d(x, 3, 2, 1)
    y = torch.relu(layers["conv2"](x))
    x = torch.relu(layers["norm2"](layers["conv3"](y)) + x)
    x = layers["pool"](x)
    x = torch.relu(layers["linear1"](x.view(x.size(0), -1)))
    return layers["linear2"](x)


class Assorted(nn.Module):
    """Biases, groups, both ReLUs, both pools in both spellings, a join and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({
            "conv1": nn.Conv2d(2, 8, (3, 5), 1, (1, 2)), "norm1": nn.BatchNorm2d(8),
            "conv2": nn.Conv2d(8, 16, 1), "conv3": nn.Conv2d(16, 8, 3, padding=1, groups=4, bias=False),
            "norm2": nn.BatchNorm2d(8), "pool": nn.AvgPool2d(2, padding=1), "linear1": nn.Linear(96, 12),
            "linear2": nn.Linear(12, 5),
        })  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return every_operation(x, self.layers)


class Temporal(nn.Sequential):
    """1-d maps, ReLU6 as a module and an average over the whole map."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(2, 6, 5, stride=2, padding=2), nn.BatchNorm1d(6), nn.ReLU6(), nn.MaxPool1d(2),
            nn.Conv1d(6, 6, 3, groups=6, dilation=2), nn.ReLU(), nn.Dropout(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
            nn.Linear(6, 3),
        )  # fmt: skip


class Modern(nn.Module):
    """Squeeze and excite, concatenation, a channel shuffle, uneven padding, activations, and norms of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(2, 8, 2), nn.LocalResponseNorm(3, 0.3))
        self.branches = nn.ModuleList([nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 3, padding=1)])
        self.activations = nn.ModuleList([nn.LeakyReLU(0.3), nn.Hardswish()])
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.mix, self.other, self.head = nn.Conv2d(8, 6, 3, groups=2), nn.Conv2d(8, 6, 3), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([act(branch(x)) for act, branch in zip(self.activations, self.branches, strict=True)], 1)
        gate = F.silu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))
        x = x * torch.sigmoid(self.excite(gate))
        x = x.view(x.size(0), 2, 4, 7, 7).transpose(1, 2).reshape(x.size(0), 8, 7, 7)
        x = F.elu(self.mix(x), 0.7) * 0.5 - torch.tanh(self.other(x))
        x = F.max_pool2d(F.hardtanh(x, -0.5, 0.75), 2, ceil_mode=True)
        return torch.softmax(self.head(x.mean((2, 3))), 1)


def calibrated(
    model: nn.Module, inputs: Tensor, bits: tuple[int, ...] = (2, 4, 8), **options: Any
) -> MetaQuantizedNetwork:
    """Return a network with steps that fit and norms that differ from one transition to the next."""
    network = bitmixer.convert(model, bits, **options)
    for number, (name, tensor) in enumerate(network.named_buffers()):
        if "running" in name:
            tensor.copy_(torch.rand(tensor.shape) + 0.5 + 0.01 * number)
    network.calibrate_weights()
    network.calibrate_activations(inputs)
    network.quantize()
    return network.eval()


@pytest.mark.parametrize(("model", "shape"), [(Assorted, (2, 12, 9)), (Temporal, (2, 24)), (Modern, (2, 7, 7))])
def test_every_operation_is_written_as_it_is_computed(
    model: type[nn.Module], shape: tuple[int, ...], tmp_path: Path, execute_qonnx: Any
) -> None:
    inputs = torch.randn(8, *shape)
    network = calibrated(model(), inputs)
    assignment = BitAssignment.random(network.sites, np.random.default_rng(3))
    bitmixer.export_qonnx(network, assignment, tmp_path / "net.onnx", input_shape=shape, batch=8)
    network.assign(assignment)
    torch.testing.assert_close(execute_qonnx(tmp_path / "net.onnx", inputs), network(inputs).detach())


class Gaussian(nn.Module):
    """GELUs of both forms, and tensors that are added to and multiplied with, as a transformer has them."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.gain = nn.Parameter(torch.randn(1, 5, 6)), nn.Parameter(torch.rand(6) + 0.5)
        self.embed, self.expand, self.contract, self.head = (
            nn.Linear(*sizes) for sizes in ((4, 6), (6, 8), (8, 6), (6, 3))
        )
        self.smooth = nn.GELU(approximate="tanh")

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x) + self.positions
        x = self.contract(self.smooth(self.expand(F.gelu(x)))) * self.gain.unsqueeze(0)
        return self.head(x)


def test_gaussian_units_and_constant_tensors(tmp_path: Path, execute_qonnx: Any) -> None:
    inputs = torch.randn(8, 5, 4)
    network = calibrated(Gaussian(), inputs)
    for assignment in (network.uniform(4), network.uniform(8)):
        bitmixer.export_qonnx(network, assignment, tmp_path / "net.onnx", input_shape=(5, 4), batch=8)
        network.assign(assignment)
        theirs, ours = execute_qonnx(tmp_path / "net.onnx", inputs), network(inputs).detach()
        assert torch.equal(theirs.argmax(-1), ours.argmax(-1))
        torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)


def test_a_constant_that_depends_on_the_input_is_refused_with_its_place(tmp_path: Path) -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.positions = nn.Parameter(torch.randn(1, 9, 4))
            self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 3)])

        def forward(self, x: Tensor) -> Tensor:
            first, last = self.layers
            return last(first(x) + self.positions[:, : x.size(1)])

    network = calibrated(Cut(), torch.randn(2, 5, 4))
    with pytest.raises(InterchangeError, match=r"test_qonnx_export\.py:\d+: .*depends on a size"):
        bitmixer.export_qonnx(network, network.uniform(4), tmp_path / "net.onnx", input_shape=(5, 4))


def test_a_transformer_is_refused_at_the_place_of_its_norm(tmp_path: Path) -> None:
    inputs = torch.rand(2, 1, 8, 8)
    network = calibrated(bitmixer.networks.create("patch_transformer", input_channels=1, classes=3, width=16), inputs)
    with pytest.raises(InterchangeError, match=r"transformer\.py:\d+: blocks\.0\.norm1: a norm with statistics"):
        bitmixer.export_qonnx(network, network.uniform(4), tmp_path / "net.onnx", input_shape=(1, 8, 8))


QUANTIZATIONS = [
    ("nested", "channel"),
    ("lsq", "tensor"),
    ("lsq", "channel"),
    ("dorefa", "tensor"),
    ("dorefa", "channel"),
]


@pytest.mark.parametrize(("quantizer", "granularity"), QUANTIZATIONS)
def test_every_quantiser_is_written_as_it_is_computed(
    quantizer: Any, granularity: Any, tmp_path: Path, execute_qonnx: Any
) -> None:
    """Down to one bit; and the file comes back as the layer graph that was captured."""
    inputs = torch.randn(8, 2, 12, 9)
    bits = (1, 2, 4, 8)
    network = calibrated(Assorted(), inputs, bits, quantizer=quantizer, granularity=granularity)
    captured = bitmixer.capture(network, inputs[:1], name="net")
    generator = np.random.default_rng(4)
    assignments = [network.uniform(1), network.uniform(2), BitAssignment.random(network.sites, generator)]
    for assignment in assignments:
        bitmixer.export_qonnx(network, assignment, tmp_path / "net.onnx", input_shape=(2, 12, 9), batch=8)
        network.assign(assignment)
        torch.testing.assert_close(execute_qonnx(tmp_path / "net.onnx", inputs), network(inputs).detach())
        again = bitmixer.graph_from_onnx(tmp_path / "net.onnx")
        assert {layer.name: layer.allowed for layer in again.layers} == {
            name: (widths,) for name, widths in assignment.items()
        }
        for layer, expected in zip(again.layers, captured.layers, strict=True):
            assert (layer.macs, layer.stream_write_elements, layer.residual_write_elements) == (
                expected.macs, expected.stream_write_elements, expected.residual_write_elements,
            )  # fmt: skip


def test_what_was_read_can_be_written(write: Any, tmp_path: Path, execute_qonnx: Any) -> None:
    """Pools that pad unevenly, which only files from elsewhere have, and pads that change the order of sides."""
    body = """
        a = Conv <pads=[0,1,2,0]> (x, w[4,2,3,3], b[4])
        c = MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[0,1,2,0]> (a)
        d = AveragePool <kernel_shape=[2,2], pads=[1,0,0,0]> (c)
        e = Conv (d, v[4,4,1,1])
        f = GlobalMaxPool (e)
        g = Flatten (f)
        y = Gemm (g, u[4,3])"""
    inputs = torch.randn(4, 2, 7, 7)
    network = calibrated(bitmixer.from_onnx(write(body, shape="N,2,7,7")), inputs)
    bitmixer.export_qonnx(network, network.uniform(4), tmp_path / "again.onnx", input_shape=(2, 7, 7), batch=4)
    network.assign(network.uniform(4))
    torch.testing.assert_close(execute_qonnx(tmp_path / "again.onnx", inputs), network(inputs).detach())


def test_quantisers_have_the_widths_of_the_assignment(tmp_path: Path, digits_network: MetaQuantizedNetwork) -> None:
    widths = dict(digits_network.uniform(2)) | {"stages.1.0.conv1": BitWidths(8, 8)}
    bitmixer.export_qonnx(digits_network, widths, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    quantisers = {node.name: node for node in model.graph.node if node.op_type == "Quant"}
    assert {node.domain for node in quantisers.values()} == {"qonnx.custom_op.general"}
    for site, (weight, activation) in widths.items():
        written = [quantisers[f"{site}.{operand}"] for operand in ("weight_codes", "input.codes")]
        assert [constants[node.input[3]] for node in written] == [weight, activation]
        codes = constants[f"{site}.weight"]
        assert np.array_equal(codes, np.round(codes))
        assert -(2 ** (weight - 1)) <= codes.min() <= codes.max() < 2 ** (weight - 1)
    stored = {name for name in quantisers if not name.endswith((".weight_codes", ".input.codes"))}
    assert len(stored) == 5  # two projections' copies, the identity shortcut, and two operands that wait
    assert all(constants[quantisers[name].input[3]] == digits_network.residual_bits for name in stored)


def test_bit_operations_are_those_that_qonnx_counts(tmp_path: Path, digits_network: MetaQuantizedNetwork) -> None:
    """By qonnx's own inference cost, which finds the widths in the file."""
    pytest.importorskip("qonnx", reason="needs the extra 'test'")
    from qonnx.util.inference_cost import inference_cost

    assignment = BitAssignment.random(digits_network.sites, np.random.default_rng(2))
    bitmixer.export_qonnx(digits_network, assignment, tmp_path / "net.onnx")
    cost = inference_cost(str(tmp_path / "net.onnx"), discount_sparsity=False)["total_cost"]
    layers = find_checkpoint("resnet8_digits").graph.layers
    assert cost["total_macs"] == sum(layer.macs for layer in layers)
    assert cost["total_bops"] == sum(
        layer.macs * assignment[layer.name].weight * assignment[layer.name].activation for layer in layers
    )
    assert cost["total_mem_w_bits"] == sum(layer.weights * assignment[layer.name].weight for layer in layers)


def test_the_file_says_where_it_came_from(tmp_path: Path, digits_network: MetaQuantizedNetwork) -> None:
    assignment = digits_network.uniform(4)
    bitmixer.export_qonnx(digits_network, assignment, tmp_path / "a.onnx", name="mine", metadata={"why": "a test"})
    bitmixer.export_qonnx(digits_network, assignment, tmp_path / "b.onnx", name="mine", metadata={"why": "a test"})
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    model = onnx.load(tmp_path / "a.onnx")
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert BitAssignment.from_dict(json.loads(properties["bitmixer.assignment"])) == assignment
    assert (properties["bitmixer.network"], properties["why"], model.graph.name) == ("mine", "a test", "mine")


@pytest.mark.parametrize(("batch", "axis"), [(3, 3), (None, "batch")])
def test_the_batch_is_a_number_or_open(
    batch: int | None, axis: int | str, tmp_path: Path, digits_network: MetaQuantizedNetwork
) -> None:
    bitmixer.export_qonnx(digits_network, digits_network.uniform(4), tmp_path / "net.onnx", batch=batch)
    graph = onnx.load(tmp_path / "net.onnx").graph
    for tensor in (*graph.input, *graph.output):
        size = tensor.type.tensor_type.shape.dim[0]
        assert (size.dim_param or size.dim_value) == axis


def test_export_leaves_the_network_under_its_own_assignment(tmp_path: Path) -> None:
    network = bitmixer.load_network("resnet8_digits")
    network.assign(network.uniform(4))
    bitmixer.export_qonnx(network, network.uniform(2), tmp_path / "net.onnx")
    assert network.assignment == network.uniform(4)


def test_what_cannot_be_exported_is_refused(tmp_path: Path, digits_network: MetaQuantizedNetwork) -> None:
    widths = dict(digits_network.uniform(4))
    file = tmp_path / "net.onnx"
    with pytest.raises(UnknownSiteError, match=r"'stages\.0\.0\.conv3' .* did you mean 'stages\.0\.0\.conv"):
        bitmixer.export_qonnx(digits_network, {**widths, "stages.0.0.conv3": BitWidths(4, 4)}, file)
    with pytest.raises(BitWidthError, match="cannot run at w3a3"):
        bitmixer.export_qonnx(digits_network, {**widths, "stages.0.0.conv1": BitWidths(3, 3)}, file)
    with pytest.raises(UnsupportedNetworkError, match="does not fit"):
        bitmixer.export_qonnx(digits_network, widths, file, input_shape=(3, 8, 8))
    unknown = bitmixer.convert(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)))
    with pytest.raises(InterchangeError, match="give input_shape"):
        bitmixer.export_qonnx(unknown, unknown.uniform(4), file)
    assert not file.exists()


def test_an_average_without_onnx_form_is_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 2))
    network = bitmixer.convert(model)
    bitmixer.export_qonnx(network, network.uniform(4), tmp_path / "net.onnx", input_shape=(1, 8, 8))
    with pytest.raises(InterchangeError, match=r"map \(5, 5\) to \(2, 2\); expected equal windows"):
        bitmixer.export_qonnx(network, network.uniform(4), tmp_path / "net.onnx", input_shape=(1, 7, 7))
