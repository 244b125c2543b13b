"""The quantisation sites of a graph network: one per layer, product and degree class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import UnsupportedNetworkError, did_you_mean

Product = Literal["combination", "aggregation"]
Granularity = Literal["uniform", "component", "layer", "topology", "combined"]
"""SGQuant's: one width for all; features and attention apart; layers apart; degree classes apart; all of it."""
GRANULARITIES: tuple[Granularity, ...] = ("uniform", "component", "layer", "topology", "combined")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSite:
    """A product of a layer, for the nodes of one degree class.

    A combination multiplies features (activation bits) by the layer's weights (weight bits). An aggregation multiplies
    messages (activation bits), the results of combinations or the features themselves, by coefficients of edges (weight
    bits): attention, or what the degrees say. The class of an edge is that of its source.

    Attributes:
        layer: Name of the layer.
        product: Which of the layer's products.
        degree_class: Class of nodes, from 0 for the lowest degrees.
        allowed: Widths that it can run at; 32 bits are real numbers.
        stores: The operands that lie in memory between layers, and are SGQuant's to choose.
    """

    layer: str
    product: Product
    degree_class: int
    allowed: tuple[BitWidths, ...]
    stores: tuple[Literal["weight", "activation"], ...]

    @property
    def name(self) -> str:
        """``layer.product/class``."""
        return f"{self.layer}.{self.product}/degree{self.degree_class}"


def allowed_pairs(weight_bits: Sequence[int], activation_bits: Sequence[int]) -> tuple[BitWidths, ...]:
    """Return every pair of these widths."""
    return tuple(BitWidths(*pair) for pair in product(sorted(set(weight_bits)), sorted(set(activation_bits))))


@dataclass(frozen=True, slots=True)
class Choice:
    """Operands that share one width.

    Attributes:
        name: What they are.
        operands: (name of a site, ``weight`` or ``activation``).
    """

    name: str
    operands: tuple[tuple[str, Literal["weight", "activation"]], ...]


def choices(sites: Sequence[GraphSite], granularity: str) -> tuple[Choice, ...]:
    """Return what may be chosen apart from one another at a granularity, among the operands that lie in memory.

    Raises:
        UnsupportedNetworkError: The granularity does not exist.
    """
    if granularity not in GRANULARITIES:
        raise UnsupportedNetworkError(
            f"unknown granularity {granularity!r}: {did_you_mean(granularity, GRANULARITIES)}"
        )
    parts: dict[str, list[tuple[str, Literal["weight", "activation"]]]] = {}
    for site in sites:
        for operand in site.stores:
            component = "attention" if operand == "weight" else "features"
            split = {
                "uniform": "all",
                "component": component,
                "layer": site.layer,
                "topology": f"degree{site.degree_class}",
                "combined": f"{site.layer}.{component}/degree{site.degree_class}",
            }
            parts.setdefault(split[granularity], []).append((site.name, operand))
    return tuple(Choice(name, tuple(operands)) for name, operands in parts.items())


def chosen(sites: Sequence[GraphSite], made: Sequence[tuple[Choice, int]], *, rest: int = 32) -> BitAssignment:
    """Return the assignment with a width for each choice, and ``rest`` bits for every other operand."""
    widths = {site.name: {"weight": rest, "activation": rest} for site in sites}
    for choice, bits in made:
        for name, operand in choice.operands:
            widths[name][operand] = bits
    return BitAssignment({name: BitWidths(pair["weight"], pair["activation"]) for name, pair in widths.items()})
