"""The search for tiles and the order of loops: the fewest cycles, then the fewest DRAM bits, then the least energy.

A layer's tiles are chosen once for its widths, as a compiler would: at the device's fastest clock, with everything that
stays on chip being there, and with results leaving at the layer's own activation bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from hwsim.cost.arrays.base import ArrayModel, Float64Array, Int64Array, ceil_divide
from hwsim.cost.arrays.flat import distinct_rows, halvings
from hwsim.cost.energy import EnergyTable
from hwsim.cost.memory.buffers import Buffers
from hwsim.cost.memory.dram import Memory, Traffic
from hwsim.cost.memory.nest import ORDERS, in_order, loop_counts, moved_once
from hwsim.cost.memory.pipeline import edge_cycles, pipelined_cycles
from hwsim.cost.memory.tiles import (
    LOOPS,
    Cut,
    Questions,
    Tiles,
    action_counts,
    candidates,
    compute_cycles,
    footprints,
    sum_over_tiles,
)

_CHUNK = 1 << 16
_LOOK_AHEAD = 4
"""Candidates of a question that are followed at first, those of the lowest bounds; twice as many in every round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What tiles are chosen for; it is a key of the search's cache.

    Attributes:
        array: Cycles of a tile.
        memory: The way to DRAM.
        buffers: What holds tiles.
        vector_lanes: Element operations that the vector unit does per cycle.
        energy_table: Joules per action.
        frequency_hertz: Clock at which cycles are compared.
        tiled: Whether tiles are followed one by one (``overlap: tiled``), or everything overlaps (``ideal``).
    """

    array: ArrayModel
    memory: Memory
    buffers: Buffers
    vector_lanes: int
    energy_table: EnergyTable
    frequency_hertz: int
    tiled: bool


def best_tiles(machine: Machine, asked: Questions) -> Tiles:
    """Return one tile per question.

    Where no tile fits, the one that takes the least room is returned: who asks must check ``footprints``.
    """
    known = _known(machine)
    rows = asked.table()
    first, which = distinct_rows(rows)
    keys = [row.tobytes() for row in rows[first]]
    fresh = first[[key not in known for key in keys]]
    if fresh.size:
        for index, tile in zip(fresh, _searched(machine, asked.take(fresh)), strict=True):
            known[rows[index].tobytes()] = tile
    table = np.array([known[key] for key in keys], dtype=np.int64)[which]
    return Tiles(**dict(zip(_SIZES, table.T, strict=True)), question=np.arange(len(table)))


_SIZES = tuple(field.name for field in fields(Tiles) if field.name != "question")


@lru_cache(maxsize=16)
def _known(machine: Machine) -> dict[bytes, tuple[int, ...]]:
    return {}


def _searched(machine: Machine, asked: Questions) -> Iterator[tuple[int, ...]]:
    """Yield the sizes and the order chosen for each question, some questions at a time to bound the memory."""
    tiles = candidates(asked)
    ends = np.flatnonzero(np.diff(tiles.question // max(1, _CHUNK * len(asked.groups) // len(tiles.question)))) + 1
    for begin, end in zip([0, *ends.tolist()], [*ends.tolist(), len(tiles.question)], strict=True):
        best = _best(machine, tiles.take(np.arange(begin, end)), asked)
        yield from zip(*(getattr(best, name).tolist() for name in _SIZES), strict=True)


def _best(machine: Machine, tiles: Tiles, asked: Questions) -> Tiles:
    tiles = _fitting(Cut.of(tiles, asked), machine.buffers)
    bound, bits = (part.reshape(-1) for part in _bounds(machine, Cut.of(tiles, asked)))
    every = tiles.take(np.repeat(np.arange(len(tiles.question)), len(ORDERS)))
    every = replace(every, order=np.tile(np.arange(len(ORDERS)), len(tiles.question)))
    if not machine.tiled:
        return _first_of_ties(machine, every, asked, bound, bits)
    followed, cycles = _followed(machine, every, asked, bound)
    return _first_of_ties(machine, every.take(followed), asked, cycles, bits[followed])


def _fitting(cut: Cut, buffers: Buffers) -> Tiles:
    """Return the tiles that fit, columns being cut where no whole row fits; or a question's smallest if none does."""
    tiles = cut.tiles
    fits = np.ones(tiles.question.shape, dtype=np.bool_)
    for bits, room in footprints(cut, buffers).values():
        fits &= bits <= room
    to_whole_row = halvings(cut.asked.output_width) - halvings(tiles.columns)
    fits &= (to_whole_row == 0) | ~fits[np.arange(fits.size) + to_whole_row]
    smallest = np.flatnonzero(np.diff(tiles.question, prepend=-1))
    has_one = np.bincount(tiles.question[fits], minlength=tiles.question.max() + 1) > 0
    fits[smallest] |= ~has_one[tiles.question[smallest]]
    return tiles.take(np.flatnonzero(fits))


def _bounds(machine: Machine, cut: Cut) -> tuple[Int64Array, Int64Array]:
    """Return [tile, order] the cycles if everything overlaps, which no pipeline undercuts, and the DRAM bits."""
    asked = cut.asked
    compute = sum_over_tiles(cut, lambda sizes: compute_cycles(machine.array, sizes, asked), over=LOOPS)
    vector = ceil_divide(asked.inputs * asked.vector_operations, machine.vector_lanes)
    counts, once, occupying = loop_counts(cut), moved_once(cut, machine.buffers), machine.buffers.occupying
    occupied_once = once if occupying is None else moved_once(cut, occupying)
    cycles, bits = [], []
    edges = edge_cycles(machine.memory, machine.buffers, machine.frequency_hertz, cut) if machine.tiled else 0
    for order in ORDERS:
        each = in_order(once, order, counts)
        occupied = each if occupying is None else in_order(occupied_once, order, counts)
        traffic = Traffic(
            read_bits=each.read_bits, write_bits=each.write_bits, occupied_bits=occupied.read_bits + occupied.write_bits
        )
        waiting = machine.memory.cycles(traffic, machine.frequency_hertz)
        cycles.append(np.maximum(np.maximum(compute + edges, vector), waiting))
        bits.append(traffic.bits)
    return np.stack(cycles, axis=1), np.stack(bits, axis=1)


def _followed(machine: Machine, every: Tiles, asked: Questions, bound: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the candidates that were followed tile by tile, and their cycles: all that could be a question's best."""
    best = np.full(len(asked.groups), np.iinfo(np.int64).max)
    cycles = np.full(bound.shape, -1)

    def follow(index: Int64Array) -> None:
        cut = Cut.of(every.take(index), asked)
        found = pipelined_cycles(
            machine.array, machine.memory, machine.buffers, machine.vector_lanes, (machine.frequency_hertz,), cut
        )[0]
        cycles[index] = found
        np.minimum.at(best, cut.tiles.question, found)

    lowest = _least_of_each(every.question, bound)
    follow(lowest[np.flatnonzero(np.diff(every.question[lowest], prepend=-1))])
    open_ = np.flatnonzero((bound <= best[every.question]) & (cycles < 0))
    ahead = _LOOK_AHEAD
    while open_.size:
        sequence = open_[np.lexsort((bound[open_], every.question[open_]))]
        starts = np.flatnonzero(np.diff(every.question[sequence], prepend=-1))
        rank = np.arange(sequence.size) - np.repeat(starts, np.diff([*starts, sequence.size]))
        follow(sequence[rank < ahead])
        open_ = open_[(bound[open_] <= best[every.question[open_]]) & (cycles[open_] < 0)]
        ahead *= 2
    followed = np.flatnonzero(cycles >= 0)
    return followed, cycles[followed]


def _first_of_ties(machine: Machine, every: Tiles, asked: Questions, cycles: Int64Array, bits: Int64Array) -> Tiles:
    """Return each question's candidate of the fewest cycles, then DRAM bits, then energy, then the first."""
    fast = _least_of_each(every.question, cycles)
    tied = fast[_least_of_each(every.question[fast], bits[fast])]
    tiles = every.take(tied)
    energy = machine.energy_table.energy_joules(action_counts(machine.array, Cut.of(tiles, asked)))
    best = _least_of_each(tiles.question, energy)
    return tiles.take(best[np.flatnonzero(np.diff(tiles.question[best], prepend=-1))])


def _least_of_each(question: Int64Array, values: Int64Array | Float64Array) -> Int64Array:
    """Return where ``values`` are the least of their question; those of a question lie side by side."""
    starts = np.flatnonzero(np.diff(question, prepend=-1))
    least = np.repeat(np.minimum.reduceat(values, starts), np.diff([*starts, question.size]))
    found: Int64Array = np.flatnonzero(values == least)
    return found
