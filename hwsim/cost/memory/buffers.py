"""On-chip buffers: how much lies in them, and in what pieces DRAM is read and written."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwsim.cost.arrays.base import Int64Array, ceil_divide


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortTransfers:
    """Pieces that DRAM moves less efficiently, since each opens a row of its own.

    Attributes:
        below_bits: Pieces of fewer bits, whole bursts counted, are short.
        slowdown: Time that one of their bits takes, relative to a bit of a longer piece; 1 or more.
    """

    below_bits: int
    slowdown: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredRows:
    """How DRAM moves rows that are fetched by their index, from anywhere.

    Attributes:
        least_bits: A row moves in whole pieces of so many bits.
        slowdown: Time that one of their bits takes, relative to a bit of a long piece; 1 or more.
    """

    least_bits: int
    slowdown: float


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
        short_transfers: Which of these pieces take longer; ``None``: none.
        gathered_rows: How rows move that are fetched by their index; ``None``: as any piece of their size.
        counts_time: Whether ``whole_bursts`` says how long, not how much: see ``occupying``.
    """

    weight_bits: int
    activation_bits: int
    output_bits: int
    halves: int
    burst_bits: int
    short_transfers: ShortTransfers | None = None
    gathered_rows: GatheredRows | None = None
    counts_time: bool = False

    @property
    def occupying(self) -> Buffers | None:
        """These buffers, with bits that move in long pieces and take as long; ``None`` where all are equally fast."""
        return None if self.short_transfers is None else replace(self, counts_time=True)

    def whole_bursts(self, bits: Int64Array) -> Int64Array:
        """Return what moves where ``bits`` lie in one piece."""
        whole = ceil_divide(bits, self.burst_bits) * self.burst_bits
        if self.short_transfers is None or not self.counts_time:
            return whole
        longer = np.ceil(whole * self.short_transfers.slowdown).astype(np.int64)
        return np.where(whole < self.short_transfers.below_bits, longer, whole)

    def gathered(self, bits: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return what moves for a row of ``bits`` fetched by its index, and the bits that would take as long."""
        rows = self.gathered_rows
        if rows is None:
            return self.whole_bursts(bits), (self.occupying or self).whole_bursts(bits)
        moved = ceil_divide(bits, rows.least_bits) * rows.least_bits
        return moved, np.ceil(moved * rows.slowdown).astype(np.int64)
