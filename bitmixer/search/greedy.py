"""Greedy search, as Bit-Mixer's: lower the site whose loss grows least per cost saved, measure again, go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import SearchError
from bitmixer.graph import Layer, LayerGraph
from bitmixer.search.costs import AdditiveCost, Budget, highest
from bitmixer.search.losses import Change, LossModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One assignment on the way down, its cost, and its loss by the model that was searched with."""

    assignment: BitAssignment
    cost: float
    loss: float


def greedy(graph: LayerGraph, budget: Budget, model: LossModel) -> BitAssignment:
    """Return the first assignment on the greedy way down that keeps the budget.

    With a measured loss it is the search of Bit-Mixer (Bulat and Tzimiropoulos, ICCV 2021), O(sites^2) evaluations;
    with a :class:`~bitmixer.search.losses.Sensitivity` it is its cheap variant, without any more of them.

    Raises:
        SearchError: The way ends above the budget.
    """
    return first_within(descend(graph, budget.cost, model), budget)


def first_within(way: Iterable[Step], budget: Budget) -> BitAssignment:
    """Return the first assignment on a way down that keeps the budget.

    Raises:
        SearchError: None does.
    """
    for step in way:
        if budget.holds(step.assignment):
            return step.assignment
    raise SearchError(
        f"budget {budget}: the greedy search ends above it, as no site has cheaper widths with fewer bits than those "
        "it is at: use the exact search"
    )


def descend(graph: LayerGraph, cost: AdditiveCost, model: LossModel) -> Iterator[Step]:
    """Yield the greedy way from the highest widths down, until no site can be lowered any more.

    Each step lowers one site to the next widths below its own that cost less, where the loss grows least per cost
    saved; ties go to the site that is issued first.
    """
    assignment = highest(graph.layers)
    changes = _lowerings(graph, cost, assignment)
    unchanged, changed = model.losses(assignment, changes)
    yield Step(assignment=assignment, cost=cost.of(assignment), loss=unchanged)
    while changes:
        rates = [
            (loss - unchanged) / (cost.prices[site][assignment[site]] - cost.prices[site][widths])
            for (site, widths), loss in zip(changes, changed, strict=True)
        ]
        site, widths = changes[rates.index(min(rates))]
        assignment = BitAssignment({**assignment, site: widths})
        changes = _lowerings(graph, cost, assignment)
        unchanged, changed = model.losses(assignment, changes)
        yield Step(assignment=assignment, cost=cost.of(assignment), loss=unchanged)


def _lowerings(graph: LayerGraph, cost: AdditiveCost, assignment: BitAssignment) -> list[Change]:
    return [
        Change(layer.name, widths)
        for layer in graph.layers
        if not layer.pinned
        for widths in _next_below(layer, assignment[layer.name], cost)
    ]


def _next_below(layer: Layer, now: BitWidths, cost: AdditiveCost) -> list[BitWidths]:
    """Return the cheaper widths with no more bits of either kind that have no others of that sort above them."""
    prices = cost.prices[layer.name]
    below = [widths for widths in layer.allowed if _is_below(widths, now) and prices[widths] < prices[now]]
    return [widths for widths in below if not any(_is_below(widths, other) for other in below)]


def _is_below(widths: BitWidths, other: BitWidths) -> bool:
    return widths != other and widths.weight <= other.weight and widths.activation <= other.activation
