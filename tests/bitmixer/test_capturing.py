"""Capture: against forward hooks on the original, against one block worked out by hand, and through JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bitmixer import capture, convert
from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import BitWidthError, GraphFormatError, UnknownSiteError, UnsupportedNetworkError
from bitmixer.graph import LayerGraph
from bitmixer.networks import create, find_checkpoint


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, (3, 5), 2, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.ReLU(),
        nn.Conv2d(8, 12, 1, groups=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 7),
    )  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What a forward hook saw."""

    macs: int
    weights: int
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


def measured(model: nn.Module, x: Tensor) -> dict[str, Measured]:
    """Count by hooks: every result of a convolution or linear layer takes fan-in many products."""
    found: dict[str, Measured] = {}

    def watch(name: str, layer: nn.Conv1d | nn.Conv2d | nn.Linear) -> None:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            fan_in = layer.weight[0].numel()
            found[name] = Measured(
                output[0].numel() * fan_in, layer.weight.numel(), tuple(inputs[0].shape[1:]), tuple(output.shape[1:])
            )

        layer.register_forward_hook(hook)

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            watch(name, module)
    model.eval()(x)
    return found


def temporal() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 6, 5, stride=2, padding=2), nn.BatchNorm1d(6), nn.ReLU(), nn.AvgPool1d(3),
        nn.Conv1d(6, 6, 3, groups=6), nn.Flatten(), nn.Linear(18, 3),
    )  # fmt: skip


CASES = {
    "resnet8": (lambda: create("resnet8", input_channels=1, classes=10), (1, 28, 28)),
    "resnet20": (lambda: create("resnet20", input_channels=3, classes=10), (3, 32, 32)),
    "resnet18": (lambda: create("resnet18", input_channels=3, classes=1000, width=8), (3, 64, 48)),
    "grouped": (grouped, (3, 16, 12)),
    "temporal": (temporal, (4, 30)),
}


def as_map(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return (channels, height, width); a sequence is a map of height 1."""
    channels, *sizes = shape
    return (channels, 1, *sizes) if len(sizes) == 1 else shape


@pytest.mark.parametrize("name", CASES)
def test_sizes_and_macs_are_those_that_hooks_see(name: str) -> None:
    build, shape = CASES[name]
    model = build()
    example = torch.randn(2, *shape)
    graph = capture(model, example)
    expected = measured(model, example)
    assert set(graph.index) == set(expected)
    for layer in graph.layers:
        seen = expected[layer.name]
        assert layer.macs == seen.macs
        assert layer.weights == seen.weights
        assert layer.input_elements == torch.Size(seen.input_shape).numel()
        assert layer.output_channels * layer.output_positions == torch.Size(seen.output_shape).numel()
        if layer.kind == "convolution":
            read = (layer.input_channels, layer.input_height, layer.input_width)
            written = (layer.output_channels, layer.output_height, layer.output_width)
            assert read == as_map(seen.input_shape)
            assert written == as_map(seen.output_shape)
    assert graph.macs == sum(seen.macs for seen in expected.values())
    assert graph.input_shape == shape


def test_the_imagenet_form_has_the_published_number_of_macs() -> None:
    """He et al., CVPR 2016, table 1: 1.8e9 for ResNet-18, and 11.7 million parameters (torchvision's count)."""
    graph = find_checkpoint("resnet18").graph
    assert graph.macs == pytest.approx(1.814e9, rel=1e-3)
    assert sum(layer.weights for layer in graph.layers) == 11_678_912


def test_traffic_of_a_residual_block_with_projection() -> None:
    """Worked out by hand for stage 2 of ResNet-8, width 8, on 8x8: 8 channels of 8x8 in, 16 of 4x4 out.

    conv1 and the projection read the block's input (512 elements): conv1 from the stream, the projection from
    the stored copy. conv2 finishes before the projection, so its result (256) waits in memory; the projection
    drains into the join, reads it back, and writes the sum for the next conv1 and, stored, for the next projection.
    """
    graph = capture(create("resnet8", input_channels=1, classes=10, width=8), torch.zeros(1, 1, 8, 8))
    fields = ("stream_write_elements", "residual_write_elements", "residual_read_elements", "vector_operations")
    traffic = {layer.name: tuple(getattr(layer, field) for field in fields) for layer in graph.layers}
    large, small, smallest = 8 * 8 * 8, 16 * 4 * 4, 32 * 2 * 2
    assert traffic == {
        "stem": (large, large, 0, 2 * large),  # norm, ReLU; stored for the identity shortcut
        "stages.0.0.conv1": (large, 0, 0, 2 * large),
        "stages.0.0.conv2": (large, large, large, 3 * large),  # norm, addition, ReLU
        "stages.1.0.conv1": (small, 0, 0, 2 * small),
        "stages.1.0.conv2": (0, small, 0, small),  # norm, then it waits
        "stages.1.0.shortcut.0": (small, small, small, 3 * small),
        "stages.2.0.conv1": (smallest, 0, 0, 2 * smallest),
        "stages.2.0.conv2": (0, smallest, 0, smallest),
        "stages.2.0.shortcut.0": (32, 0, smallest, 4 * smallest),  # and the mean over the map
        "classifier": (10, 0, 0, 0),
    }


def test_what_waits_is_what_is_read_back() -> None:
    graph = capture(create("resnet20", input_channels=1, classes=10, width=4), torch.zeros(1, 1, 28, 28))
    written = sum(layer.residual_write_elements for layer in graph.layers)
    read = sum(layer.residual_read_elements for layer in graph.layers)
    by_projections = sum(layer.input_elements for layer in graph.layers if not layer.is_key_consumer)
    assert written == read + by_projections


def test_capturing_takes_the_network_or_its_original() -> None:
    model = create("resnet8", input_channels=1, classes=10, width=4)
    example = torch.zeros(1, 1, 8, 8)
    assert capture(model, example, name="n") == capture(convert(model), example, name="n")


def test_capturing_changes_nothing() -> None:
    network = convert(create("resnet8", input_channels=1, classes=10, width=4).train())
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    capture(network, torch.randn(4, 1, 8, 8))
    assert network.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_json_gives_the_same_graph_back(tmp_path: Path) -> None:
    graph = capture(grouped(), torch.zeros(1, 3, 16, 12), name="grouped")
    (tmp_path / "graph.json").write_text(graph.to_json(), encoding="utf-8")
    again = LayerGraph.load(tmp_path / "graph.json")
    assert again == graph
    assert again.to_json() == graph.to_json()
    assert again.layers[1].allowed[0] == BitWidths(2, 2)


def wrong_version(data: dict[str, Any]) -> None:
    data["format_version"] = 99


def no_layers(data: dict[str, Any]) -> None:
    del data["layers"]


def unknown_field(data: dict[str, Any]) -> None:
    data["layers"][0]["colour"] = "red"


def no_pair(data: dict[str, Any]) -> None:
    data["layers"][0]["allowed"] = [8]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (wrong_version, "format_version 99, expected 2"),
        (no_layers, "not a layer graph: 'layers'"),
        (unknown_field, "colour"),
        (no_pair, "not a layer graph"),
    ],
)
def test_a_damaged_graph_is_refused(damage: Any, message: str) -> None:
    data = json.loads(capture(grouped(), torch.zeros(1, 3, 16, 12)).to_json())
    damage(data)
    with pytest.raises(GraphFormatError, match=message):
        LayerGraph.from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"a": 1}'])
def test_what_is_no_graph_is_refused(text: str) -> None:
    with pytest.raises(GraphFormatError, match=r"here\.json"):
        LayerGraph.from_json(text, where="here.json")


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for name in ("missing.json", "binary.json", "."):
        with pytest.raises(GraphFormatError, match="cannot be read"):
            LayerGraph.load(tmp_path / name)


def test_a_network_of_one_width_goes_by_that_of_most_of_its_sites() -> None:
    network = convert(create("resnet8", input_channels=3, classes=10, width=2), [4])
    graph = capture(network, torch.zeros(1, 3, 8, 8))
    assert {layer.allowed[0].weight for layer in graph.layers} == {4, 8}  # stem and classifier have 8
    assert graph.uniform_bits == (4,)


def test_the_graph_answers_for_its_sites() -> None:
    graph = capture(convert(grouped(), [2, 4]), torch.zeros(1, 3, 16, 12))
    assert graph.uniform_bits == (2, 4)
    with pytest.raises(BitWidthError, match="cannot run at w3a3"):
        graph.uniform(3)
    with pytest.raises(UnknownSiteError, match="did you mean"):
        graph["00"]


def test_mean_bits_are_weighted_by_macs() -> None:
    graph = capture(grouped(), torch.zeros(1, 3, 16, 12))
    assignment = BitAssignment({layer.name: BitWidths(2, 4) for layer in graph.layers})
    mean = graph.mean_bits(assignment)
    assert (mean.weight, mean.activation) == (2.0, 4.0)
    heavy = graph.layers[0]
    mixed = BitAssignment({**assignment, heavy.name: BitWidths(8, 8)})
    assert graph.mean_bits(mixed).weight == pytest.approx(2 + 6 * heavy.macs / graph.macs)


def test_networkx_sees_the_same_edges() -> None:
    graph = capture(create("resnet8", input_channels=1, classes=10, width=4), torch.zeros(1, 1, 8, 8))
    edges = graph.to_networkx()
    assert all(set(edges.predecessors(layer.name)) == set(layer.producers) for layer in graph.layers)
    assert all(set(edges.successors(layer.name)) == set(layer.consumers) for layer in graph.layers)


def test_strides_paddings_and_dilations_are_those_of_each_axis() -> None:
    layer = nn.Conv2d(3, 4, (3, 5), stride=(1, 2), padding=(0, 3), dilation=(2, 1))
    (captured,) = capture(nn.Sequential(layer), torch.zeros(1, 3, 12, 12)).layers
    assert (captured.stride, captured.padding, captured.dilation) == ((1, 2), (0, 3), (2, 1))
    assert (captured.kernel_height, captured.kernel_width) == (3, 5)
    assert (captured.output_height, captured.output_width) == (8, 7)
    (temporal_layer,) = capture(nn.Sequential(nn.Conv1d(3, 4, 3, 2, 2, 3)), torch.zeros(1, 3, 12)).layers
    assert (temporal_layer.stride, temporal_layer.padding, temporal_layer.dilation) == ((1, 2), (0, 2), (1, 3))


def test_a_linear_layer_on_tokens_is_a_convolution_over_them() -> None:
    (layer,) = capture(nn.Sequential(nn.Linear(12, 5)), torch.zeros(2, 7, 12)).layers
    assert (layer.input_channels, layer.output_channels) == (12, 5)
    assert (layer.input_height, layer.input_width, layer.output_height, layer.output_width) == (1, 7, 1, 7)
    assert (layer.macs, layer.weights, layer.input_elements) == (7 * 12 * 5, 60, 84)


def test_an_example_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UnsupportedNetworkError, match=r"shape \(1, 5, 16, 12\) does not fit"):
        capture(grouped(), torch.zeros(1, 5, 16, 12))
