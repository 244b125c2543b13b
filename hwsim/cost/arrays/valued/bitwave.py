"""BitWave: bit columns in which no weight of a group has a one are skipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost.arrays.base import Int64Array
from hwsim.cost.arrays.valued.base import Integers
from hwsim.cost.arrays.valued.weight_groups import WeightGroupArray


@dataclass(frozen=True, slots=True, kw_only=True)
class BitWave(WeightGroupArray):
    """BitWave (Shi et al., HPCA 2024, arXiv 2507.12444): bit-column-serial weights in sign and magnitude.

    Published: weights of a group (8, 16 or 32 along the input channels) are held as sign and magnitude; a column, which
    is one significance of all of them, is skipped if it holds no one; the others take one cycle each.

    Our reading: signs are applied beside the columns and take no cycle. A group without any one still takes one. Where
    two's complement reaches -2^(w-1), its magnitude stands in one more column than sign and magnitude would have, which
    is why the bound is w columns, not w - 1. One unrolling serves all layers, while BitWave chooses among several per
    layer. Weights are never flipped to empty columns: outputs would no longer be the network's.
    """

    name: ClassVar[str] = "bitwave"

    def group_cycles(self, weights: Integers, bits: int) -> Integers:
        """Return in how many significances a magnitude of the group has a one, at least 1."""
        occupied = np.bitwise_or.reduce(np.abs(weights), axis=-1)
        columns = np.zeros_like(occupied)
        for bit in range(bits):
            columns += occupied >> bit & 1
        cycles: Integers = np.maximum(columns, 1)
        return cycles

    def bound_of_group(self, bits: Int64Array) -> Int64Array:
        """Return the bits: a one in every column."""
        return bits

    def products_at_bound(self, macs: Int64Array) -> Int64Array:
        """Return all of them: units multiply every bit of a column that is not skipped."""
        return macs
