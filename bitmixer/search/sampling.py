"""The baseline: random assignments that use up a budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitmixer.bitwidths import BitAssignment
from bitmixer.graph import Layer, LayerGraph
from bitmixer.search.costs import ROUNDING, Budget

DRAWS = 200
"""Draws of which the one nearest to the budget is kept."""

STEEPEST = 50.0
"""Bound of the tilt, per mean span of a site's prices: there practically every site is at its cheapest."""

Floats = NDArray[np.float64]


def random_under(
    graph: LayerGraph, budget: Budget, *, count: int, generator: np.random.Generator
) -> list[BitAssignment]:
    """Draw assignments that keep a budget and come near it.

    Sites are drawn independently, widths of price c with a probability that falls as exp(-tilt * c), where the tilt
    makes the budget the expected cost: the law of most entropy with that mean (Jaynes, "Information Theory and
    Statistical Mechanics", 1957). It looks at nothing but the sum, so that **all assignments of one cost are equally
    likely**. Of :data:`DRAWS` draws, the dearest that keeps the budget is taken. An assignment may come twice.
    """
    layers = [layer for layer in graph.layers if not layer.pinned]
    pinned = {layer.name: layer.allowed[0] for layer in graph.layers if layer.pinned}
    prices, room = _above_least(layers, budget)
    tilt = _tilt(prices, room)
    found: list[BitAssignment] = []
    while len(found) < count:
        choices = [generator.choice(len(each), DRAWS, p=_shares(each, tilt)) for each in prices]
        for draw in _dearest_first(prices, choices, room):
            drawn = {layer.name: layer.allowed[choice[draw]] for layer, choice in zip(layers, choices, strict=True)}
            if budget.holds(drawn):
                found.append(BitAssignment({**pinned, **drawn}).checked(graph.layers))
                break
        else:
            tilt += max(1.0, abs(tilt))  # next to no draw keeps such a budget: look among cheaper ones
    return found


def _above_least(layers: Sequence[Layer], budget: Budget) -> tuple[list[Floats], float]:
    """Return the prices above each site's least and what the budget leaves for them, in mean spans of a site."""
    prices = [np.array([budget.cost.prices[layer.name][widths] for widths in layer.allowed]) for layer in layers]
    span = float(np.mean([np.ptp(each) for each in prices])) or 1.0
    return [(each - each.min()) / span for each in prices], max(0.0, budget.limit - budget.cost.least) / span


def _tilt(prices: Sequence[Floats], room: float) -> float:
    def excess(tilt: float) -> float:
        return sum(float(each @ _shares(each, tilt)) for each in prices) - room

    if excess(-STEEPEST) <= 0:
        return -STEEPEST
    if excess(STEEPEST) >= 0:
        return STEEPEST
    from scipy.optimize import brentq

    return float(brentq(excess, -STEEPEST, STEEPEST))


def _shares(prices: Floats, tilt: float) -> Floats:
    logarithms = -tilt * prices
    weights = np.exp(logarithms - logarithms.max())
    shares: Floats = weights / weights.sum()
    return shares


def _dearest_first(prices: Sequence[Floats], choices: Sequence[NDArray[np.int64]], room: float) -> NDArray[np.int64]:
    """Return the draws that fit the room or nearly do, the dearest first; rounded, so that equal costs are equal."""
    costs = np.sum([each[choice] for each, choice in zip(prices, choices, strict=True)], axis=0).round(9)
    order = np.argsort(-costs, kind="stable")
    dearest_first: NDArray[np.int64] = order[costs[order] <= room + ROUNDING]
    return dearest_first
