"""Structure: order of issue, key consumers, joins, and when a layer's widths are fixed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

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
