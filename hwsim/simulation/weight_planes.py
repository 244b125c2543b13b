"""The weight planes that lie on chip from one frame to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from hwsim.cost import CostTable


@dataclass(frozen=True, kw_only=True)
class PlaneNeeds:
    """Look-ups by position in the order of issue.

    Attributes:
        needed: Width -> planes that the site needs.
        kept: Planes that the site keeps on chip, if it needs them.
        independent: Whether each width has codes of its own, of which those last used are kept.
    """

    needed: tuple[Mapping[int, int], ...]
    kept: tuple[int, ...]
    independent: bool

    @classmethod
    def of(cls, costs: CostTable) -> PlaneNeeds:
        """Return the needs of a network on a device."""
        return cls(
            needed=tuple(dict(zip(costs.widths, row, strict=True)) for row in costs.planes_needed().tolist()),
            kept=costs.kept_planes,
            independent=costs.graph.weight_codes == "independent",
        )

    @cached_property
    def streamed(self) -> tuple[Mapping[int, int], ...]:
        """Width -> planes that every execution fetches."""
        return tuple(
            {width: max(planes - kept, 0) for width, planes in of_site.items()}
            for of_site, kept in zip(self.needed, self.kept, strict=True)
        )


class WeightPlanes:
    """What lies on chip now; nothing at first.

    Nested planes are the same for every width: raising the bits fetches those that are missing, lowering them none.
    Independent codes are fetched anew at every change of width, in either direction.
    """

    def __init__(self, needs: PlaneNeeds) -> None:
        self._needs = needs
        self._planes = [0] * len(needs.kept)
        self._widths = [0] * len(needs.kept)

    def missing(self, position: int, weight_bits: int) -> int:
        """Return how many of the planes that the site keeps must be fetched for this width; they are there after it."""
        needs = self._needs
        if not needs.kept[position]:
            return 0
        kept = min(needs.needed[position][weight_bits], needs.kept[position])
        if needs.independent and self._widths[position] != weight_bits:
            self._planes[position] = 0
        missing = max(kept - self._planes[position], 0)
        self._planes[position] += missing
        self._widths[position] = weight_bits
        return missing
