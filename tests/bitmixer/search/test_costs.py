"""Costs by hand, and what a budget says when it cannot be met."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import BitWidthError, SearchError, UnknownSiteError
from bitmixer.graph import LayerGraph
from bitmixer.networks import find_checkpoint
from bitmixer.search.costs import (
    COSTS,
    Budget,
    average_bits,
    average_weight_bits,
    bit_operations,
    cost_from_table,
    highest,
    parse_limit,
    weight_bytes,
)

TIED = tuple(BitWidths.tied(bits) for bits in (2, 4, 8))
UNTIED = (BitWidths(2, 8), BitWidths(8, 2), BitWidths(8, 8))


@pytest.fixture
def graph(graph_of: Callable[..., LayerGraph]) -> LayerGraph:
    """A stem of 10 weights and MACs, ``a`` of 3 weights and 6 MACs, ``b`` of 1 and 1, a classifier of 1 and 1."""
    return graph_of({"a": TIED, "b": UNTIED}, a={"channels": 3, "size": 2})


def assigned(a: BitWidths, b: BitWidths) -> BitAssignment:
    return BitAssignment({"stem": BitWidths(8, 8), "a": a, "b": b, "classifier": BitWidths(8, 8)})


def test_costs_by_hand(graph: LayerGraph) -> None:
    assignment = assigned(BitWidths(4, 4), BitWidths(2, 8))
    assert average_bits(graph).of(assignment) == (4 + (2 + 8) / 2) / 2
    assert average_weight_bits(graph).of(assignment) == (3 * 4 + 1 * 2) / 4
    assert bit_operations(graph).of(assignment) == 10 * 64 + 6 * 4 * 4 + 1 * 2 * 8 + 1 * 64
    assert weight_bytes(graph).of(assignment) == 10 + 3 * 4 / 8 + 2 / 8 + 1


def test_pinned_sites_are_the_fixed_part_of_totals_and_stay_out_of_means(graph: LayerGraph) -> None:
    assert [cost(graph).fixed for cost in COSTS.values()] == [0, 0, 11 * 64, 11]
    assert all(set(cost(graph).prices) == {"a", "b"} for cost in COSTS.values())


def test_bit_operations_of_a_real_network_follow_the_formula() -> None:
    graph = find_checkpoint("resnet20_mnist5k").graph
    drawn = BitAssignment.random(graph.layers, np.random.default_rng(0))
    expected = sum(layer.macs * math.prod(drawn[layer.name]) for layer in graph.layers)
    assert bit_operations(graph).of(drawn) == expected
    assert [average_bits(graph).of(graph.uniform(bits)) for bits in (2, 3, 4, 8)] == pytest.approx([2, 3, 4, 8])


def test_least_and_greatest_are_reached(graph: LayerGraph) -> None:
    for cost in (each(graph) for each in COSTS.values()):
        totals = [cost.of(assigned(a, b)) for a in TIED for b in UNTIED]
        assert (cost.least, cost.greatest) == (min(totals), max(totals))


def test_a_budget_that_nothing_meets_says_what_can_be_reached(graph: LayerGraph) -> None:
    with pytest.raises(SearchError, match=r"average_bits<=3\.4: cannot be met: .* average_bits is 3\.5; raise"):
        Budget(cost=average_bits(graph), limit=3.4)
    assert Budget(cost=average_bits(graph), limit=3.5).holds(assigned(BitWidths(2, 2), BitWidths(2, 8)))


@given(st.integers(1, 60), st.sampled_from([2, 3, 5, 7]))
def test_rounding_refuses_no_budget_that_is_met_exactly(
    graph_of: Callable[..., LayerGraph], sites: int, bits: int
) -> None:
    graph = graph_of({f"s{number}": (BitWidths.tied(bits), BitWidths.tied(8)) for number in range(sites)})
    budget = Budget(cost=average_bits(graph), limit=bits)
    assert budget.holds(graph.uniform(bits))
    one_more = BitAssignment({**graph.uniform(bits), "s0": BitWidths.tied(8)})
    assert not budget.holds(one_more)


def test_highest_is_the_pair_of_most_bits(graph_of: Callable[..., LayerGraph]) -> None:
    graph = graph_of(
        {"a": (BitWidths(4, 8), BitWidths(8, 2), BitWidths(2, 2)), "b": (BitWidths(2, 4), BitWidths(4, 2))}
    )
    assert highest(graph.layers) == assigned(BitWidths(4, 8), BitWidths(4, 2))


def test_a_table_of_plain_numbers_is_a_cost(graph: LayerGraph) -> None:
    table = {layer.name: {widths: float(sum(widths)) for widths in layer.allowed} for layer in graph.layers}
    cost = cost_from_table(graph, "cycles", table)
    assert (cost.name, cost.fixed) == ("cycles", 32)
    assert cost.of(assigned(BitWidths(2, 2), BitWidths(8, 2))) == 32 + 4 + 10


def test_a_table_that_does_not_fit_is_refused(graph: LayerGraph) -> None:
    table = {layer.name: dict.fromkeys(layer.allowed, 1.0) for layer in graph.layers}
    with pytest.raises(UnknownSiteError, match="'stm' is not in this network: did you mean 'stem'"):
        cost_from_table(graph, "cycles", {**table, "stm": {BitWidths(8, 8): 1.0}})
    with pytest.raises(BitWidthError, match="'a' cannot run at w3a3"):
        cost_from_table(graph, "cycles", {**table, "a": {**table["a"], BitWidths(3, 3): 1.0}})
    with pytest.raises(SearchError, match="cycles of site 'a' at w8a8 is missing"):
        cost_from_table(graph, "cycles", {**table, "a": dict.fromkeys(TIED[:2], 1.0)})
    with pytest.raises(SearchError, match="cycles of site 'stem' at w8a8 is missing"):
        cost_from_table(graph, "cycles", {site: table[site] for site in ("a", "b", "classifier")})
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(SearchError, match="expected a number of 0 or more"):
            cost_from_table(graph, "cycles", {**table, "a": {**table["a"], TIED[0]: wrong}})


def test_a_network_whose_sites_are_all_pinned_has_nothing_to_search(graph_of: Callable[..., LayerGraph]) -> None:
    with pytest.raises(SearchError, match="small: every site is pinned"):
        average_bits(graph_of({}))


def test_limits_are_read() -> None:
    assert parse_limit("average_bits<=3", COSTS) == ("average_bits", 3.0)
    assert parse_limit(" cycles <= 1.5e6 ", ["cycles"]) == ("cycles", 1.5e6)


@pytest.mark.parametrize("text", ["", "average_bits", "average_bits<3", "average_bits<=", "average_bits<=nan", "<=3"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(SearchError, match="expected KIND<=NUMBER, for example average_bits<=3"):
        parse_limit(text, COSTS)


def test_an_unknown_kind_suggests_the_nearest() -> None:
    with pytest.raises(SearchError, match="unknown kind 'averge_bits': did you mean 'average_bits'"):
        parse_limit("averge_bits<=3", COSTS)
