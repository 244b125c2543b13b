"""Greedy search: where it goes, and where it must end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.bitwidths import BitWidths
from bitmixer.errors import SearchError
from bitmixer.graph import LayerGraph
from bitmixer.search.costs import AdditiveCost, Budget, average_bits, bit_operations, highest, weight_bytes
from bitmixer.search.greedy import descend, greedy
from bitmixer.search.losses import Sensitivity, sensitivity

TIED = tuple(BitWidths.tied(bits) for bits in (2, 4, 8))
GRID = tuple(BitWidths(weight, activation) for weight in (2, 4, 8) for activation in (2, 4, 8))
GraphOf = Callable[..., LayerGraph]


def test_it_lowers_the_site_whose_loss_grows_least_per_cost_saved(graph_of: GraphOf, formula_loss: Any) -> None:
    """``b`` saves 4 times the bytes of ``a``; alone it adds 3 times the loss, after ``a`` was lowered ten times."""
    graph = graph_of({"a": TIED[1:], "b": TIED[1:]}, b={"channels": 4})

    def formula(assignment: Mapping[str, BitWidths]) -> float:
        a, b = (assignment[site].weight == 4 for site in "ab")
        return 1.0 * a + 3.0 * b + 7.0 * (a and b)

    way = [step.assignment for step in descend(graph, weight_bytes(graph), formula_loss(formula))]
    assert [(each["a"].weight, each["b"].weight) for each in way] == [(8, 8), (8, 4), (4, 4)]
    way = [step.assignment for step in descend(graph, average_bits(graph), formula_loss(formula))]
    assert [(each["a"].weight, each["b"].weight) for each in way] == [(8, 8), (4, 8), (4, 4)]


def test_what_counts_is_the_growth_of_the_loss_not_the_loss(graph_of: GraphOf, formula_loss: Any) -> None:
    """``b`` saves 4 times the bytes and adds 5 times the loss, on top of a loss that is large already."""
    graph = graph_of({"a": TIED[1:], "b": TIED[1:]}, b={"channels": 4})
    model = formula_loss(lambda each: 10.0 + (each["a"].weight == 4) + 5.0 * (each["b"].weight == 4))
    way = [step.assignment for step in descend(graph, weight_bytes(graph), model)]
    assert [(each["a"].weight, each["b"].weight) for each in way] == [(8, 8), (4, 8), (4, 4)]


def test_it_measures_again_after_every_step(graph_of: GraphOf, formula_loss: Any) -> None:
    """Once ``a`` is low, ``b`` costs more than ``c``; sensitivities, measured once, do not see it."""
    graph = graph_of(dict.fromkeys("abc", TIED[1:]))

    def formula(assignment: Mapping[str, BitWidths]) -> float:
        a, b, c = (assignment[site].weight == 4 for site in "abc")
        return 0.1 * a + 0.2 * b + 0.3 * c + 1.0 * (a and b)

    budget = Budget(cost=average_bits(graph), limit=6)
    model = formula_loss(formula)
    found = greedy(graph, budget, model)
    assert [found[site].weight for site in "abc"] == [4, 8, 4]
    assert model.asked == (1 + 3) + (1 + 2) + (1 + 1)
    foretold = greedy(graph, budget, sensitivity(graph, formula_loss(formula)))
    assert [foretold[site].weight for site in "abc"] == [4, 4, 8]


@given(st.data())
def test_it_descends_from_the_highest_to_the_least_in_steps_of_one_site(graph_of: GraphOf, data: st.DataObject) -> None:
    sites = data.draw(st.integers(1, 4))
    allowed = st.sampled_from([TIED, GRID, TIED[1:], GRID[3:]])
    graph = graph_of({f"s{number}": data.draw(allowed) for number in range(sites)})
    loss = st.floats(-1, 1)
    model = Sensitivity(
        loss=0.0,
        increase={each.name: {w: data.draw(loss) for w in each.allowed} for each in graph.layers if not each.pinned},
    )
    cost = bit_operations(graph)
    way = list(descend(graph, cost, model))
    assert way[0].assignment == highest(graph.layers)
    assert way[-1].cost == cost.least
    for before, after in pairwise(way):
        changed = [site for site in before.assignment if before.assignment[site] != after.assignment[site]]
        assert len(changed) == 1
        old, new = before.assignment[changed[0]], after.assignment[changed[0]]
        assert new.weight <= old.weight
        assert new.activation <= old.activation
        assert after.cost == cost.of(after.assignment) < before.cost
        between = [
            w for w in graph[changed[0]].allowed if all(n <= m <= o for n, m, o in zip(new, w, old, strict=True))
        ]
        assert set(between) == {old, new}


def test_a_plateau_of_the_cost_does_not_stop_it(graph_of: GraphOf, formula_loss: Any) -> None:
    graph = graph_of({"a": TIED})
    cost = AdditiveCost(name="cycles", fixed=0, prices={"a": dict(zip(TIED, (5.0, 9.0, 9.0), strict=True))})
    found = greedy(graph, Budget(cost=cost, limit=5), formula_loss(lambda assignment: 0.0))
    assert found["a"] == TIED[0]


def test_where_it_cannot_reach_the_budget_it_points_to_the_exact_search(graph_of: GraphOf, formula_loss: Any) -> None:
    graph = graph_of({"a": (BitWidths(2, 4), BitWidths(4, 2), BitWidths(8, 8))})
    prices = {"a": {BitWidths(2, 4): 3.0, BitWidths(4, 2): 1.0, BitWidths(8, 8): 9.0}}
    budget = Budget(cost=AdditiveCost(name="cycles", fixed=0, prices=prices), limit=2)
    model = formula_loss(lambda assignment: float(assignment["a"].weight == 4) * 100)
    with pytest.raises(SearchError, match=r"budget cycles<=2: the greedy search ends above it.*use the exact search"):
        greedy(graph, budget, model)
