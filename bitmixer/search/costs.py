"""What an assignment costs: one number per site and widths, summed; and budgets on it. Plain data: no torch here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from bitmixer.bitwidths import BitAssignment, BitWidths, SiteLike, require_allowed, require_known
from bitmixer.errors import SearchError, did_you_mean
from bitmixer.graph import Layer, LayerGraph

ROUNDING = 1e-9
"""Relative excess over a budget that counts as rounding: sums of fractions may miss a limit that is met exactly."""

_FORM = re.compile(r"\s*(?P<kind>\w+)\s*<=\s*(?P<limit>\S+)\s*")


@dataclass(frozen=True, kw_only=True)
class AdditiveCost:
    """A cost that is a sum over sites.

    Attributes:
        name: What is counted, for example ``bit_operations``.
        fixed: Part of the pinned sites, which no assignment changes.
        prices: Switchable site -> widths -> cost.
    """

    name: str
    fixed: float
    prices: Mapping[str, Mapping[BitWidths, float]]

    def of(self, assignment: Mapping[str, BitWidths]) -> float:
        """Return the cost of an assignment."""
        return self.fixed + math.fsum(prices[assignment[site]] for site, prices in self.prices.items())

    @cached_property
    def least(self) -> float:
        """Cost with every site at its cheapest."""
        return self.fixed + math.fsum(min(prices.values()) for prices in self.prices.values())

    @cached_property
    def greatest(self) -> float:
        """Cost with every site at its dearest."""
        return self.fixed + math.fsum(max(prices.values()) for prices in self.prices.values())

    def summary(self) -> dict[str, str | float]:
        """Return what JSON says of the cost."""
        return {"kind": self.name, "fixed": self.fixed, "least": self.least, "greatest": self.greatest}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A limit on a cost, which some assignment can keep.

    Raises:
        SearchError: Even the cheapest assignment costs more.
    """

    cost: AdditiveCost
    limit: float

    def __post_init__(self) -> None:
        if not self._within(self.cost.least):
            raise SearchError(
                f"budget {self}: cannot be met: with every site at its cheapest, {self.cost.name} is "
                f"{self.cost.least:.6g}; raise the budget to that or more"
            )

    def __str__(self) -> str:
        return f"{self.cost.name}<={self.limit:g}"

    def holds(self, assignment: Mapping[str, BitWidths]) -> bool:
        """Whether an assignment costs no more than the limit."""
        return self._within(self.cost.of(assignment))

    def _within(self, cost: float) -> bool:
        return cost <= self.limit + ROUNDING * abs(self.limit)


def parse_limit(text: str, kinds: Iterable[str]) -> tuple[str, float]:
    """Read ``KIND<=NUMBER``; return both.

    Raises:
        SearchError: Not of that form, or an unknown kind.
    """
    match = _FORM.fullmatch(text)
    limit = _number(match["limit"]) if match else None
    if match is None or limit is None:
        raise SearchError(f"budget {text!r}: expected KIND<=NUMBER, for example average_bits<=3")
    known = tuple(kinds)
    if match["kind"] not in known:
        raise SearchError(
            f"budget {text!r}: unknown kind {match['kind']!r}: {did_you_mean(match['kind'], known)}; "
            "the columns of a cost table are kinds too"
        )
    return match["kind"], limit


def average_bits(graph: LayerGraph) -> AdditiveCost:
    """Return the plain mean of the bits over switchable sites, each site's being the mean of weight and activation.

    As papers on mixed precision count it (sum of b_l over L layers), where the two are tied; pinned sites stay out.
    """
    sites = len(_switchable(graph))
    return _priced(graph, "average_bits", lambda _, widths: (widths.weight + widths.activation) / 2 / sites, fixed=0.0)


def average_weight_bits(graph: LayerGraph) -> AdditiveCost:
    """Return the mean bits of a weight, over the weights of switchable sites; pinned sites stay out."""
    weights = sum(layer.weights for layer in _switchable(graph))
    return _priced(
        graph, "average_weight_bits", lambda layer, widths: layer.weights * widths.weight / weights, fixed=0.0
    )


def bit_operations(graph: LayerGraph) -> AdditiveCost:
    """Return BitOps per input: multiply-accumulates times weight bits times activation bits, of all sites."""
    return _priced(graph, "bit_operations", lambda layer, widths: layer.macs * widths.weight * widths.activation)


def weight_bytes(graph: LayerGraph) -> AdditiveCost:
    """Return the bytes of all sites' weights at their widths (codes alone: no norms, no plane for the carry)."""
    return _priced(graph, "weight_bytes", lambda layer, widths: layer.weights * widths.weight / 8)


COSTS: Mapping[str, Callable[[LayerGraph], AdditiveCost]] = {
    cost.__name__: cost for cost in (average_bits, average_weight_bits, bit_operations, weight_bytes)
}


def cost_from_table(graph: LayerGraph, name: str, table: Mapping[str, Mapping[BitWidths, float]]) -> AdditiveCost:
    """Return a cost from plain numbers, for example cycles or joules that a simulator of hardware gives.

    Args:
        graph: The network.
        name: What the numbers count.
        table: Site -> widths -> cost, for every site, pinned ones too, and all widths that it allows.

    Raises:
        UnknownSiteError: The table has a site that the network has not.
        BitWidthError: It has widths that the site does not allow.
        SearchError: A site or widths are missing, or a number is negative or not finite.
    """
    known = {layer.name: layer for layer in graph.layers}
    for site, prices in table.items():
        for widths, price in prices.items():
            require_allowed(require_known(site, known), widths)
            if not 0 <= price < math.inf:
                raise SearchError(f"{name} of site {site!r} at {widths} is {price}: expected a number of 0 or more")
    return _priced(graph, name, lambda layer, widths: _price(table, name, layer.name, widths))


def uniform_costs(graph: LayerGraph, cost: AdditiveCost) -> dict[int, float]:
    """Return what every uniform width costs."""
    return {bits: cost.of(graph.uniform(bits)) for bits in graph.uniform_bits}


def highest(sites: Iterable[SiteLike]) -> BitAssignment:
    """Return the assignment in which every site has the most bits that it allows."""
    return BitAssignment({site.name: max(site.allowed, key=_most_bits) for site in sites})


def _most_bits(widths: BitWidths) -> tuple[int, int]:
    return widths.weight * widths.activation, widths.weight


def _switchable(graph: LayerGraph) -> list[Layer]:
    layers = [layer for layer in graph.layers if not layer.pinned]
    if not layers:
        raise SearchError(f"{graph.network}: every site is pinned: there is nothing to search")
    return layers


def _priced(
    graph: LayerGraph, name: str, price: Callable[[Layer, BitWidths], float], *, fixed: float | None = None
) -> AdditiveCost:
    pinned = math.fsum(price(layer, layer.allowed[0]) for layer in graph.layers if layer.pinned)
    return AdditiveCost(
        name=name,
        fixed=pinned if fixed is None else fixed,
        prices={layer.name: {widths: price(layer, widths) for widths in layer.allowed} for layer in _switchable(graph)},
    )


def _price(table: Mapping[str, Mapping[BitWidths, float]], name: str, site: str, widths: BitWidths) -> float:
    try:
        return table[site][widths]
    except KeyError:
        raise SearchError(f"{name} of site {site!r} at {widths} is missing: give every site all its widths") from None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
