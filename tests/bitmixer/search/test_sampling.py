"""Random assignments under a budget: they hold it, come near it, and of one cost all are equally likely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import LayerGraph
from bitmixer.networks import find_checkpoint
from bitmixer.search.costs import COSTS, AdditiveCost, Budget, average_bits, bit_operations
from bitmixer.search.sampling import random_under

TIED = tuple(BitWidths.tied(bits) for bits in (2, 3, 4, 8))
UNTIED = (BitWidths(2, 8), BitWidths(8, 2), BitWidths(8, 8))
GraphOf = Callable[..., LayerGraph]


@pytest.mark.parametrize("kind", COSTS)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.2, 0.7, 1.0, 3.0])
def test_they_hold_the_budget_and_come_near_it(kind: str, share: float) -> None:
    graph = find_checkpoint("resnet20_mnist5k").graph
    cost = COSTS[kind](graph)
    budget = Budget(cost=cost, limit=cost.least + share * (cost.greatest - cost.least))
    drawn = random_under(graph, budget, count=8, generator=np.random.default_rng(1))
    assert len(drawn) == 8
    for assignment in drawn:
        assert assignment.checked(graph.layers) == assignment
        assert budget.holds(assignment)
        assert cost.of(assignment) >= min(budget.limit, cost.greatest) - 0.03 * (cost.greatest - cost.least)
    if share in (0.2, 0.7):
        assert len(set(drawn)) == 8


def test_the_same_seed_draws_the_same() -> None:
    graph = find_checkpoint("resnet20_mnist5k").graph
    budget = Budget(cost=bit_operations(graph), limit=5e8)
    first, again, other = (
        random_under(graph, budget, count=4, generator=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_all_assignments_of_one_cost_are_equally_likely(graph_of: GraphOf) -> None:
    graph = graph_of(dict.fromkeys("abcd", TIED))
    budget = Budget(cost=average_bits(graph), limit=3.25)
    nearest = [widths for widths in product(TIED, repeat=4) if sum(each.weight for each in widths) == 13]
    draws = random_under(graph, budget, count=100 * len(nearest), generator=np.random.default_rng(7))
    counts = Counter(tuple(drawn[site] for site in "abcd") for drawn in draws)
    assert set(counts) == set(nearest)
    assert chisquare(list(counts.values())).pvalue > 1e-3


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_budget_that_can_be_met_is_met(graph_of: GraphOf, data: st.DataObject) -> None:
    graph = graph_of({f"s{number}": data.draw(st.sampled_from([TIED, UNTIED])) for number in range(3)})
    price = st.one_of(st.integers(0, 3).map(float), st.floats(0, 1e12))
    prices = {s.name: {w: data.draw(price) for w in s.allowed} for s in graph.layers if not s.pinned}
    cost = AdditiveCost(name="cost", fixed=data.draw(price), prices=prices)
    share = data.draw(st.sampled_from([0.0, 1e-6, 0.5, 1 - 1e-9, 1.0]))
    budget = Budget(cost=cost, limit=cost.least + share * (cost.greatest - cost.least))
    for drawn in random_under(graph, budget, count=2, generator=np.random.default_rng(0)):
        assert budget.holds(drawn)


def test_a_budget_that_nearly_no_draw_keeps_is_met(graph_of: GraphOf) -> None:
    graph = graph_of({"a": TIED[:2]})
    cost = AdditiveCost(name="cost", fixed=0, prices={"a": {TIED[0]: 0.0, TIED[1]: 10.0}})
    budget = Budget(cost=cost, limit=10 - 1e-6)
    (drawn,) = random_under(graph, budget, count=1, generator=np.random.default_rng(0))
    assert drawn["a"] == TIED[0]
