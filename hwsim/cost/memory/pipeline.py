"""`overlap: tiled`: the time of a layer whose tiles are fetched, computed and drained one after the other.

With two halves in every buffer, work goes on in steps. In one step the array computes a tile, while the next tile is
fetched and the one before drains: through the vector unit, and to DRAM, whose traffic is shared. A step ends when all
are done. Before the first step the first tile is fetched, after the last one the last tile drains. With one half, each
tile is fetched, computed and drained before the next.

Steps that look alike are counted, not walked: along each loop a tile counts by its own size, its neighbours' and by
whether it is the first or the last, which is all that a step can depend on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.cost.arrays.base import ArrayModel, BoolArray, Int64Array, ceil_divide
from hwsim.cost.arrays.flat import Flat
from hwsim.cost.memory.buffers import Buffers
from hwsim.cost.memory.dram import ACCUMULATOR_BITS, Memory, Traffic
from hwsim.cost.memory.nest import ORDERS
from hwsim.cost.memory.tiles import LOOPS, OPERAND_LOOPS, Cut, Questions, Sizes, compute_cycles

_DEPTHS = np.array(
    [
        [0, *(1 + 3 * order.index(loop) for loop in ("filters", "channels")), *(
            1 + 3 * order.index("positions") + inner for inner in (0, 1, 2)
        )]
        for order in ORDERS
    ]
)  # fmt: skip
"""[order, loop] how deep each of ``LOOPS`` stands in the nest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps(Flat):
    """Kinds of tiles of a layer's nest, and what moves around them.

    Attributes:
        owner: Whose tiles, as a position in the question.
        times: How many tiles are alike.
        is_first: 1 for the first tile of the nest; ``is_last`` for the last.
        compute_cycles: Of the tile.
        fetch_bits: Read before the tile can start.
        drain_read_bits: Waiting operands, read as the tile drains.
        drain_write_bits: Written as the tile drains.
        drain_operations: Of the vector unit, as the tile drains.
        next_fetch_bits: ``fetch_bits`` of the tile behind it, 0 if there is none.
        last_read_bits: ``drain_read_bits`` of the tile before it, 0 if there is none; so on.
    """

    owner: Int64Array
    times: Int64Array
    is_first: Int64Array
    is_last: Int64Array
    compute_cycles: Int64Array
    fetch_bits: Int64Array
    drain_read_bits: Int64Array
    drain_write_bits: Int64Array
    drain_operations: Int64Array
    next_fetch_bits: Int64Array
    last_read_bits: Int64Array
    last_write_bits: Int64Array
    last_operations: Int64Array

    def cycles(
        self, memory: Memory, buffers: Buffers, vector_lanes: int, frequency_hertz: int, occupied: Steps | None
    ) -> Int64Array:
        """Return the cycles of each owner; ``occupied``: the same steps, in bits that take as long."""

        def moving(*columns: str) -> Int64Array:
            read = [name for name in columns if not name.endswith("_write_bits")]
            written = [name for name in columns if name.endswith("_write_bits")]
            traffic = Traffic(
                read_bits=self._sum(read),
                write_bits=self._sum(written),
                occupied_bits=None if occupied is None else occupied._sum(columns),
            )
            return memory.cycles(traffic, frequency_hertz)

        fetch = moving("fetch_bits")
        drain = np.maximum(
            moving("drain_read_bits", "drain_write_bits"), ceil_divide(self.drain_operations, vector_lanes)
        )
        if buffers.halves == 1:
            each = fetch + self.compute_cycles + drain
        else:
            shared = moving("next_fetch_bits", "last_read_bits", "last_write_bits")
            step = np.maximum(self.compute_cycles, np.maximum(shared, ceil_divide(self.last_operations, vector_lanes)))
            each = step + self.is_first * fetch + self.is_last * drain
        total = np.zeros(int(self.owner.max()) + 1, dtype=np.int64)
        np.add.at(total, self.owner, self.times * each)
        return total

    def _sum(self, columns: Sequence[str]) -> Int64Array:
        total = np.zeros_like(self.fetch_bits)
        for name in columns:
            total = total + getattr(self, name)
        return total


def pipelined_cycles(
    array: ArrayModel, memory: Memory, buffers: Buffers, vector_lanes: int, frequencies_hertz: tuple[int, ...],
    cut: Cut,
) -> Int64Array:  # fmt: skip
    """Return [frequency, row] the cycles of each row."""
    kinds = steps(array, buffers, cut)
    occupied = None if buffers.occupying is None else steps(array, buffers.occupying, cut)
    return np.stack([kinds.cycles(memory, buffers, vector_lanes, hertz, occupied) for hertz in frequencies_hertz])


def edge_cycles(memory: Memory, buffers: Buffers, frequency_hertz: int, cut: Cut) -> Int64Array:
    """Return the cycles before the first tile can start, in which nothing is computed."""
    asked = cut.asked
    begin = Sizes.of({loop: (cut.runs(loop)[1][:, 0], cut.runs(loop)[2][:, 0]) for loop in LOOPS})

    def first(buffers: Buffers) -> Int64Array:
        planes = _whole(buffers, begin.weights(asked)) * asked.streamed_planes
        return planes + _whole(buffers, begin.input_bits(asked))

    bits, occupied = first(buffers), None if buffers.occupying is None else first(buffers.occupying)
    traffic = Traffic(read_bits=bits, write_bits=np.zeros_like(bits), occupied_bits=occupied)
    return memory.cycles(traffic, frequency_hertz)


def steps(array: ArrayModel, buffers: Buffers, cut: Cut) -> Steps:
    """Return the kinds of tiles of each row."""
    places = _places(cut)
    mine = cut.asked.take(places.owner)
    depth = _DEPTHS[cut.tiles.order[places.owner]].T
    is_first, is_last = places.is_first.min(axis=0), places.is_last.min(axis=0)
    leaving = _changed(depth, places.many, places.is_last == 0)
    arriving = _changed(depth, places.many, places.is_first == 0)
    behind = _moved_on(depth, places.is_last == 0, places.size, places.next, places.first)
    before = _moved_on(depth, places.is_first == 0, places.size, places.previous, places.last)
    no, yes = np.zeros_like(places.is_first), np.ones_like(places.is_first)
    begins = _moved_on(depth, places.is_last == 0, places.is_first, no, yes)
    ends = _moved_on(depth, places.is_first == 0, places.is_last, no, yes)
    channel = LOOPS.index("channels")

    own = _sizes(places.size)
    fetch = _fetch(buffers, own, mine, arriving, is_first == 1, places.is_first[channel] == 1)
    drain = _drain(buffers, own, mine, leaving, is_last == 1, places.is_last[channel] == 1)
    nobody = is_first < 0
    next_fetch = _fetch(buffers, _sizes(behind), mine, leaving, nobody, begins[channel] == 1)
    last_drain = _drain(buffers, _sizes(before), mine, arriving, nobody, ends[channel] == 1)
    return Steps(
        owner=places.owner,
        times=places.times,
        is_first=is_first,
        is_last=is_last,
        compute_cycles=compute_cycles(array, own, mine),
        fetch_bits=fetch,
        drain_read_bits=drain[0],
        drain_write_bits=drain[1],
        drain_operations=drain[2],
        next_fetch_bits=np.where(is_last == 1, 0, next_fetch),
        last_read_bits=np.where(is_first == 1, 0, last_drain[0]),
        last_write_bits=np.where(is_first == 1, 0, last_drain[1]),
        last_operations=np.where(is_first == 1, 0, last_drain[2]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Kinds of places in a nest; arrays [loop, place], sizes [loop, place, 2]: results' and input's."""

    owner: Int64Array
    times: Int64Array
    many: Int64Array
    is_first: Int64Array
    is_last: Int64Array
    size: Int64Array
    previous: Int64Array
    next: Int64Array
    first: Int64Array
    last: Int64Array


def _places(cut: Cut) -> _Places:
    """Return all combinations of kinds of places along the loops, for each tile."""
    along = [_along(*cut.runs(loop)) for loop in LOOPS]
    kinds = np.stack([each["kinds"] for each in along])
    combinations = np.prod(kinds, axis=0)
    owner = np.repeat(np.arange(combinations.size), combinations)
    rest = np.arange(owner.size) - np.repeat(np.cumsum(combinations) - combinations, combinations)
    picked: dict[str, list[Int64Array]] = {name: [] for name in along[0] if name != "kinds"}
    for each, number in zip(along, kinds, strict=True):
        rest, kind = np.divmod(rest, number[owner])
        for name, values in picked.items():
            values.append(each[name][owner, kind] if each[name].shape[1] > 1 else each[name][owner, 0])
    stacked = {name: np.stack(values) for name, values in picked.items()}
    stacked["times"] = np.prod(stacked["times"], axis=0)
    return _Places(owner=owner, **stacked)


def _along(count: Int64Array, results: Int64Array, inputs: Int64Array) -> dict[str, Int64Array]:
    """Return the kinds of places along one loop: of every run its first, its last and those between."""
    size = np.stack([results, inputs], axis=2)
    present = count > 0
    final = present & ~np.roll(np.pad(present, ((0, 0), (0, 1))), -1, axis=1)[:, :-1]
    before, behind = np.roll(size, 1, axis=1), np.roll(size, -1, axis=1)
    single = (count == 1)[..., None]
    opening = np.arange(count.shape[1]) == 0
    no = np.zeros_like(present)
    kinds = {
        "times": [present, count > 1, np.maximum(count - 2, 0)],
        "is_first": [np.broadcast_to(opening, present.shape), no, no],
        "is_last": [final & (count == 1), final, no],
        "size": [size, size, size],
        "previous": [before, size, size],
        "next": [np.where(single, behind, size), behind, size],
    }
    stacked = {name: np.concatenate(each, axis=1).astype(np.int64) for name, each in kinds.items()}
    times = stacked["times"]
    sequence = np.argsort(times == 0, axis=1, kind="stable")
    found = {
        name: np.take_along_axis(each, sequence if each.ndim == 2 else sequence[..., None], axis=1)
        for name, each in stacked.items()
    }
    closing = (count.shape[1] - 1 - np.argmax(present[:, ::-1], axis=1))[:, None, None]
    return {
        **found,
        "kinds": (times > 0).sum(axis=1),
        "many": (count.sum(axis=1) > 1)[:, None].astype(np.int64),
        "first": size[:, :1],
        "last": np.take_along_axis(size, closing, axis=1),
    }


def _stepping(depth: Int64Array, can_step: BoolArray) -> Int64Array:
    """Return how deep the innermost loop stands that can still step; -1 where none can."""
    deepest: Int64Array = np.where(can_step, depth, -1).max(axis=0)
    return deepest


def _changed(depth: Int64Array, many: Int64Array, can_step: BoolArray) -> BoolArray:
    """Return [loop, place] whose index changes: the one that steps, and those inside, which begin again."""
    at = _stepping(depth, can_step)
    changed: BoolArray = (depth == at) | ((depth > at) & (many == 1) & (at >= 0))
    return changed


def _moved_on(
    depth: Int64Array, can_step: BoolArray, same: Int64Array, stepped: Int64Array, wrapped: Int64Array
) -> Int64Array:
    """Return ``same`` for loops outside the one that steps, ``stepped`` for that one, and ``wrapped`` inside."""
    at = _stepping(depth, can_step)
    outside, itself = depth < at, depth == at
    if same.ndim == 3:
        outside, itself = outside[..., None], itself[..., None]
    return np.where(outside, same, np.where(itself, stepped, wrapped))


def _sizes(size: Int64Array) -> Sizes:
    return Sizes.of({loop: (each[:, 0], each[:, 1]) for loop, each in zip(LOOPS, size, strict=True)})


def _whole(buffers: Buffers, bits: Int64Array) -> Int64Array:
    return buffers.whole_bursts(bits)


def _any_of(changed: BoolArray, operand: str) -> BoolArray:
    found: BoolArray = np.logical_or.reduce([changed[LOOPS.index(loop)] for loop in OPERAND_LOOPS[operand]])
    return found


def _fetch(
    buffers: Buffers, sizes: Sizes, asked: Questions, changed: BoolArray, everything: BoolArray, begins: BoolArray
) -> Int64Array:
    """Return the bits read for a tile: what changed since the tile before, and sums that go on."""
    weights = everything | _any_of(changed, "weight")
    inputs = everything | _any_of(changed, "activation")
    partial = ~everything & _any_of(changed, "output") & ~begins
    return (
        weights * _whole(buffers, sizes.weights(asked)) * asked.streamed_planes
        + inputs * _whole(buffers, sizes.input_bits(asked))
        + partial * _whole(buffers, sizes.results(asked) * ACCUMULATOR_BITS)
    )


def _drain(
    buffers: Buffers, sizes: Sizes, asked: Questions, changed: BoolArray, everything: BoolArray, ends: BoolArray
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return the bits read and written, and the element operations, as a tile drains; none while its sums go on."""
    leaves = everything | _any_of(changed, "output")
    complete = leaves & ends
    written = _whole(buffers, sizes.share(asked, asked.stream_bits)) + _whole(
        buffers, sizes.share(asked, asked.copy_bits)
    )
    partial = _whole(buffers, sizes.results(asked) * ACCUMULATOR_BITS)
    return (
        complete * _whole(buffers, sizes.share(asked, asked.operand_bits)),
        complete * written + (leaves & ~complete) * partial,
        complete * sizes.share(asked, asked.vector_operations),
    )
