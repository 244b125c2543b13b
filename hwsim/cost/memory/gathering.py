"""What a sparse aggregation moves between chip and DRAM, and how its parts overlap.

An edge costs its coefficient, the index of its source, and the message that is gathered. Gathered rows are short and
lie anywhere: DRAM moves each in pieces of its own, at the efficiency of random accesses. Where all messages fit on chip
they are fetched once, in order. Else two ways of reuse are known, and the one that takes less time is taken:

- *by degree*: the messages of the sources with most edges stay, all others are fetched edge by edge. GROW keeps
  "high-degree nodes" so (Hwang et al., HPCA 2023, arXiv 2203.00158, section IV).
- *in blocks*: sources are taken block by block, each once and in order, and the sums of targets that had edges in an
  earlier block go out and in as accumulators (the tiling of GCNAX: Li et al., HPCA 2021). How many do follows from how
  edges lie; charged is the most that can: an edge each, or a target each per block.

Half of the room for activations keeps messages then; the other half is for those that pass through. Without buffers
every edge fetches its message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitmixer.graph import Gather, Layer
from hwsim.cost.arrays.base import Int64Array, ceil_divide
from hwsim.cost.arrays.flat import Flat
from hwsim.cost.memory.buffers import Buffers
from hwsim.cost.memory.dram import ACCUMULATOR_BITS, Memory, Traffic
from hwsim.cost.memory.nest import Moved
from hwsim.cost.memory.tiles import Questions


def unbuffered_read_bits(gather: Gather, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
    """Return what an aggregation reads where nothing stays: the mean over *edges* of the bits of messages counts."""
    messages = gather.edges * gather.message_elements * activation_bits
    return structure_bits(gather) + coefficient_bits(gather, weight_bits) + messages


def structure_bits(gather: Gather) -> int:
    """Return the bits of compressed rows: an index per edge, an end per target."""
    return gather.edges * gather.index_bits + gather.targets * gather.edges.bit_length()


def coefficient_bits(gather: Gather, weight_bits: Int64Array) -> Int64Array:
    """Return the bits of all coefficients."""
    return gather.edges * gather.heads * weight_bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered(Flat):
    """Aggregations at their widths, a row each.

    Attributes:
        compute_cycles: Of the array.
        vector_operations: Of the vector unit.
        read_bits: From DRAM, in whole pieces; ``write_bits``: to DRAM.
        read_time_bits: Bits that would take the DRAM as long in long pieces; ``write_time_bits`` likewise.
        tiles: Groups of targets whose sums fit into the output buffer together.
    """

    compute_cycles: Int64Array
    vector_operations: Int64Array
    read_bits: Int64Array
    write_bits: Int64Array
    read_time_bits: Int64Array
    write_time_bits: Int64Array
    tiles: Int64Array

    @classmethod
    def of(
        cls, layers: Sequence[Layer], asked: Questions, compute_cycles: Int64Array, buffers: Buffers
    ) -> tuple[Gathered, Moved, Moved]:
        """Return aggregations, what they move, and that in bits that would take as long in long pieces.

        Args:
            layers: Layers with a ``gather``.
            asked: Their rows: of each layer equally many, one layer after the other.
            compute_cycles: Of the array, in each row.
            buffers: The buffers.
        """
        each = len(compute_cycles) // len(layers)
        parts = [
            _moved(layer, asked.take(np.arange(at * each, (at + 1) * each)), buffers) for at, layer in enumerate(layers)
        ]
        crossing, occupied = (
            Moved(**{
                name: np.concatenate([getattr(pair[kind], name) for pair in parts]) for name in Moved.__slots__
            })
            for kind in (0, 1)
        )  # fmt: skip
        together = [
            max(buffers.output_bits // buffers.halves // (_gather(layer).message_elements * ACCUMULATOR_BITS), 1)
            for layer in layers
        ]
        tiles = [-(-_gather(layer).targets // fit) for layer, fit in zip(layers, together, strict=True)]
        gathered = cls(
            compute_cycles=compute_cycles, vector_operations=asked.vector_operations,
            read_bits=crossing.read_bits, write_bits=crossing.write_bits, read_time_bits=occupied.read_bits,
            write_time_bits=occupied.write_bits, tiles=np.repeat(np.array(tiles, dtype=np.int64), each),
        )  # fmt: skip
        return gathered, crossing, occupied

    def stage_cycles(self, memory: Memory, buffers: Buffers, vector_lanes: int, frequency_hertz: int) -> Int64Array:
        """Return [stage, row]: the first group of targets is fetched, all is done, the last group drains.

        With one half in every buffer, all is fetched, then computed, then drained.
        """
        vector = ceil_divide(self.vector_operations, vector_lanes)

        def moving(read: Int64Array, write: Int64Array, read_time: Int64Array, write_time: Int64Array) -> Int64Array:
            return memory.cycles(
                Traffic(read_bits=read, write_bits=write, occupied_bits=read_time + write_time), frequency_hertz
            )

        reads, writes = (self.read_bits, self.read_time_bits), (self.write_bits, self.write_time_bits)
        none = np.zeros_like(self.read_bits)
        if buffers.halves == 1:
            fetch, body = moving(reads[0], none, reads[1], none), self.compute_cycles
            return np.stack([fetch, body, np.maximum(moving(none, writes[0], none, writes[1]), vector)])
        first, last = ([ceil_divide(bits, self.tiles) for bits in pair] for pair in (reads, writes))
        last_vector = ceil_divide(vector, self.tiles)
        waiting = moving(reads[0] - first[0], writes[0] - last[0], reads[1] - first[1], writes[1] - last[1])
        return np.stack([
            moving(first[0], none, first[1], none),
            np.maximum(np.maximum(self.compute_cycles, waiting), vector - last_vector),
            np.maximum(moving(none, last[0], none, last[1]), last_vector),
        ])  # fmt: skip


def _gather(layer: Layer) -> Gather:
    assert layer.gather is not None
    return layer.gather


def _moved(layer: Layer, asked: Questions, buffers: Buffers) -> tuple[Moved, Moved]:
    """Return what one aggregation moves at every row's widths, and that in bits that take as long in long pieces."""
    gather, long = _gather(layer), buffers.occupying or buffers
    beside = coefficient_bits(gather, asked.weight_bits) + structure_bits(gather)
    results = asked.stream_bits + asked.copy_bits
    none = np.zeros_like(beside)

    def around(buffers: Buffers, messages: Int64Array, partial: Int64Array) -> Moved:
        whole = buffers.whole_bursts
        return Moved(
            weight_bits=whole(beside), plane_bits=none, input_bits=messages, partial_bits=partial,
            result_bits=whole(results), operand_bits=whole(asked.operand_bits),
        )  # fmt: skip

    row_bits = gather.message_elements * asked.activation_bits
    kept = asked.activation_room // 2 // row_bits
    fetches = _fetches(gather, np.minimum(kept, gather.sources))
    row, row_time = buffers.gathered(row_bits)
    everything = gather.sources * row_bits
    blocks = np.where(everything <= asked.activation_room, 1, -(-gather.sources // np.maximum(kept, 1)))
    again = np.minimum((blocks - 1) * gather.targets, gather.edges - gather.targets)
    partial = buffers.whole_bursts(again * gather.message_elements * ACCUMULATOR_BITS)
    in_blocks = long.whole_bursts(everything) + 2 * partial <= fetches * row_time
    on_chip = asked.input_bits == 0
    messages = np.where(in_blocks, buffers.whole_bursts(everything), fetches * row)
    time = np.where(in_blocks, long.whole_bursts(everything), fetches * row_time)
    partial = np.where(in_blocks & ~on_chip, partial, 0)
    return (
        around(buffers, np.where(on_chip, 0, messages), partial),
        around(long, np.where(on_chip, 0, time), partial),
    )


def _fetches(gather: Gather, kept: Int64Array) -> Int64Array:
    """Return how many messages are fetched where so many stay, those of most edges: they once, the others per edge."""
    degrees, sources = np.array(gather.fan_out[::-1], dtype=np.int64).T
    nodes, edges = (np.concatenate([[0], np.cumsum(each)]) for each in (sources, sources * degrees))
    run = np.searchsorted(nodes, kept, side="right") - 1
    sent = edges[run] + (kept - nodes[run]) * np.append(degrees, 0)[run]
    fetched: Int64Array = kept + gather.edges - sent
    return fetched
