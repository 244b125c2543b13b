"""On-chip buffers: how much lies in them, and in what pieces DRAM is read and written."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.cost.arrays.base import Int64Array, ceil_divide


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffers:
    """Three buffers, in bits.

    Attributes:
        weight_bits: Capacity for weights.
        activation_bits: Capacity for activations.
        output_bits: Capacity for accumulators.
        halves: 2 where one tile is fetched while the one before is computed and a third drains; 1 where they wait.
        burst_bits: DRAM moves whole bursts. What lies in one piece there is a tile: of weights one plane of it, of
            partial sums, results, stored copies and waiting operands the tile's share.
    """

    weight_bits: int
    activation_bits: int
    output_bits: int
    halves: int
    burst_bits: int

    def whole_bursts(self, bits: Int64Array) -> Int64Array:
        """Return what moves where ``bits`` lie in one piece."""
        return ceil_divide(bits, self.burst_bits) * self.burst_bits
