"""Exact search: the assignment with the least sum of sensitivities, a multiple-choice knapsack."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import SearchError
from bitmixer.graph import LayerGraph
from bitmixer.search.costs import ROUNDING, Budget
from bitmixer.search.losses import Sensitivity

SPAN = 1e3
"""The solver's tolerances are absolute (1e-6): both sums are scaled so that their largest term is this."""


class _Choice(NamedTuple):
    """One site at one of its widths: what it costs above the site's cheapest, and what it adds to the loss."""

    site: str
    widths: BitWidths
    excess: float
    increase: float


def least_sensitive(graph: LayerGraph, budget: Budget, sensitivity: Sensitivity) -> BitAssignment:
    """Return the assignment within the budget whose foretold loss is least, proven by HiGHS' branch and bound.

    One of each site's widths is chosen: minimise sum x * increase, where sum x * cost <= limit and the x of each
    site, 0 or 1, sum to 1 (Kellerer, Pferschy and Pisinger, "Knapsack Problems", 2004, chapter 11). What is optimal
    is the sum; the network's loss under the assignment is not quite that sum.

    Raises:
        SearchError: The solver gave up.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    room = max(0.0, budget.limit - budget.cost.least)
    choices = [
        _Choice(site, widths, price - min(prices.values()), sensitivity.increase[site][widths])
        for site, prices in budget.cost.prices.items()
        for widths, price in prices.items()
        if price - min(prices.values()) <= room + ROUNDING * budget.limit
    ]
    one_each = np.array([[choice.site == site for choice in choices] for site in budget.cost.prices], dtype=float)
    excess = np.array([choice.excess for choice in choices])
    increase = np.array([choice.increase for choice in choices])
    solved = milp(
        increase / _largest(increase) * SPAN,
        integrality=np.ones(len(choices), dtype=np.int64),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(excess / _largest(excess) * SPAN, -np.inf, room / _largest(excess) * SPAN),
        ],
        options={"mip_rel_gap": 0.0},
    )
    if solved.x is None:
        raise SearchError(f"budget {budget}: the solver gave up: {solved.message}")
    chosen = {choice.site: choice.widths for choice, x in zip(choices, solved.x, strict=True) if x > 0.5}
    pinned = {layer.name: layer.allowed[0] for layer in graph.layers if layer.pinned}
    return BitAssignment({**pinned, **chosen}).checked(graph.layers)


def _largest(values: NDArray[np.float64]) -> float:
    return float(np.abs(values).max()) or 1.0
