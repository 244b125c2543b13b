"""The precision of every layer that a method found, counted as papers count it and as memory stores it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitmixer.bitwidths import BitAssignment, BitWidths

FLOAT_BITS = 32
NARROWEST = 2
"""Fewest stored bits of a weight that can be zero: -1, 0 or +1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneScheme:
    """Bits of magnitude per weight of every site.

    Attributes:
        planes: Site -> bits of magnitude; 0 where all weights are zero.
        weights: Site -> number of weights.
        activations: Site -> activation bits.
    """

    planes: Mapping[str, int]
    weights: Mapping[str, int]
    activations: Mapping[str, int]

    @property
    def assignment(self) -> BitAssignment:
        """The widths at which hardware stores and runs it: the sign is a bit, and a site without planes takes two."""
        return BitAssignment(
            {site: BitWidths(stored_bits(planes), self.activations[site]) for site, planes in self.planes.items()}
        )

    @property
    def bits_per_weight(self) -> float:
        """Mean bits of magnitude: the count of the BSQ paper, which leaves out signs."""
        return self._mean(self.planes)

    @property
    def stored_bits_per_weight(self) -> float:
        """Mean bits that memory holds, signs among them."""
        return self._mean({site: stored_bits(planes) for site, planes in self.planes.items()})

    def as_dict(self) -> dict[str, Any]:
        """Return the scheme and both counts as JSON holds them; compression is against 32 bits."""
        plain, stored = self.bits_per_weight, self.stored_bits_per_weight
        return {
            "planes": dict(self.planes),
            "bits_per_weight": plain,
            "stored_bits_per_weight": stored,
            "compression": FLOAT_BITS / plain if plain else None,
            "stored_compression": FLOAT_BITS / stored,
        }

    def _mean(self, bits: Mapping[str, int]) -> float:
        return sum(bits[site] * count for site, count in self.weights.items()) / sum(self.weights.values())


def stored_bits(planes: int) -> int:
    """Return the width of a weight with so many bits of magnitude: one more, for the sign."""
    return max(NARROWEST, planes + 1)
