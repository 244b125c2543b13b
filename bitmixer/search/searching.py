"""All methods on one network, under one budget or many."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bitmixer.bitwidths import BitAssignment
from bitmixer.graph import LayerGraph
from bitmixer.search.costs import AdditiveCost, Budget, uniform_costs
from bitmixer.search.exact import least_sensitive
from bitmixer.search.greedy import Step, descend, first_within
from bitmixer.search.losses import LossModel, Sensitivity, sensitivity
from bitmixer.search.points import Judge, Point, pareto_front
from bitmixer.search.sampling import random_under

METHODS = ("greedy", "exact", "random")
"""Ways to search."""
BETWEEN = 3
"""Budgets of a Pareto front between the costs of two neighbouring uniform widths."""


class Searcher:
    """Searches one network under any number of budgets on one cost; nothing is measured twice.

    Args:
        graph: The network's layer graph.
        cost: What the budgets limit.
        model: The loss, on images of the training split.
        random_assignments: How many assignments ``random`` draws per budget.
        seed: Seed of the draws, the same for every budget.
    """

    def __init__(
        self, graph: LayerGraph, cost: AdditiveCost, model: LossModel, *, random_assignments: int, seed: int
    ) -> None:
        self.graph = graph
        self.cost = cost
        self._model = model
        self._count = random_assignments
        self._seed = seed
        self._way: Iterator[Step] = descend(graph, cost, model)

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """What lowering each site alone does."""
        return sensitivity(self.graph, self._model)

    def find(self, method: str, budget: Budget) -> list[BitAssignment]:
        """Return what one of :data:`METHODS` finds: one assignment, or those that were drawn."""
        if method == "greedy":
            self._way, way = itertools.tee(self._way)  # keeps the steps that were taken
            return [first_within(way, budget)]
        if method == "exact":
            return [least_sensitive(self.graph, budget, self.sensitivity)]
        generator = np.random.default_rng(self._seed)
        return random_under(self.graph, budget, count=self._count, generator=generator)


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """Points of all methods under one budget or several, beside the uniform widths.

    Attributes:
        cost: What is limited.
        points: What was found, and the uniform widths.
    """

    cost: AdditiveCost
    points: tuple[Point, ...]

    @property
    def uniform(self) -> list[Point]:
        """The uniform widths, which were not searched for."""
        return [point for point in self.points if point.limit is None]

    def under(self, limit: float, method: str) -> list[Point]:
        """Return the points of a method under one budget."""
        return [point for point in self.points if (point.limit, point.method) == (limit, method)]

    def as_dict(self) -> dict[str, Any]:
        """Return the points, and which are on the Pareto front of cost and loss, as JSON holds them."""
        front = {(point.cost, point.loss) for point in pareto_front(self.points)}
        return {
            "cost": self.cost.summary(),
            "points": [
                {**point.as_dict(), "on_front": (point.cost, point.loss) in front} for point in self.points
            ],
        }  # fmt: skip


def trade_off(
    searcher: Searcher, judge: Judge, *, limits: Sequence[float], methods: Sequence[str],
    progress: Callable[[str], None] = lambda step: None,
) -> TradeOff:  # fmt: skip
    """Search under every budget with every method, and judge what was found, and the uniform widths.

    Raises:
        SearchError: A budget cannot be met, or a method fails under it.
    """
    budgets = [Budget(cost=searcher.cost, limit=limit) for limit in limits]
    graph = searcher.graph
    points = [judge.point(f"uniform {bits} bit", None, graph.uniform(bits)) for bits in graph.uniform_bits]
    for budget, method in itertools.product(budgets, methods):
        found = searcher.find(method, budget)
        points += (judge.point(method, budget.limit, assignment) for assignment in found)
        progress(f"{method} under {budget}")
    return TradeOff(cost=searcher.cost, points=tuple(points))


def pareto_limits(graph: LayerGraph, cost: AdditiveCost) -> list[float]:
    """Return budgets from the least cost to the greatest: those of the uniform widths, and some between them."""
    anchors = sorted({cost.least, *uniform_costs(graph, cost).values(), cost.greatest})
    between = [np.linspace(low, high, BETWEEN + 1, endpoint=False) for low, high in itertools.pairwise(anchors)]
    return [*(float(limit) for limits in between for limit in limits), anchors[-1]]
