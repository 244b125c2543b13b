"""The tiles of one layer in the order in which they run: for what happens in the middle of a layer.

``pipeline`` counts the same steps without walking them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hwsim.cost.arrays.base import ArrayModel, BoolArray, Int64Array, ceil_divide
from hwsim.cost.arrays.flat import Flat
from hwsim.cost.memory.buffers import Buffers
from hwsim.cost.memory.dram import ACCUMULATOR_BITS, Memory, Traffic
from hwsim.cost.memory.nest import ORDERS
from hwsim.cost.memory.tiles import LOOPS, OPERAND_LOOPS, Cut, Sizes, compute_cycles


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk(Flat):
    """The tiles of a layer, in order; columns as in ``pipeline.Steps``, and bits that take as long in long pieces."""

    compute_cycles: Int64Array
    fetch_bits: Int64Array
    drain_read_bits: Int64Array
    drain_write_bits: Int64Array
    drain_operations: Int64Array
    occupied_fetch_bits: Int64Array
    occupied_drain_bits: Int64Array

    def stages(self, buffers: Buffers) -> Walk:
        """Return what happens at the same time, stage after stage: one row each.

        With two halves, a stage computes a tile, fetches the next and drains the one before; with one, every tile is
        fetched in a stage of its own, computed in the next, and drained in the next.
        """
        delay = {"fetch_bits": 0, "occupied_fetch_bits": 0, "compute_cycles": 1}
        table = {}
        for name in self.__dataclass_fields__:
            values, late = getattr(self, name), delay.get(name, 2)
            if buffers.halves == 2:
                table[name] = np.pad(values, (late, 2 - late))
            else:
                table[name] = np.zeros(3 * values.size, dtype=np.int64)
                table[name][late::3] = values
        return Walk(**table)

    def memory_cycles(self, memory: Memory, frequency_hertz: int) -> Int64Array:
        """Return the cycles that each row's traffic takes."""
        traffic = Traffic(
            read_bits=self.fetch_bits + self.drain_read_bits,
            write_bits=self.drain_write_bits,
            occupied_bits=self.occupied_fetch_bits + self.occupied_drain_bits,
        )
        return memory.cycles(traffic, frequency_hertz)

    def step_cycles(self, memory: Memory, buffers: Buffers, vector_lanes: int, frequency_hertz: int) -> Int64Array:
        """Return the cycles of each stage."""
        stages = self.stages(buffers)
        vector = ceil_divide(stages.drain_operations, vector_lanes)
        cycles: Int64Array = np.maximum(
            np.maximum(stages.compute_cycles, vector), stages.memory_cycles(memory, frequency_hertz)
        )
        return cycles


def walk(array: ArrayModel, buffers: Buffers, cut: Cut) -> Walk:
    """Return the tiles of the one layer in ``cut``, in the order in which they run."""
    along = {loop: _along(cut, loop) for loop in LOOPS}
    nest = [each for loop in ("groups", *ORDERS[int(cut.tiles.order[0])]) for each in _inside(loop)]
    indices = np.indices([len(along[loop]) for loop in nest]).reshape(len(nest), -1)
    at = dict(zip(nest, indices, strict=True))
    sizes = Sizes.of({loop: (along[loop][at[loop], 0], along[loop][at[loop], 1]) for loop in LOOPS})
    asked = cut.asked.take(np.zeros(len(at["rows"]), dtype=np.int64))

    weights, inputs, outputs = (_arrives(at, OPERAND_LOOPS[name]) for name in ("weight", "activation", "output"))
    leaves = np.append(outputs[1:], True)
    complete = leaves & (at["channels"] == len(along["channels"]) - 1)

    def moving(bursts: Callable[[Int64Array], Int64Array]) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Return what is fetched, and read and written as tiles drain."""
        partial = bursts(sizes.results(asked) * ACCUMULATOR_BITS)
        results = bursts(sizes.share(asked, asked.stream_bits)) + bursts(sizes.share(asked, asked.copy_bits))
        return (
            weights * bursts(sizes.weights(asked)) * asked.streamed_planes
            + inputs * bursts(sizes.input_bits(asked))
            + (outputs & (at["channels"] > 0)) * partial,
            complete * bursts(sizes.share(asked, asked.operand_bits)),
            complete * results + (leaves & ~complete) * partial,
        )

    fetch, drain_read, drain_write = moving(buffers.whole_bursts)
    occupied = moving((buffers.occupying or buffers).whole_bursts)
    return Walk(
        compute_cycles=compute_cycles(array, sizes, asked),
        fetch_bits=fetch,
        drain_read_bits=drain_read,
        drain_write_bits=drain_write,
        drain_operations=complete * sizes.share(asked, asked.vector_operations),
        occupied_fetch_bits=occupied[0],
        occupied_drain_bits=occupied[1] + occupied[2],
    )


def remaining_cycles(before: Int64Array, after: Int64Array, done: int) -> int:
    """Return the cycles that are left when stages take other cycles from now on.

    Args:
        before: [stage] cycles until now.
        after: [stage] cycles from now on.
        done: Cycles done. The stage under way keeps its share; whole stages that are behind stay done.
    """
    ends = np.cumsum(before)
    stage = int(np.searchsorted(ends, done, side="right"))
    if stage == len(ends):
        return 0
    under_way = -(-(int(ends[stage]) - done) * int(after[stage]) // int(before[stage]))
    return under_way + int(after[stage + 1 :].sum())


def _along(cut: Cut, loop: str) -> Int64Array:
    """Return [tile, 2] the sizes along one loop: results' and input's."""
    count, results, inputs = (part[0] for part in cut.runs(loop))
    return np.repeat(np.stack([results, inputs], axis=1), count, axis=0)


def _inside(loop: str) -> tuple[str, ...]:
    return ("inputs", "rows", "columns") if loop == "positions" else (loop,)


def _arrives(at: dict[str, Int64Array], loops: tuple[str, ...]) -> BoolArray:
    """Return where a tile's index along one of ``loops`` is not that of the tile before; the first arrives."""
    changed: BoolArray = np.logical_or.reduce([np.diff(at[loop], prepend=-1) != 0 for loop in loops])
    return changed
