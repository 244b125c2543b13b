"""BitFusion: bricks of two bits that fuse, in space, into multipliers of the widths that a layer needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost.arrays.base import (
    BIT_ACTIONS,
    Float64Array,
    Int64Array,
    LayerShapes,
    ceil_divide,
    check_bits,
    check_positive,
)
from hwsim.cost.arrays.bitfusion_tiling import (
    BUFFERS,
    Questions,
    Tiles,
    best_of_each,
    buffer_reads,
    candidate_tiles,
    compute_cycles,
    dram_bits,
    orders,
    tile_bits,
)
from hwsim.cost.arrays.schedule import Schedule
from hwsim.errors import ConfigurationError

MAX_BITS = 8
BRICK_BITS = 2

UNIT_CYCLE_JOULES = 0.4591875e-12
"""One fusion unit, one cycle, at any bits: synthesis in 45 nm (BitFusion's simulator: 235.104 pJ for 512 units)."""
DRAM_BIT_JOULES = 15e-12
BUFFER_BIT_JOULES: Mapping[str, tuple[float, float]] = {
    "weight": (0.02136565625e-12, 0.02891615625e-12),
    "activation": (0.059474375e-12, 0.1137040625e-12),
    "output": (0.0331553125e-12, 0.0730840625e-12),
}
"""Buffer -> energy of one bit read, and written: CACTI at 45 nm, for the default sizes; kept for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BitFusion:
    """BitFusion (Sharma et al., ISCA 2018) with its buffers, DRAM interface and energies.

    Fusion units multiply two 8-bit numbers, or floor(8/a) * floor(8/w) pairs of fewer bits; one bit runs as two, but is
    moved as one. The model is the simulator's (github.com/hsharma35/bitfusion), tiling search included. Beyond it: maps
    and kernels need not be square, and groups of channels follow one another. The defaults are its 16 x 32 design.

    Attributes:
        rows: N, input channels at once at 8 bits.
        columns: M, output channels at once.
        interface_bits_per_cycle: Width of the DRAM interface, which reads and writes share.
        weight_buffer_bytes: Size of the buffer, of which half is usable (the other half fills); so are the others.
        activation_buffer_bytes: Size of the buffer for activations.
        output_buffer_bytes: Size of the buffer for outputs.

    Raises:
        ConfigurationError: A parameter is not a whole number from 1.
    """

    name: ClassVar[str] = "bitfusion"
    actions: ClassVar[tuple[str, ...]] = BIT_ACTIONS

    rows: int = 16
    columns: int = 32
    interface_bits_per_cycle: int = 192
    weight_buffer_bytes: int = 65536
    activation_buffer_bytes: int = 32768
    output_buffer_bytes: int = 16384

    def __post_init__(self) -> None:
        check_positive(self.name, rows=self.rows, columns=self.columns)
        check_positive(self.name, interface_bits_per_cycle=self.interface_bits_per_cycle)
        for buffer, size in self._buffer_bytes.items():
            check_positive(self.name, **{f"{buffer}_buffer_bytes": size})

    def peak_macs_per_cycle(self, weight_bits: Int64Array, activation_bits: Int64Array) -> Float64Array:
        """Return rows * columns fusion units, times the products that each forms."""
        return np.asarray(self._lanes(weight_bits, activation_bits) * self.columns, dtype=np.float64)

    def compute_cycles(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
        """Return the cycles of the array alone, in the tiles of ``schedule``, whose padding counts.

        Raises:
            ConfigurationError: More than 8 bits, or a buffer smaller than any tile.
        """
        return self.schedule(shapes, weight_bits, activation_bits).compute_cycles

    def action_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return the counts of ``array_cycle``, ``buffer_bit`` and ``binary_mac`` in the tiles of ``schedule``."""
        found = self.schedule(shapes, weight_bits, activation_bits)
        return {
            "array_cycle": found.compute_cycles,
            "buffer_bit": found.weight_buffer_read_bits + found.activation_buffer_read_bits,
            "binary_mac": weight_bits * activation_bits * shapes.macs,
        }

    def schedule(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Schedule:
        """Return the tiling of each layer that takes the fewest cycles in total, and of those the least energy.

        Raises:
            ConfigurationError: More than 8 bits, or a buffer smaller than any tile.
        """
        check_bits(self.name, shapes, "weights", weight_bits, maximum=MAX_BITS)
        check_bits(self.name, shapes, "activations", activation_bits, maximum=MAX_BITS)
        groups, columns = self._questions(shapes, weight_bits, activation_bits)
        # Networks repeat their layers: each shape is searched once.
        unique, back = np.unique(columns.reshape(len(columns), -1), axis=1, return_inverse=True)
        asked = Questions(**dict(zip(Questions.__dataclass_fields__, unique, strict=True)))
        back = back.reshape(groups.shape)
        tiles = candidate_tiles(asked)
        tiles = tiles.take(self._fitting(tiles, asked, lambda row: shapes.names[np.argwhere(back == row)[0, 0]]))
        return self._search(tiles, asked.take(tiles.question)).take(back, times=groups)

    @property
    def _buffer_bytes(self) -> dict[str, int]:
        return {buffer: getattr(self, f"{buffer}_buffer_bytes") for buffer in BUFFERS}

    def _usable_bits(self, buffer: str) -> int:
        """Return half of the buffer, as a whole number of bits."""
        return self._buffer_bytes[buffer] * 4

    def _lanes(self, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
        """Return the input channels at once, more where units fuse for fewer bits."""
        fused = [MAX_BITS // np.maximum(bits, BRICK_BITS) for bits in (weight_bits, activation_bits)]
        lanes: Int64Array = self.rows * fused[0] * fused[1]
        return lanes

    def _questions(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> tuple[Int64Array, Int64Array]:
        """Return groups, and the columns of ``Questions`` stacked, all in the shape of the answer."""
        groups, *columns = np.broadcast_arrays(
            shapes.groups,
            np.int64(shapes.inputs_per_frame),
            shapes.group_inputs,
            shapes.group_outputs,
            shapes.kernel_height,
            shapes.kernel_width,
            shapes.stride_height,
            shapes.stride_width,
            shapes.output_height,
            shapes.output_width,
            shapes.reads_network_input.astype(np.int64),
            weight_bits,
            activation_bits,
            self._lanes(weight_bits, activation_bits),
            np.int64(self.columns),
        )
        return groups, np.stack(columns)

    def _fitting(self, tiles: Tiles, asked: Questions, name_of: Callable[[int], str]) -> Int64Array:
        """Return the positions of the tiles that fit into the buffers.

        Raises:
            ConfigurationError: A question has none; ``name_of`` names its layer.
        """
        bits = tile_bits(tiles, asked.take(tiles.question))
        fits = np.all([bits[buffer] <= self._usable_bits(buffer) for buffer in BUFFERS], axis=0)
        fitting: Int64Array = np.flatnonzero(fits)
        lacking = np.setdiff1d(tiles.question, tiles.question[fitting])
        for question in lacking.tolist():
            # The first tile is the smallest in every dimension: if it does not fit, none does.
            smallest = int(np.flatnonzero(tiles.question == question)[0])
            for buffer, given in self._buffer_bytes.items():
                needed = 2 * -(-int(bits[buffer][smallest]) // 8)
                if given < needed:
                    raise ConfigurationError(
                        f"array bitfusion: layer {name_of(question)!r}: its smallest tile does not fit into half of "
                        f"{buffer}_buffer_bytes={given} (the other half fills): give at least {needed}"
                    )
        return fitting

    def _search(self, tiles: Tiles, asked: Questions) -> Schedule:
        """Return the best schedule of each question; ``asked`` has one row per tile."""
        counts = tiles.counts(asked)
        number = np.prod(list(counts.values()), axis=0)
        compute = number * compute_cycles(tiles, asked)
        reads = {buffer: number * bits for buffer, bits in buffer_reads(tiles, asked).items()}
        sizes = tile_bits(tiles, asked)
        total = np.full(compute.shape, np.iinfo(np.int64).max)
        energy = np.full(compute.shape, np.inf)
        crossing = dict.fromkeys(BUFFERS, compute)
        for order in orders(counts):
            bits, resident = self._crossing(order, sizes, counts)
            cycles = compute + self._stall_cycles(compute, bits, resident)
            joules = self._energy_joules(compute, reads, bits)
            better = (cycles < total) | ((cycles == total) & (joules < energy))
            total, energy = np.where(better, cycles, total), np.where(better, joules, energy)
            crossing = {buffer: np.where(better, bits[buffer], crossing[buffer]) for buffer in BUFFERS}
        best = best_of_each(tiles.question, total, energy)
        output = crossing["output"]
        return Schedule(
            compute_cycles=compute,
            total_cycles=total,
            dram_read_bits=crossing["weight"] + crossing["activation"] + output,
            dram_write_bits=output,
            weight_buffer_read_bits=reads["weight"],
            weight_buffer_write_bits=crossing["weight"],
            activation_buffer_read_bits=reads["activation"],
            activation_buffer_write_bits=crossing["activation"],
            output_buffer_read_bits=reads["output"] + output,
            output_buffer_write_bits=reads["output"] + output,
            energy_joules=energy,
            tile_output_size=tiles.side,
            tile_input_channels=tiles.channels,
        ).take(best, times=np.ones_like(best))

    def _crossing(
        self, order: Sequence[str], sizes: Mapping[str, Int64Array], counts: Mapping[str, Int64Array]
    ) -> tuple[dict[str, Int64Array], dict[str, Int64Array]]:
        """Return by buffer the bits to or from DRAM, one way, and the largest resident footprint."""
        pairs = {
            buffer: dram_bits(order, sizes[buffer], buffer, counts, self._usable_bits(buffer)) for buffer in BUFFERS
        }
        return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}

    def _stall_cycles(
        self, compute: Int64Array, bits: Mapping[str, Int64Array], resident: Mapping[str, Int64Array]
    ) -> Int64Array:
        """Return the cycles in which the array waits: for what DRAM cannot hide, the first read and the last write."""
        port = self.interface_bits_per_cycle
        first, last = resident["weight"] + resident["activation"] + resident["output"], resident["output"]
        middle = bits["weight"] + bits["activation"] + 2 * bits["output"] - first - last
        hidden = np.maximum(0, ceil_divide(middle, port) - compute)
        stall: Int64Array = hidden + ceil_divide(first, port) + ceil_divide(last, port)
        return stall

    def _energy_joules(
        self, compute: Int64Array, reads: Mapping[str, Int64Array], bits: Mapping[str, Int64Array]
    ) -> Float64Array:
        """Return the energy; ``reads`` are the array's, ``bits`` those that cross the DRAM interface, one way."""
        joules = compute.astype(np.float64) * (UNIT_CYCLE_JOULES * self.rows * self.columns)
        for buffer, (read, write) in BUFFER_BIT_JOULES.items():
            # Partial results are read and written by the array, and go out and come back from DRAM.
            both = buffer == "output"
            joules += reads[buffer] * (read + write if both else read)
            joules += bits[buffer] * ((2 * DRAM_BIT_JOULES + read if both else DRAM_BIT_JOULES) + write)
        return joules
