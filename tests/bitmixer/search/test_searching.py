"""All methods together: trade-offs, fronts, the figure, and how much is measured for them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitmixer import capture, convert
from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.data import load_data
from bitmixer.graph import LayerGraph
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import find_checkpoint
from bitmixer.networks.registry import create
from bitmixer.search.costs import AdditiveCost, Budget, average_bits, bit_operations
from bitmixer.search.figure import draw_trade_off
from bitmixer.search.losses import MeasuredLoss
from bitmixer.search.points import Judge, Point, pareto_front, spread
from bitmixer.search.searching import METHODS, Searcher, TradeOff, pareto_limits, trade_off

TIED = tuple(BitWidths.tied(bits) for bits in (2, 4, 8))
GraphOf = Callable[..., LayerGraph]


def point(cost: float, loss: float, method: str = "exact", limit: float | None = 3.0) -> Point:
    assignment = BitAssignment({"a": TIED[0]})
    return Point(method=method, limit=limit, cost=cost, loss=loss, accuracy=1 - loss / 4, assignment=assignment)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_the_front_is_what_nothing_dominates(drawn: list[tuple[int, int]]) -> None:
    front = pareto_front(point(cost, loss) for cost, loss in drawn)
    kept = [(each.cost, each.loss) for each in front]
    expected = {
        (cost, loss)
        for cost, loss in drawn
        if not any((c <= cost and less < loss) or (c < cost and less <= loss) for c, less in drawn)
    }
    assert kept == sorted(expected)


def test_spread_is_that_of_the_population() -> None:
    assert spread([1.0, 3.0]) == {"mean": 2.0, "std": 1.0, "min": 1.0, "max": 3.0, "count": 2}


def test_nothing_is_measured_twice(graph_of: GraphOf, formula_loss: Any) -> None:
    graph = graph_of(dict.fromkeys("ab", TIED))
    model = formula_loss(lambda assignment: float(sum(assignment[site].weight == 2 for site in "ab")))
    searcher = Searcher(graph, average_bits(graph), model, random_assignments=2, seed=0)
    low, high = (Budget(cost=searcher.cost, limit=limit) for limit in (2.0, 4.0))
    first = searcher.find("greedy", low)
    asked = model.asked
    assert first == [graph.uniform(2)]
    assert searcher.find("greedy", high) == [graph.uniform(4)]  # on the way that was taken
    assert searcher.find("greedy", low) == first
    assert model.asked == asked
    assert searcher.find("exact", high) == [graph.uniform(4)]
    assert model.asked == asked + 1 + 4
    searcher.find("exact", low)
    assert model.asked == asked + 1 + 4
    assert searcher.find("random", high) == searcher.find("random", high)
    assert len(searcher.find("random", high)) == 2


def test_the_judge_measures_on_what_it_is_given_and_once(digits_network: MetaQuantizedNetwork) -> None:
    graph = find_checkpoint("resnet8_digits").graph
    metrics = find_checkpoint("resnet8_digits").metrics
    assert metrics is not None
    judge = Judge(digits_network, bit_operations(graph), *load_data("digits"))
    found = judge.point("uniform 4 bit", None, graph.uniform(4))
    assert found.accuracy == pytest.approx(metrics["uniform"]["4"])
    assert found.cost == bit_operations(graph).of(graph.uniform(4))
    calls: list[object] = []
    handle = digits_network.register_forward_hook(lambda *_: calls.append(1))
    again = judge.point("exact", 3.0, graph.uniform(4))
    judge.point("exact", 3.0, graph.uniform(2))
    handle.remove()
    assert (again.loss, again.accuracy) == (found.loss, found.accuracy)
    assert len(calls) == 2  # two batches of one assignment
    assert judge.inputs == 359


def test_pareto_limits_reach_from_end_to_end(graph_of: GraphOf) -> None:
    graph = graph_of(dict.fromkeys("ab", TIED))
    limits = pareto_limits(graph, average_bits(graph))
    assert limits == pytest.approx([2, 2.5, 3, 3.5, 4, 5, 6, 7, 8])
    untied = graph_of({"a": (BitWidths(2, 8), BitWidths(8, 2), BitWidths(4, 4))})
    limits = pareto_limits(untied, average_bits(untied))
    assert (limits[0], limits[-1]) == (4, 5)


@pytest.fixture
def searched(digits_network: MetaQuantizedNetwork, formula_loss: Any) -> TradeOff:
    graph = find_checkpoint("resnet8_digits").graph
    model = formula_loss(lambda assignment: -float(sum(widths.weight for widths in assignment.values())))
    searcher = Searcher(graph, average_bits(graph), model, random_assignments=3, seed=0)
    inputs, labels = load_data("digits+noise0.4@7")
    judge = Judge(digits_network, searcher.cost, inputs[:60], labels[:60])
    return trade_off(searcher, judge, limits=[3.0, 5.0], methods=METHODS)


def test_a_trade_off_has_every_method_under_every_budget(searched: TradeOff) -> None:
    assert [point.method for point in searched.uniform] == ["uniform 2 bit", "uniform 4 bit", "uniform 8 bit"]
    for limit, (method, count) in itertools.product((3.0, 5.0), (("greedy", 1), ("exact", 1), ("random", 3))):
        found = searched.under(limit, method)
        assert len(found) == count
        assert all(each.cost <= limit + 1e-9 for each in found)
    said = searched.as_dict()
    assert said["cost"]["kind"] == "average_bits"
    assert len(said["points"]) == 3 + 2 * 5
    front = [(row["cost"], row["loss"]) for row in said["points"] if row["on_front"]]
    assert set(front) == {(each.cost, each.loss) for each in pareto_front(searched.points)}
    assert said["points"][3]["assignment"]["stem"] == [8, 8]


def test_untied_networks_are_searched_over_pairs() -> None:
    inputs = torch.rand(12, 1, 8, 8)
    network = convert(create("resnet8", input_channels=1, classes=4, width=2).eval(), (2, 8), tied=False)
    network.calibrate_activations(inputs)
    network.calibrate_weights()
    network.quantize()
    graph = capture(network.eval(), inputs[:1], name="untied")
    model = MeasuredLoss(network, inputs)
    cost = bit_operations(graph)
    searcher = Searcher(graph, cost, model, random_assignments=2, seed=0)
    budget = Budget(cost=cost, limit=(cost.least + cost.greatest) / 2)
    assert {len(layer.allowed) for layer in graph.layers} == {1, 4}
    (exact,), (greedy,) = searcher.find("exact", budget), searcher.find("greedy", budget)
    foretold = [searcher.sensitivity.foretold(each) for each in (exact, greedy, *searcher.find("random", budget))]
    assert foretold[0] == min(foretold)
    assert any(widths.weight != widths.activation for widths in exact.values())
    assert all(budget.holds(each) for each in (exact, greedy))
    assert searcher.find("greedy", Budget(cost=cost, limit=cost.least)) == [graph.uniform(2)]


def test_the_figure_names_methods_axes_and_uniform_widths(searched: TradeOff, tmp_path: Path) -> None:
    path = draw_trade_off(searched, tmp_path / "a.svg", title="Digits & noise", inputs=60)
    again = draw_trade_off(searched, tmp_path / "b.svg", title="Digits & noise", inputs=60)
    assert path.read_bytes() == again.read_bytes()
    words = re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))
    for word in ("greedy", "exact", "random, mean of 3", "uniform 2 bit", "uniform 8 bit", "classified right, %"):
        assert word in words
    assert any(word.startswith("average bits") for word in words)
    assert any("judged on 60 test images" in word for word in words), words


def test_the_figure_needs_neither_all_methods_nor_a_known_cost(searched: TradeOff, tmp_path: Path) -> None:
    cost = AdditiveCost(name="total_cycles", fixed=0, prices=searched.cost.prices)
    few = TradeOff(cost=cost, points=tuple(each for each in searched.points if each.method != "random"))
    words = draw_trade_off(few, tmp_path / "a.svg", title="few", inputs=60).read_text(encoding="utf-8")
    assert "<!-- total_cycles -->" in words
    assert "random" not in words
