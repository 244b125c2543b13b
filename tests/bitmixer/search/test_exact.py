"""Exact search against an exhaustive one."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.graph import LayerGraph
from bitmixer.search.costs import AdditiveCost, Budget, average_bits
from bitmixer.search.exact import least_sensitive
from bitmixer.search.losses import Sensitivity

TIED = tuple(BitWidths.tied(bits) for bits in (2, 3, 4, 8))
UNTIED = (BitWidths(2, 8), BitWidths(8, 2), BitWidths(4, 4), BitWidths(8, 8))
GraphOf = Callable[..., LayerGraph]
whole = st.integers(0, 30).map(float)
fractions = st.integers(0, 10**6).map(lambda billionths: billionths / 1e9)


def every_assignment(graph: LayerGraph) -> list[BitAssignment]:
    names = [layer.name for layer in graph.layers]
    choices = itertools.product(*(layer.allowed for layer in graph.layers))
    return [BitAssignment(dict(zip(names, widths, strict=True))) for widths in choices]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_it_is_the_best_of_all_assignments(graph_of: GraphOf, data: st.DataObject) -> None:
    graph = graph_of({f"s{number}": data.draw(st.sampled_from([TIED, UNTIED])) for number in range(4)})
    prices, losses = data.draw(
        st.sampled_from([(whole, whole), (fractions, st.integers(-(10**6), 10**6).map(lambda x: x / 1e8))])
    )
    free = [layer for layer in graph.layers if not layer.pinned]
    cost = AdditiveCost(
        name="cost", fixed=data.draw(prices), prices={s.name: {w: data.draw(prices) for w in s.allowed} for s in free}
    )
    model = Sensitivity(loss=1.0, increase={s.name: {w: data.draw(losses) for w in s.allowed} for s in free})
    share = data.draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, 2.0]))
    budget = Budget(cost=cost, limit=cost.least + share * (cost.greatest - cost.least))
    found = least_sensitive(graph, budget, model)
    assert budget.holds(found)
    best = min(model.foretold(each) for each in every_assignment(graph) if budget.holds(each))
    largest = max(abs(x) for each in model.increase.values() for x in each.values())
    assert model.foretold(found) <= best + 1e-8 * largest


def test_it_spends_the_budget_where_it_is_worth_most(graph_of: GraphOf) -> None:
    """Greedy rates per bit would fill the 8-bit site first; the best pair of sites is another."""
    graph = graph_of(dict.fromkeys("abc", TIED[1:3]))
    increase = {"a": (6.0, 0.0), "b": (5.0, 0.0), "c": (5.0, 0.0)}
    model = Sensitivity(
        loss=0.0, increase={site: dict(zip(TIED[1:3], both, strict=True)) for site, both in increase.items()}
    )
    prices = {"a": (0.0, 3.0), "b": (0.0, 2.0), "c": (0.0, 2.0)}
    cost = AdditiveCost(
        name="cost", fixed=0, prices={site: dict(zip(TIED[1:3], both, strict=True)) for site, both in prices.items()}
    )
    found = least_sensitive(graph, Budget(cost=cost, limit=4), model)
    assert [found[site].weight for site in "abc"] == [3, 4, 4]


def test_a_large_network_is_solved_to_the_end(graph_of: GraphOf) -> None:
    """100 sites; the bound of the relaxed problem proves that the optimum is met to one site's granularity."""
    graph = graph_of({f"s{number}": TIED for number in range(100)})
    generator = np.random.default_rng(5)
    increase = {
        f"s{number}": dict(zip(TIED, sorted(generator.random(4), reverse=True), strict=True)) for number in range(100)
    }
    budget = Budget(cost=average_bits(graph), limit=3)
    found = least_sensitive(graph, budget, Sensitivity(loss=0.0, increase=increase))
    assert budget.holds(found)
    reached = Sensitivity(loss=0.0, increase=increase).foretold(found)
    assert reached == pytest.approx(best_by_dynamic_programming(increase, room=100), rel=1e-9)


def best_by_dynamic_programming(increase: dict[str, dict[BitWidths, float]], *, room: int) -> float:
    """Return the least sum where bits above 2 add up to ``room`` at most."""
    best = np.zeros(room + 1)
    for site in increase.values():
        tried = np.full((len(site), room + 1), np.inf)
        for row, (widths, loss) in zip(tried, site.items(), strict=True):
            spent = widths.weight - 2
            row[spent:] = best[: room + 1 - spent] + loss
        best = tried.min(axis=0)
    return float(best[room])
