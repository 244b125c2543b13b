"""Layers as questions, and the tiles into which they can be cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from hwsim.cost.arrays.base import ArrayModel, Int64Array, LayerShapes, ceil_divide
from hwsim.cost.arrays.flat import Flat, distinct_rows, halvings
from hwsim.cost.memory.buffers import Buffers
from hwsim.cost.memory.dram import ACCUMULATOR_BITS

LOOPS = ("groups", "filters", "channels", "inputs", "rows", "columns")
"""Along which a layer is cut."""

_POSITIONS = LOOPS[3:]
OPERAND_LOOPS: Mapping[str, tuple[str, ...]] = {
    "weight": ("groups", "filters", "channels"),
    "activation": ("groups", "channels", *_POSITIONS),
    "output": ("groups", "filters", *_POSITIONS),
}
"""Operand -> loops that change its tile."""

Runs = tuple[tuple[int, int, int], ...]
"""Neighbouring tiles of one size along an axis of a map: (tiles, lines of results, lines of the input)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions(Flat):
    """Layers at their widths. Channels and filters are those of one group.

    Attributes:
        span_height: Rows that the kernel reaches over, dilation included; ``span_width``: columns.
        kept_planes: Weight planes that lie on chip.
        streamed_planes: Weight planes that are fetched whenever their tile is.
        input_bits: Bits of one input's map, as it lies in DRAM; 0 where it stays on chip.
        stream_bits: Bits of results for the key consumer that one input writes to DRAM.
        copy_bits: Bits of stored copies that one input writes to DRAM.
        operand_bits: Bits of waiting operands that one input reads from DRAM as results drain.
        vector_operations: Of one input.
        weight_room: Bits for weight tiles, all halves together; so for activations and outputs.
    """

    inputs: Int64Array
    groups: Int64Array
    channels: Int64Array
    filters: Int64Array
    kernel_height: Int64Array
    kernel_width: Int64Array
    stride_height: Int64Array
    stride_width: Int64Array
    span_height: Int64Array
    span_width: Int64Array
    padding_height: Int64Array
    padding_width: Int64Array
    input_height: Int64Array
    input_width: Int64Array
    output_height: Int64Array
    output_width: Int64Array
    is_dilated: Int64Array
    reads_network_input: Int64Array
    weight_bits: Int64Array
    activation_bits: Int64Array
    kept_planes: Int64Array
    streamed_planes: Int64Array
    input_bits: Int64Array
    stream_bits: Int64Array
    copy_bits: Int64Array
    operand_bits: Int64Array
    vector_operations: Int64Array
    weight_room: Int64Array
    activation_room: Int64Array
    output_room: Int64Array

    @property
    def results(self) -> Int64Array:
        """Results of one input."""
        return self.groups * self.filters * self.output_height * self.output_width


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles(Flat):
    """Sizes of tiles: several groups, or filters and channels of one; several inputs, rows of one, or columns of a row.

    Attributes:
        question: Whose tiles.
        order: Position in ``nest.ORDERS``.
    """

    question: Int64Array
    groups: Int64Array
    filters: Int64Array
    channels: Int64Array
    inputs: Int64Array
    rows: Int64Array
    columns: Int64Array
    order: Int64Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The sizes of one tile in each row of a table."""

    groups: Int64Array
    filters: Int64Array
    channels: Int64Array
    inputs: Int64Array
    rows: Int64Array
    columns: Int64Array
    input_rows: Int64Array
    input_columns: Int64Array

    @classmethod
    def of(cls, lines: Mapping[str, tuple[Int64Array, Int64Array]]) -> Sizes:
        """Return the sizes of tiles from their results' and their input's along each of ``LOOPS``."""
        own = {loop: each[0] for loop, each in lines.items()}
        return cls(**own, input_rows=lines["rows"][1], input_columns=lines["columns"][1])

    def weights(self, asked: Questions) -> Int64Array:
        """Return the weights of the tile."""
        return self.groups * self.filters * self.channels * asked.kernel_height * asked.kernel_width

    def input_bits(self, asked: Questions) -> Int64Array:
        """Return the bits of its input, what the next tile needs too included; 0 where the map is on chip."""
        elements = self.groups * self.channels * self.inputs * self.input_rows * self.input_columns
        whole = asked.groups * asked.channels * asked.input_height * asked.input_width
        return ceil_divide(elements * asked.input_bits, whole)

    def results(self, asked: Questions) -> Int64Array:
        """Return its results."""
        return self.groups * self.filters * self.inputs * self.rows * self.columns

    def share(self, asked: Questions, of_input: Int64Array) -> Int64Array:
        """Return its share of what an input's results cause, rounded up."""
        return ceil_divide(self.results(asked) * of_input, asked.results)


def candidates(asked: Questions) -> Tiles:
    """Return all tiles that may be tried; sizes are powers of two, or whole. Those of a question lie side by side.

    Ways to cut a map stand innermost: columns of a row, rows, and whole inputs.
    """
    rows, columns, filters, channels = map(
        halvings, (asked.output_height, asked.output_width, asked.filters, asked.channels)
    )
    maps = columns + rows + halvings(asked.inputs) - 2
    parts = filters * channels + halvings(asked.groups) - 1
    question = np.repeat(np.arange(rows.size), maps * parts)
    begun = np.cumsum(maps * parts) - maps * parts
    part, position = np.divmod(np.arange(question.size) - begun[question], maps[question])
    mine = asked.take(question)
    in_group = part < (filters * channels)[question]
    filter_step, channel_step = np.divmod(part, channels[question])
    return Tiles(
        question=question,
        groups=_powers(np.where(in_group, 0, part - (filters * channels)[question] + 1), mine.groups),
        filters=np.where(in_group, _powers(np.where(in_group, filter_step, 0), mine.filters), mine.filters),
        channels=np.where(in_group, _powers(channel_step, mine.channels), mine.channels),
        inputs=_powers(np.maximum(position - (columns + rows)[question] + 2, 0), mine.inputs),
        rows=_powers(np.clip(position - columns[question] + 1, 0, rows[question] - 1), mine.output_height),
        columns=_powers(np.minimum(position, columns[question] - 1), mine.output_width),
        order=np.zeros_like(question),
    )


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Layers cut into tiles.

    Attributes:
        tiles: One row per way to cut a layer.
        asked: The layer of each row.
    """

    tiles: Tiles
    asked: Questions

    @classmethod
    def of(cls, tiles: Tiles, asked: Questions) -> Cut:
        """Return the tiles of ``asked``, which has one row per question."""
        return cls(tiles=tiles, asked=asked.take(tiles.question))

    def take(self, index: Int64Array) -> Cut:
        """Return the rows at ``index``."""
        return Cut(tiles=self.tiles.take(index), asked=self.asked.take(index))

    def table(self) -> Int64Array:
        """Return [row, column] all that a row's costs depend on."""
        return np.concatenate([self.asked.table(), self.tiles.table()[:, 1:]], axis=1)

    @cached_property
    def row_runs(self) -> tuple[Int64Array, Int64Array, Int64Array]:
        """[row, run] how many tiles of the same rows follow one another, their result rows and input rows."""
        return self._runs_along("height", self.tiles.rows)

    @cached_property
    def column_runs(self) -> tuple[Int64Array, Int64Array, Int64Array]:
        """The same of columns."""
        return self._runs_along("width", self.tiles.columns)

    def _runs_along(self, side: str, size: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array]:
        names = ("output", "input", "span", "stride", "padding")
        table = np.stack([*(getattr(self.asked, f"{name}_{side}") for name in names), size], axis=1)
        first, which = distinct_rows(table)
        runs = [_runs(*row) for row in table[first].tolist()]
        longest = max(map(len, runs))
        padded = np.array([[*each, *((0, 1, 1),) * (longest - len(each))] for each in runs], dtype=np.int64)
        count, results, inputs = np.moveaxis(padded, 2, 0)
        return count[which], results[which], inputs[which]

    def runs(self, loop: str) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Return [row, run] how many tiles of one size follow one another along any loop, and the sizes as above."""
        if loop in ("rows", "columns"):
            return self.row_runs if loop == "rows" else self.column_runs
        size = getattr(self.tiles, loop)
        full, edge = np.divmod(getattr(self.asked, loop), size)
        sizes = np.stack([size, np.maximum(edge, 1)], axis=1)
        return np.stack([full, (edge > 0).astype(np.int64)], axis=1), sizes, sizes

    @cached_property
    def largest(self) -> Sizes:
        """The sizes of the largest tile of each row."""
        tiles = self.tiles
        return Sizes(
            **{loop: getattr(tiles, loop) for loop in LOOPS},
            input_rows=self.row_runs[2].max(axis=1),
            input_columns=self.column_runs[2].max(axis=1),
        )  # fmt: skip


def footprints(cut: Cut, buffers: Buffers) -> dict[str, tuple[Int64Array, Int64Array]]:
    """Return, by buffer, the bits that each row's largest tile takes, all halves together, and the room for it."""
    largest, asked, halves = cut.largest, cut.asked, buffers.halves
    return {
        "weight": (halves * largest.weights(asked) * asked.streamed_planes, asked.weight_room),
        "activation": (halves * largest.input_bits(asked), asked.activation_room),
        "output": (halves * largest.results(asked) * ACCUMULATOR_BITS, asked.output_room),
    }


@lru_cache(maxsize=1 << 14)
def _runs(output_size: int, input_size: int, span: int, stride: int, padding: int, lines: int) -> Runs:
    """Cut an axis of a map into bands of ``lines`` rows or columns of results.

    The first reads from the map's edge, the last to its other edge; each reads on to where the next begins, so that
    lines which a stride passes over are read too.
    """
    bands: list[list[int]] = []
    for first in range(0, output_size, lines):
        behind = min(first + lines, output_size)
        begin = max(first * stride - padding, 0) if first else 0
        end = max((behind - 1) * stride - padding + span, behind * stride - padding)
        end = min(end, input_size) if behind < output_size else input_size
        band = [behind - first, max(end - begin, 0)]
        if bands and bands[-1][1:] == band:
            bands[-1][0] += 1
        else:
            bands.append([1, *band])
    return tuple((count, results, inputs) for count, results, inputs in bands)


def sum_over_tiles(cut: Cut, value: Callable[[Sizes], Int64Array], *, over: tuple[str, ...]) -> Int64Array:
    """Return the sum of ``value`` over the tiles along the loops ``over``, edges at their own sizes.

    ``over`` names some of ``LOOPS``; the others stand at their first tile, which ``value`` must not look at.
    """
    total = np.zeros_like(cut.tiles.groups)
    runs = {
        loop: [
            tuple(map(np.ascontiguousarray, kind)) for kind in zip(*(part.T for part in cut.runs(loop)), strict=True)
        ]
        for loop in LOOPS
    }
    along = {loop: runs[loop] if loop in over else [(1, *runs[loop][0][1:])] for loop in reversed(LOOPS)}
    for count, sizes in _kinds(along, np.ones_like(total), {}):
        total += count * value(sizes)
    return total


def _kinds(
    along: Mapping[str, list[Any]], count: Int64Array, lines: dict[str, tuple[Int64Array, Int64Array]]
) -> Iterator[tuple[Int64Array, Sizes]]:
    """Yield how many tiles each row has of each combination of sizes, if any row has one, and these sizes."""
    if len(lines) == len(along):
        yield count, Sizes.of(lines)
        return
    loop = list(along)[len(lines)]
    for times, results, inputs in along[loop]:
        here = count * times
        if here.any():
            yield from _kinds(along, here, {**lines, loop: (results, inputs)})


def tile_shapes(sizes: Sizes, asked: Questions, inputs: int) -> LayerShapes:
    """Return tiles as layers of their own, for an array model; only those of ``inputs`` inputs have a meaning."""
    return LayerShapes(
        names=(),
        input_channels=sizes.groups * sizes.channels,
        output_channels=sizes.groups * sizes.filters,
        kernel_height=asked.kernel_height,
        kernel_width=asked.kernel_width,
        stride_height=asked.stride_height,
        stride_width=asked.stride_width,
        groups=sizes.groups,
        input_height=np.where(sizes.rows == asked.output_height, asked.input_height, sizes.input_rows),
        input_width=np.where(sizes.columns == asked.output_width, asked.input_width, sizes.input_columns),
        output_height=sizes.rows,
        output_width=sizes.columns,
        is_dilated=asked.is_dilated == 1,
        reads_network_input=asked.reads_network_input == 1,
        inputs_per_frame=inputs,
    )


def compute_cycles(array: ArrayModel, sizes: Sizes, asked: Questions) -> Int64Array:
    """Return the cycles for which each tile occupies the array."""
    cycles = np.zeros_like(sizes.groups)
    for inputs in np.unique(sizes.inputs).tolist():
        shapes = tile_shapes(sizes, asked, inputs)
        found = array.compute_cycles(shapes, asked.weight_bits, asked.activation_bits)
        cycles = np.where(sizes.inputs == inputs, found, cycles)
    return cycles


def action_counts(array: ArrayModel, cut: Cut) -> dict[str, Int64Array]:
    """Return how often each row's tiles together cause each action of the array."""
    asked = cut.asked
    actions = array.action_counts(tile_shapes(cut.largest, asked, 1), asked.weight_bits, asked.activation_bits)

    def count(action: str) -> Callable[[Sizes], Int64Array]:
        def of(sizes: Sizes) -> Int64Array:
            counted = np.zeros_like(sizes.groups)
            for inputs in np.unique(sizes.inputs).tolist():
                shapes = tile_shapes(sizes, asked, inputs)
                found = array.action_counts(shapes, asked.weight_bits, asked.activation_bits)[action]
                counted = np.where(sizes.inputs == inputs, found, counted)
            return counted

        return of

    return {action: sum_over_tiles(cut, count(action), over=LOOPS) for action in actions}


def _powers(exponents: Int64Array, largest: Int64Array) -> Int64Array:
    powers: Int64Array = np.minimum(np.left_shift(1, exponents), largest)
    return powers
