"""The nest of loops over tiles: which order fetches what how often, and what moves in all.

Loops run over groups, outermost, and in some order over filters (output channels), positions (inputs, rows within
an input, and columns within a row) and channels (input channels). One tile of weights, one of activations and one of
accumulators are on chip at a time: what the next tile also needs stays, all else is fetched again. Sums whose channels
are not all in yet move out and in as accumulators where their tile is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.cost.arrays.base import Int64Array, ceil_divide
from hwsim.cost.arrays.flat import Flat
from hwsim.cost.memory.buffers import Buffers
from hwsim.cost.memory.dram import ACCUMULATOR_BITS
from hwsim.cost.memory.tiles import OPERAND_LOOPS, Cut, Sizes, sum_over_tiles

Order = tuple[str, str, str]

ORDERS: tuple[Order, ...] = (
    ("filters", "positions", "channels"),
    ("positions", "filters", "channels"),
    ("filters", "channels", "positions"),
    ("channels", "filters", "positions"),
    ("positions", "channels", "filters"),
    ("channels", "positions", "filters"),
)
"""Loops, outermost first: output-stationary twice, weight-stationary twice, activation-stationary twice."""

OPERANDS = {
    "weight": frozenset({"filters", "channels"}),
    "activation": frozenset({"positions", "channels"}),
    "output": frozenset({"filters", "positions"}),
}
"""Operand -> loops that change its tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved(Flat):
    """Bits that cross between chip and DRAM in one execution of a layer, whole bursts.

    Attributes:
        weight_bits: Planes that stream, as often as the order asks.
        plane_bits: One plane of all weights.
        input_bits: Of the input, as often as the order asks.
        partial_bits: Accumulators, one way.
        result_bits: Results and stored copies.
        operand_bits: Waiting operands, read as results drain.
    """

    weight_bits: Int64Array
    plane_bits: Int64Array
    input_bits: Int64Array
    partial_bits: Int64Array
    result_bits: Int64Array
    operand_bits: Int64Array

    @property
    def read_bits(self) -> Int64Array:
        """Bits read, nothing that stays on chip being missing."""
        return self.weight_bits + self.input_bits + self.partial_bits + self.operand_bits

    @property
    def write_bits(self) -> Int64Array:
        """Bits written."""
        return self.partial_bits + self.result_bits


def loop_counts(cut: Cut) -> dict[str, Int64Array]:
    """Return the tiles that each loop of ``ORDERS`` runs over."""
    tiles, asked = cut.tiles, cut.asked
    bands = cut.row_runs[0].sum(axis=1) * cut.column_runs[0].sum(axis=1)
    return {
        "filters": ceil_divide(asked.filters, tiles.filters),
        "positions": ceil_divide(asked.inputs, tiles.inputs) * bands,
        "channels": ceil_divide(asked.channels, tiles.channels),
    }


def sweeps(order: Sequence[str], operand: str, counts: dict[str, Int64Array]) -> Int64Array:
    """Return how often an operand's tiles are all fetched.

    Once for each round of the loops that do not change it, but stand outside one that does.
    """
    changing = np.zeros(counts["filters"].shape, dtype=np.bool_)
    times = np.ones_like(counts["filters"])
    for loop in reversed(order):
        if loop in OPERANDS[operand]:
            changing = changing | (counts[loop] > 1)
        else:
            times = np.where(changing, times * counts[loop], times)
    return times


def moved_once(cut: Cut, buffers: Buffers) -> Moved:
    """Return what moves if every tile moves once; ``partial_bits`` are then those of one round."""
    asked, bursts = cut.asked, buffers.whole_bursts

    def results(sizes: Sizes) -> Int64Array:
        stream, copy = (sizes.share(asked, bits) for bits in (asked.stream_bits, asked.copy_bits))
        return bursts(stream) + bursts(copy)

    plane = sum_over_tiles(cut, lambda sizes: bursts(sizes.weights(asked)), over=OPERAND_LOOPS["weight"])
    return Moved(
        weight_bits=plane * asked.streamed_planes,
        plane_bits=plane,
        input_bits=sum_over_tiles(cut, lambda sizes: bursts(sizes.input_bits(asked)), over=OPERAND_LOOPS["activation"]),
        partial_bits=sum_over_tiles(
            cut, lambda sizes: bursts(sizes.results(asked) * ACCUMULATOR_BITS), over=OPERAND_LOOPS["output"]
        ),
        result_bits=sum_over_tiles(cut, results, over=OPERAND_LOOPS["output"]),
        operand_bits=sum_over_tiles(
            cut, lambda sizes: bursts(sizes.share(asked, asked.operand_bits)), over=OPERAND_LOOPS["output"]
        ),
    )


def in_order(once: Moved, order: Order, counts: dict[str, Int64Array]) -> Moved:
    """Return what moves if the loops run in ``order``."""
    return Moved(
        weight_bits=once.weight_bits * sweeps(order, "weight", counts),
        plane_bits=once.plane_bits,
        input_bits=once.input_bits * sweeps(order, "activation", counts),
        partial_bits=once.partial_bits * (sweeps(order, "output", counts) - 1),
        result_bits=once.result_bits,
        operand_bits=once.operand_bits,
    )


def moved(cut: Cut, buffers: Buffers) -> Moved:
    """Return what moves, each row in its own order."""
    once, counts = moved_once(cut, buffers), loop_counts(cut)
    every = [in_order(once, order, counts) for order in ORDERS]
    return Moved(
        **{
            name: np.choose(cut.tiles.order, [getattr(each, name) for each in every])
            for name in Moved.__dataclass_fields__
        }
    )
