"""Structure: order of issue, key consumers, joins, and when a layer's widths are fixed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer import capture, convert
from bitmixer.graph import LayerGraph
from bitmixer.networks import create


class Block(nn.Module):
    """Two layers and a projection between a stem and a classifier.

    ``shortcut_first`` moves the projection before the main path in the code, which must change nothing.
    """

    def __init__(self, *, shortcut_first: bool) -> None:
        super().__init__()
        self.shortcut_first = shortcut_first
        self.stem, self.norm = nn.Conv2d(1, 4, 3, 1, 1), nn.BatchNorm2d(4)
        self.conv1, self.norm1 = nn.Conv2d(4, 6, 3, 2, 1), nn.BatchNorm2d(6)
        self.conv2, self.norm2 = nn.Conv2d(6, 6, 3, 1, 1), nn.BatchNorm2d(6)
        self.projection, self.norm3 = nn.Conv2d(4, 6, 1, 2), nn.BatchNorm2d(6)
        self.after, self.norm4 = nn.Conv2d(6, 6, 3, 1, 1), nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        if self.shortcut_first:
            short = self.norm3(self.projection(x))
            x = torch.relu(short + self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x))))))
        else:
            y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
            x = torch.relu(y + self.norm3(self.projection(x)))
        x = torch.relu(self.norm4(self.after(x)))
        return self.classifier(x.mean((2, 3)))


def graph_of(model: nn.Module, *shape: int) -> LayerGraph:
    return capture(model, torch.zeros(1, *shape))


def names(graph: LayerGraph) -> list[str]:
    return [layer.name for layer in graph.layers]


@pytest.mark.parametrize("shortcut_first", [False, True])
def test_the_main_path_is_issued_first_whatever_the_order_in_the_code(shortcut_first: bool) -> None:
    graph = graph_of(Block(shortcut_first=shortcut_first), 1, 8, 8)
    assert names(graph) == ["stem", "conv1", "conv2", "projection", "after", "classifier"]
    assert graph["stem"].consumers == ("conv1", "projection")
    assert graph["stem"].key_consumer == "conv1"
    assert graph["conv2"].key_consumer == graph["projection"].key_consumer == "after"
    assert {layer.name for layer in graph.layers if not layer.is_key_consumer} == {"projection"}


@pytest.mark.parametrize("shortcut_first", [False, True])
def test_both_branches_of_a_join_use_their_own_producer_and_the_joint_key_consumer(
    shortcut_first: bool,
) -> None:
    network = convert(Block(shortcut_first=shortcut_first))
    assert network.transitions == {
        "norm": ("stem", "conv1"),
        "norm1": ("conv1", "conv2"),
        "norm2": ("conv2", "after"),
        "norm3": ("projection", "after"),
        "norm4": ("after", "classifier"),
    }


@pytest.mark.parametrize("shortcut_first", [False, True])
def test_a_join_names_what_meets_in_it(shortcut_first: bool) -> None:
    (join,) = graph_of(Block(shortcut_first=shortcut_first), 1, 8, 8).joins
    assert set(join.operands) == {"conv2", "projection"}
    assert join.elements == 6 * 4 * 4


@pytest.mark.parametrize("architecture", ["resnet8", "resnet20", "resnet18"])
def test_every_layer_comes_after_its_producers(architecture: str) -> None:
    graph = graph_of(create(architecture, input_channels=3, classes=10, width=4), 3, 32, 32)
    for position, layer in enumerate(graph.layers):
        assert all(name == "input" or graph.index[name] < position for name in layer.producers)
        assert all(graph.index[name] > position for name in layer.consumers)
        assert (layer.key_consumer is None) == (layer.name == "classifier")


def test_a_decision_binds_the_layer_after_the_next_at_the_earliest() -> None:
    graph = graph_of(create("resnet20", input_channels=1, classes=10, width=4), 1, 28, 28)
    points, earliest = graph.commit_points, []
    assert len(points) == 22
    for running in range(len(points)):
        open_sites = [site for site, point in enumerate(points) if point > running]
        assert all(site >= running + 2 for site in open_sites)
        earliest.append(min(open_sites, default=None))
    # In a chain it is exactly the one after the next.
    assert earliest[:6] == [2, 3, 4, 5, 6, 7]
    assert earliest[-2:] == [None, None]


def test_widths_are_fixed_before_any_norm_that_they_choose() -> None:
    graph = graph_of(create("resnet20", input_channels=1, classes=10, width=4), 1, 28, 28)
    for position, layer in enumerate(graph.layers):
        assert graph.commit_points[position] <= position
        if layer.key_consumer is not None:
            assert graph.commit_points[graph.index[layer.key_consumer]] <= position


def test_a_join_of_three_has_three_operands_and_one_key_consumer() -> None:
    class ThreeWay(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 1)
            self.a, self.b, self.c = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
            self.after = nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.after(self.a(x) + self.b(x) + self.c(x))

    graph = graph_of(ThreeWay(), 1, 4, 4)
    assert graph["after"].producers == ("a", "b", "c")
    assert [graph[name].key_consumer for name in "abc"] == ["after"] * 3
    assert [graph[name].is_key_consumer for name in "abc"] == [True, False, False]
    assert [join.operands for join in graph.joins] == [("a", "b"), ("a", "b", "c")]


def test_pre_activation_norms_are_keyed_by_the_layer_on_the_main_path() -> None:
    class PreActivation(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 1)
            self.norm1, self.conv1 = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
            self.norm2, self.conv2 = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
            self.norm3, self.classifier = nn.BatchNorm2d(4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            y = self.conv1(torch.relu(self.norm1(x)))
            x = x + self.conv2(torch.relu(self.norm2(y)))
            return self.classifier(torch.relu(self.norm3(x)).mean((2, 3)))

    network = convert(PreActivation())
    assert network.transitions == {
        "norm1": ("stem", "conv1"),
        "norm2": ("conv1", "conv2"),
        "norm3": ("conv2", "classifier"),
    }
    graph = capture(network, torch.zeros(1, 1, 4, 4))
    assert graph["stem"].key_consumer == "conv1"
    assert graph["stem"].residual_write_elements == graph["conv2"].residual_read_elements == 4 * 4 * 4


class Dense(nn.Module):
    """A stem of 4 channels and two layers of 2, each behind norm and ReLU over all that came before, on a 2x2 map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 1)
        self.norm1, self.conv1 = nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(6), nn.Conv2d(6, 2, 1)
        self.norm3, self.classifier = nn.BatchNorm2d(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([x, self.conv1(torch.relu(self.norm1(x)))], 1)
        x = torch.cat([x, self.conv2(torch.relu(self.norm2(x)))], 1)
        return self.classifier(torch.relu(self.norm3(x)).mean((2, 3)))


def test_each_piece_of_a_concatenation_has_a_norm_keyed_by_its_own_producer() -> None:
    network = convert(Dense())
    assert network.transitions == {
        "norm1": ("stem", "conv1"),
        "norm2_0": ("stem", "conv2"),
        "norm2_1": ("conv1", "conv2"),
        "norm3_0": ("stem", "classifier"),
        "norm3_1": ("conv1", "classifier"),
        "norm3_2": ("conv2", "classifier"),
    }


def test_a_piece_that_others_read_too_is_stored_once_for_all_of_them() -> None:
    """By hand, on 4 positions: each layer reads the newest piece from the stream and the older ones as stored copies.

    The classifier reads means over the map: 2 features of conv2 from the stream, 6 of stored copies. Norms and ReLUs
    of stored copies are charged to the layer that reads them; the mean over the whole, to what drains into it last.
    """
    graph = graph_of(Dense(), 1, 2, 2)
    fields = ("producers", "residual_input_elements", "stream_write_elements", "residual_write_elements")
    found = {layer.name: tuple(getattr(layer, field) for field in fields) for layer in graph.layers}
    assert found == {
        "stem": (("input",), 0, 16, 16),
        "conv1": (("stem",), 0, 8, 8),
        "conv2": (("stem", "conv1"), 16, 2, 0),
        "classifier": (("stem", "conv1", "conv2"), 6, 3, 0),
    }
    assert {layer.name: layer.vector_operations for layer in graph.layers} == {
        "stem": 32,  # norm and ReLU for conv1
        "conv1": 16,
        "conv2": 2 * 16 + 2 * 8 + 32,  # of the stem's stored copy, and of its own result; the mean of all 32 elements
        "classifier": 2 * 16 + 2 * 8,
    }


def test_each_reader_of_a_concatenation_has_pieces_of_its_own() -> None:
    class TwoReaders(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 3, 1)
            self.deep1, self.deep2, self.short = nn.Conv2d(5, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(5, 4, 1)
            self.after = nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.cat([self.left(x), self.right(x)], 1)
            return self.after(self.deep2(self.deep1(x)) + self.short(x))

    graph = graph_of(TwoReaders(), 1, 2, 2)
    assert {name: graph[name].residual_write_elements for name in ("left", "right")} == {"left": 8, "right": 12}
    assert {name: graph[name].stream_write_elements for name in ("left", "right")} == {"left": 8, "right": 12}
    assert {name: graph[name].residual_input_elements for name in ("deep1", "short")} == {"deep1": 0, "short": 20}
    assert graph["short"].producers == graph["deep1"].producers == ("left", "right")
    assert [graph[name].key_consumer for name in ("left", "right", "deep1")] == ["deep1", "deep1", "deep2"]


class Around(nn.Module):
    """Layers around a function of their results: four channels on a 2x2 map."""

    def __init__(self, function: Callable[[Around, Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.shift = function, nn.Parameter(torch.ones(4, 1, 1))
        self.stem, self.first, self.second = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 2, 1)
        self.wide, self.narrow, self.after = nn.Conv2d(4, 4, 1), nn.Conv2d(2, 2, 1), nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.function(self, torch.relu(self.stem(x))))


def test_the_pieces_of_a_concatenation_wait_for_a_join_one_by_one() -> None:
    def joined(net: Around, x: Tensor) -> Tensor:
        y = net.first(x)
        return torch.cat([y, net.second(torch.relu(y))], 1) + net.wide(x)

    graph = graph_of(Around(joined), 1, 2, 2)
    written = {layer.name: layer.residual_write_elements for layer in graph.layers}
    # The stem's result for `wide`, that of `first` for the concatenation, and `second`, which waits for `wide`.
    assert written == {"stem": 16, "first": 8, "second": 8, "wide": 0, "after": 0}
    assert graph["wide"].residual_read_elements == 16
    (join,) = graph.joins
    assert set(join.operands) == {"first", "second", "wide"}


def test_of_a_divided_tensor_only_the_part_that_is_read_again_is_stored() -> None:
    def divided(net: Around, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        return torch.cat([left, net.narrow(right)], 1)

    graph = graph_of(Around(divided), 1, 2, 2)
    assert (graph["stem"].residual_write_elements, graph["stem"].stream_write_elements) == (8, 8)
    assert (graph["narrow"].input_elements, graph["narrow"].residual_input_elements) == (8, 0)
    assert (graph["after"].input_elements, graph["after"].residual_input_elements) == (16, 8)


@pytest.mark.parametrize(
    ("function", "signed"),
    [
        (lambda net, x: x, False),
        (lambda net, x: x * 2 + 1, False),
        (lambda net, x: F.gelu(x), False),
        (lambda net, x: x.clamp(max=3), False),
        (lambda net, x: torch.cat([x, torch.sigmoid(net.first(x))], 1)[:, :4], False),
        (lambda net, x: x + net.shift, True),
        (lambda net, x: torch.cat([net.shift.expand(1, 4, 2, 1), x], 3), True),
        (lambda net, x: x - 1, True),
        (lambda net, x: 1 - x, True),
        (lambda net, x: x * -1, True),
        (lambda net, x: -x, True),
        (lambda net, x: x.clamp(max=-1), True),
        (lambda net, x: x - torch.relu(net.wide(x)), True),
        (lambda net, x: F.silu(net.wide(x)), True),
        (lambda net, x: F.pad(x, (1, 1), value=-1.0), True),
        (lambda net, x: torch.softmax(net.wide(x), 1), False),
    ],
)
def test_what_can_be_negative_behind_the_vector_unit(
    function: Callable[[Around, Tensor], Tensor], signed: bool
) -> None:
    last = convert(Around(function)).sites[-1]
    assert last.name == "after"
    assert last.layer.activation_quantizer.signed is signed


def test_a_gate_waits_for_its_tensor_and_keys_the_layer_behind_it() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm = nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4)
            self.squeeze, self.excite, self.after = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1)
            self.classifier = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = F.silu(self.norm(self.stem(x)))
            gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
            return self.classifier(self.after(x * gate).mean((2, 3)))

    network = convert(Gate())
    assert network.transitions == {
        "norm": ("stem", "squeeze"),
        "squeeze_affine": ("squeeze", "excite"),
        "excite_affine": ("excite", "after"),
        "after_affine": ("after", "classifier"),
    }
    graph = capture(network, torch.zeros(1, 1, 3, 3))
    (join,) = graph.joins
    assert (join.kind, set(join.operands), join.elements) == ("multiplication", {"stem", "excite"}, 36)
    assert (graph["stem"].residual_write_elements, graph["excite"].residual_read_elements) == (36, 36)
    assert (graph["stem"].stream_write_elements, graph["excite"].stream_write_elements) == (4, 36)
    unsigned = {site.name: not site.layer.activation_quantizer.signed for site in network.sites}
    assert unsigned == {"stem": False, "squeeze": False, "excite": True, "after": False, "classifier": False}


@pytest.mark.parametrize("gate", [lambda x: x * torch.sigmoid(x), lambda x: 0.5 * x * (1 + torch.tanh(x + x**3))])
def test_a_tensor_that_meets_itself_element_by_element_does_not_wait(gate: Callable[[Tensor], Tensor]) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(gate(self.first(x)))

    graph = graph_of(Gated(), 1, 3, 3)
    assert sum(layer.residual_write_elements + layer.residual_read_elements for layer in graph.layers) == 0
    assert graph["first"].stream_write_elements == 18


def test_attention_reads_its_operands_whole() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key = nn.Linear(6, 4), nn.Linear(6, 4)
            self.value, self.out = nn.Linear(6, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(F.scaled_dot_product_attention(self.query(x), self.key(x), self.value(x)))

    graph = graph_of(Attention(), 5, 6)
    assert {name: graph[name].residual_write_elements for name in ("query", "key", "value")} == {
        "query": 20, "key": 20, "value": 40,
    }  # fmt: skip
    assert [graph[name].key_consumer for name in ("query", "key", "value")] == ["out"] * 3
    assert graph["value"].residual_read_elements == 80
    # 5 x 5 scores: 4 products, softmax (3), 8 products; and the affine behind each of the three.
    assert graph["value"].vector_operations == 25 * (4 + 3 + 8) + 40


def test_attention_of_a_tensor_with_itself_stores_it_once() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inward, self.out = nn.Linear(6, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.inward(x)
            return self.out(F.scaled_dot_product_attention(x, x, value=x))

    graph = graph_of(Attention(), 5, 6)
    assert graph["inward"].residual_write_elements == graph["inward"].residual_read_elements == 20
    assert graph["inward"].vector_operations == 25 * (4 + 3 + 4)


def test_a_norm_on_the_input_is_keyed_by_its_consumer_alone() -> None:
    network = convert(nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1)))
    assert network.transitions == {"0": (None, "1"), "2": ("1", "3")}
    graph = capture(network, torch.zeros(1, 1, 3, 3))
    assert [layer.vector_operations for layer in graph.layers] == [9 + 18, 0]


def test_a_norm_behind_channels_that_are_mixed_is_keyed_by_the_main_path() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.short, self.long1, self.long2 = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)
            self.shuffle, self.norm, self.after = nn.ChannelShuffle(2), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.cat([self.short(x), self.long2(self.long1(x))], 1)
            return self.after(self.norm(self.shuffle(x)))

    assert convert(Mixed()).transitions["norm"] == ("long2", "after")


def test_affines_stand_in_for_norms_where_bits_switch_and_only_there() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.ReLU(), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1),
        nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip
    assert set(convert(model).transitions) == {"0_affine", "4", "5_affine"}
    assert set(convert(model, affine_without_norm=False).transitions) == {"4"}
    free = convert(model, pinned=())
    assert set(free.transitions) == {"0_affine", "4", "5_affine", "7_affine"}
