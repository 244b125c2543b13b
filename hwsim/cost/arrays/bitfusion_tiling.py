"""BitFusion's search: the tiles and the order of loops in which a layer takes the fewest cycles.

The rules are those of BitFusion's simulator (Sharma et al., ISCA 2018; github.com/hsharma35/bitfusion): tile sides are
powers of two up to the dimension, kernels are not tiled, half of each buffer is usable (the other half fills), and all
orders of the loops over inputs, rows, columns, input channels and output channels are tried. Everything here is flat:
one entry per question, or one per candidate tile.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.cost.arrays.base import Float64Array, Int64Array, ceil_divide
from hwsim.cost.arrays.flat import Flat, halvings

ACCUMULATOR_BITS = 32

LOOPS: Mapping[str, frozenset[str]] = {
    "inputs": frozenset({"activation", "output"}),
    "rows": frozenset({"activation", "output"}),
    "columns": frozenset({"activation", "output"}),
    "channels": frozenset({"activation", "weight"}),
    "filters": frozenset({"weight", "output"}),
}
"""Loop over tiles -> the buffers whose contents it changes."""

BUFFERS = ("weight", "activation", "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions(Flat):
    """Layers (one group of channels each) at their bits.

    Attributes:
        lanes: Input channels at once at these bits: N times the fusion factor.
        width: M, output channels at once.
        flattened: 1 where kernel and input channels are flattened together.
    """

    inputs: Int64Array
    channels: Int64Array
    filters: Int64Array
    kernel_height: Int64Array
    kernel_width: Int64Array
    stride_height: Int64Array
    stride_width: Int64Array
    output_height: Int64Array
    output_width: Int64Array
    flattened: Int64Array
    weight_bits: Int64Array
    activation_bits: Int64Array
    lanes: Int64Array
    width: Int64Array

    @property
    def kernel(self) -> Int64Array:
        """Positions of the kernel."""
        return self.kernel_height * self.kernel_width

    @property
    def filter_unit(self) -> Int64Array:
        """The smallest tile of output channels that is tried."""
        return np.where(self.flattened == 1, 1, self.width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles(Flat):
    """Candidate tiles, and whose they are.

    Attributes:
        question: Position of the question.
        side: Side of the output tile before it is clipped to the map.
    """

    question: Int64Array
    side: Int64Array
    inputs: Int64Array
    rows: Int64Array
    columns: Int64Array
    channels: Int64Array
    filters: Int64Array

    @property
    def positions(self) -> Int64Array:
        """Output positions of a tile."""
        return self.inputs * self.rows * self.columns

    def counts(self, asked: Questions) -> dict[str, Int64Array]:
        """Return how many tiles each loop runs over; ``asked`` has one row per tile."""
        return {
            "inputs": ceil_divide(asked.inputs, self.inputs),
            "rows": ceil_divide(asked.output_height, self.rows),
            "columns": ceil_divide(asked.output_width, self.columns),
            "channels": ceil_divide(asked.channels, self.channels),
            "filters": ceil_divide(asked.filters, self.filters),
        }


def candidate_tiles(asked: Questions) -> Tiles:
    """Return all tiles of all questions, those of a question side by side, small ones first."""
    side = np.maximum(asked.output_height, asked.output_width)
    steps = [halvings(asked.inputs), halvings(side), halvings(asked.channels)]
    steps.append(halvings(ceil_divide(asked.filters, asked.filter_unit)))
    number = np.prod(steps, axis=0)
    question = np.repeat(np.arange(number.size), number)
    rest = np.arange(question.size) - np.repeat(np.cumsum(number) - number, number)
    exponents = []
    for step in reversed(steps):
        rest, exponent = np.divmod(rest, step[question])
        exponents.append(exponent)
    filters, channels, sides, inputs = (np.left_shift(1, exponent) for exponent in exponents)
    mine = asked.take(question)
    return Tiles(
        question=question,
        side=np.minimum(sides, side[question]),
        inputs=np.minimum(inputs, mine.inputs),
        rows=np.minimum(sides, mine.output_height),
        columns=np.minimum(sides, mine.output_width),
        channels=np.minimum(channels, mine.channels),
        filters=np.minimum(filters * mine.filter_unit, mine.filters),
    )


def tile_bits(tiles: Tiles, asked: Questions) -> dict[str, Int64Array]:
    """Return what a tile takes of each buffer; ``asked`` has one row per tile.

    Weights are padded to whole rows of the array, outputs to whole columns; the input of a flattened layer is copied
    out, window by window.
    """
    height = asked.kernel_height + (tiles.rows - 1) * asked.stride_height
    width = asked.kernel_width + (tiles.columns - 1) * asked.stride_width
    inputs = np.where(asked.flattened == 1, tiles.positions * asked.kernel, tiles.inputs * height * width)
    products = ceil_divide(asked.kernel * tiles.channels, asked.lanes) * asked.lanes
    outputs = tiles.positions * ceil_divide(tiles.filters, asked.width) * asked.width
    return {
        "weight": products * tiles.filters * asked.weight_bits,
        "activation": inputs * tiles.channels * asked.activation_bits,
        "output": outputs * ACCUMULATOR_BITS,
    }


def compute_cycles(tiles: Tiles, asked: Questions) -> Int64Array:
    """Return the cycles of one tile: positions * ceil(f/M) * k * ceil(c/lanes), or ceil(k c/lanes) if flattened."""
    flat = ceil_divide(asked.kernel * tiles.channels, asked.lanes)
    passes = np.where(asked.flattened == 1, flat, asked.kernel * ceil_divide(tiles.channels, asked.lanes))
    return tiles.positions * ceil_divide(tiles.filters, asked.width) * passes


def dram_bits(
    order: Sequence[str], first: Int64Array, buffer: str, counts: Mapping[str, Int64Array], capacity: int
) -> tuple[Int64Array, Int64Array]:
    """Return the bits that cross the DRAM interface for one buffer, one way, and its largest resident footprint.

    From the innermost loop outwards, a loop that does not change the buffer's contents is free while the footprint
    fits; once it does not, every loop fetches all again.

    Args:
        order: The loops, outermost first.
        first: Bits of one tile.
        buffer: Its name.
        counts: Tiles per loop.
        capacity: Usable bits of the buffer.
    """
    bits, resident = first, first
    fits = np.ones(first.shape, dtype=np.bool_)
    for loop in reversed(order):
        if buffer in LOOPS[loop]:
            bits = bits * counts[loop]
            fits = fits & (bits <= capacity)
            resident = np.where(fits, bits, resident)
        else:
            bits = np.where(fits, bits, bits * counts[loop])
    return bits, resident


def buffer_reads(tiles: Tiles, asked: Questions) -> dict[str, Int64Array]:
    """Return the bits that the array reads of each buffer for one tile (of outputs, it writes as many).

    Whichever of inputs, outputs or weights moves least if it stays in the array does, in this order at a tie, as
    counted with padded sizes; the traffic is that of unpadded sizes.
    """
    w, a, positions = asked.weight_bits, asked.activation_bits, tiles.positions
    padded_filters = ceil_divide(tiles.filters, asked.width) * asked.width
    by_channel = asked.kernel * ceil_divide(tiles.channels, asked.lanes) * asked.lanes
    flat = ceil_divide(asked.kernel * tiles.channels, asked.lanes) * asked.lanes
    padded_products = np.where(asked.flattened == 1, flat, by_channel)
    stationary = np.argmin(
        [
            padded_products * positions * (a + padded_filters * (w + ACCUMULATOR_BITS)),
            padded_filters * positions * (ACCUMULATOR_BITS + padded_products * (a + w)),
            padded_products * padded_filters * (w + positions * (a + ACCUMULATOR_BITS)),
        ],
        axis=0,
    )
    inputs, outputs, weights = (stationary == choice for choice in range(3))
    products = asked.kernel * tiles.channels
    return {
        "weight": products * tiles.filters * np.where(weights, 1, positions) * w,
        "activation": products * positions * np.where(inputs, 1, tiles.filters) * a,
        "output": tiles.filters * positions * np.where(outputs, 1, products) * ACCUMULATOR_BITS,
    }


def orders(counts: Mapping[str, Int64Array]) -> list[tuple[str, ...]]:
    """Return the orders of the loops that can differ, outermost first.

    Loops over a single tile have no effect in any place, and rows and columns of square maps can be exchanged.
    """
    real = [loop for loop in LOOPS if np.any(counts[loop] > 1)]
    square = np.array_equal(counts["rows"], counts["columns"])
    return [
        order
        for order in itertools.permutations(real)
        if not (square and "rows" in order and order.index("rows") > order.index("columns"))
    ]


def best_of_each(question: Int64Array, total_cycles: Int64Array, energy_joules: Float64Array) -> Int64Array:
    """Return each question's candidate of the fewest cycles, of those the least energy, of those the first."""
    sequence = np.lexsort((energy_joules, total_cycles, question))
    _, starts = np.unique(question[sequence], return_index=True)
    chosen: Int64Array = sequence[starts]
    return chosen
