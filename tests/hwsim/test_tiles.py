"""Tiles: every law against a loop nest that is walked in plain Python, tile after tile."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.config.profile import load_profile
from hwsim.cost.arrays import Bismo
from hwsim.cost.energy import EnergyEntry, EnergyTable
from hwsim.cost.memory.buffers import Buffers
from hwsim.cost.memory.dram import Memory
from hwsim.cost.memory.nest import ORDERS, moved
from hwsim.cost.memory.pipeline import pipelined_cycles
from hwsim.cost.memory.search import Machine, best_tiles
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
from hwsim.cost.memory.walk import walk
from hwsim.device import build_device

ARRAY = Bismo(rows=3, depth=8, columns=2)
MEMORY = Memory(dram_bandwidth_bits_per_second=700.0, port_bits_per_cycle=5)
LANES = 2
HERTZ = 100


def questions(**columns: int) -> Questions:
    """Return one question; rooms are without limit unless given."""
    given = {"is_dilated": 0, "reads_network_input": 0, **dict.fromkeys(("weight_room", "activation_room"), 10**9)}
    given |= {"output_room": 10**9, **columns}
    return Questions(**{field.name: np.array([given[field.name]]) for field in fields(Questions)})


def numbers(row: Questions | Tiles) -> dict[str, int]:
    """The columns of a table with one row."""
    return {field.name: int(getattr(row, field.name)[0]) for field in fields(row)}


def cut_of(asked: Questions, **sizes: int) -> Cut:
    tiles = Tiles(question=np.array([0]), **{name: np.array([size]) for name, size in sizes.items()})
    return Cut(tiles=tiles, asked=asked)


@st.composite
def layers(draw: Any, most: int = 7) -> Questions:
    """Layers with at most so many channels, filters, and rows and columns of results."""

    def some(low: int, high: int) -> int:
        return int(draw(st.integers(low, high)))

    sides: dict[str, int] = {}
    for side in ("height", "width"):
        kernel, stride, results = some(1, 4 if side == "height" else 3), some(1, 3), some(1, most)
        span = kernel if draw(st.booleans()) else 2 * kernel - 1
        padding = some(0, span // 2)
        lines = max((results - 1) * stride + span - 2 * padding + some(0, stride - 1), 1)
        names = ("kernel", "stride", "span", "padding", "output", "input")
        sides |= {f"{name}_{side}": size for name, size in zip(
            names, (kernel, stride, span, padding, results, lines), strict=True
        )}  # fmt: skip
    return questions(
        **sides, inputs=some(1, most - 2), groups=some(1, most - 2), channels=some(1, most), filters=some(1, most),
        weight_bits=some(1, 8), activation_bits=some(1, 8), kept_planes=0, streamed_planes=some(0, 3),
        input_bits=draw(st.sampled_from([0, 37, 512])), stream_bits=some(0, 90), copy_bits=some(0, 90),
        operand_bits=some(0, 90), vector_operations=some(0, 200),
    )  # fmt: skip


@st.composite
def cuts(draw: Any) -> Cut:
    asked = draw(layers())
    one = numbers(asked)
    several_groups, several_inputs = draw(st.booleans()), draw(st.booleans())
    return cut_of(
        asked,
        groups=draw(st.integers(1, one["groups"])) if several_groups else 1,
        filters=one["filters"] if several_groups else draw(st.integers(1, one["filters"])),
        channels=one["channels"] if several_groups else draw(st.integers(1, one["channels"])),
        inputs=draw(st.integers(1, one["inputs"])) if several_inputs else 1,
        rows=one["output_height"] if several_inputs else draw(st.integers(1, one["output_height"])),
        columns=one["output_width"] if several_inputs else draw(st.integers(1, one["output_width"])),
        order=draw(st.integers(0, 5)),
    )


buffer_kinds = st.builds(
    Buffers, weight_bits=st.just(1), activation_bits=st.just(1), output_bits=st.just(1),
    halves=st.sampled_from([1, 2]), burst_bits=st.sampled_from([1, 16, 64]),
)  # fmt: skip


@dataclass(kw_only=True)
class Tile:
    """One tile of the nest, and what moves for it, in bits; ``operations`` and ``compute`` are counts."""

    weight: int
    activation: int
    partial_in: int
    partial_out: int
    results: int
    operands: int
    operations: int
    compute: int

    def cycles(self, memory: Memory, *, fetch: bool = False, drain: bool = False) -> tuple[int, int]:
        read = fetch * (self.weight + self.activation + self.partial_in) + drain * self.operands
        return read, drain * (self.partial_out + self.results)


def memory_cycles(read: int, write: int) -> int:
    """The port has a direction each; the DRAM is shared: 7 bit per cycle at 100 Hz."""
    return max(-(-max(read, write) // 5), -(-(read + write) // 7))


def bands(total: int, size: int) -> list[range]:
    return [range(start, min(start + size, total)) for start in range(0, total, size)]


@dataclass
class Place:
    """One tile's part of each axis."""

    groups: range
    filters: range
    channels: range
    inputs: range
    rows: range
    columns: range

    def key(self, operand: str) -> tuple[range, ...]:
        """What makes an operand's tile another one."""
        positions = (self.inputs, self.rows, self.columns)
        if operand == "weight":
            return self.groups, self.filters, self.channels
        return self.groups, self.channels if operand == "activation" else self.filters, *positions

    def results(self) -> int:
        axes = self.groups, self.filters, self.inputs, self.rows, self.columns
        return math.prod(map(len, axes))


def sequence(cut: Cut) -> list[Place]:
    """The tiles in the order in which they run."""
    q, t = numbers(cut.asked), numbers(cut.tiles)
    loops: dict[str, list[Any]] = {
        "filters": bands(q["filters"], t["filters"]),
        "channels": bands(q["channels"], t["channels"]),
        "positions": list(product(
            bands(q["inputs"], t["inputs"]),
            bands(q["output_height"], t["rows"]),
            bands(q["output_width"], t["columns"]),
        )),
    }  # fmt: skip
    order = ORDERS[t["order"]]
    found = []
    for groups in bands(q["groups"], t["groups"]):
        for each in product(*(loops[name] for name in order)):
            at = dict(zip(order, each, strict=True))
            found.append(Place(groups, at["filters"], at["channels"], *at["positions"]))
    return found


def touched(q: dict[str, int], side: str, band: range) -> int:
    """Lines of the input from the first that is needed to where the next band begins; edges are read by the ends."""
    stride, padding, last = q[f"stride_{side}"], q[f"padding_{side}"], q[f"input_{side}"]
    begin = 0 if band.start == 0 else max(band.start * stride - padding, 0)
    end = max((band.stop - 1) * stride - padding + q[f"span_{side}"], band.stop * stride - padding)
    return len(range(begin, last if band.stop == q[f"output_{side}"] else min(end, last)))


def walked(cut: Cut, buffers: Buffers) -> list[Tile]:
    """Walk the nest: what a tile needs and the tile before did not have is fetched."""
    q, places = numbers(cut.asked), sequence(cut)
    finished = [place.key("output") for place in places if place.channels.stop == q["channels"]]
    assert len(finished) == len(set(finished)) == len({place.key("output") for place in places})
    around = zip([None, *places[:-1]], places, [*places[1:], None], strict=True)
    return [tile_at(q, buffers, before, place, after) for before, place, after in around]


def tile_at(q: dict[str, int], buffers: Buffers, before: Place | None, place: Place, after: Place | None) -> Tile:
    def up(bits: int) -> int:
        return -(-bits // buffers.burst_bits) * buffers.burst_bits

    def arrives(operand: str) -> bool:
        return before is None or before.key(operand) != place.key(operand)

    results, channels = place.results(), len(place.groups) * len(place.channels)
    weights = channels * len(place.filters) * q["kernel_height"] * q["kernel_width"]
    lines = touched(q, "height", place.rows) * touched(q, "width", place.columns)
    map_size = q["groups"] * q["channels"] * q["input_height"] * q["input_width"]
    leaves = after is None or after.key("output") != place.key("output")
    complete = leaves and place.channels.stop == q["channels"]
    all_results = q["groups"] * q["filters"] * q["output_height"] * q["output_width"]
    share = {name: -(-results * q[name] // all_results) for name in
             ("stream_bits", "copy_bits", "operand_bits", "vector_operations")}  # fmt: skip
    passes = -(-len(place.filters) // 3) * -(-weights // (len(place.groups) * len(place.filters)) // 8)
    positions = -(-len(place.inputs) * len(place.rows) * len(place.columns) // 2)
    return Tile(
        weight=arrives("weight") * q["streamed_planes"] * up(weights),
        activation=arrives("activation") * up(-(-channels * len(place.inputs) * lines * q["input_bits"] // map_size)),
        partial_in=(arrives("output") and place.channels.start > 0) * up(results * 32),
        partial_out=(leaves and not complete) * up(results * 32),
        results=complete * (up(share["stream_bits"]) + up(share["copy_bits"])),
        operands=complete * up(share["operand_bits"]),
        operations=complete * share["vector_operations"],
        compute=len(place.groups) * passes * positions * q["weight_bits"] * q["activation_bits"],
    )


def walked_cycles(tiles: list[Tile], halves: int) -> int:
    def vector(tile: Tile) -> int:
        return -(-tile.operations // LANES)

    def drain(tile: Tile) -> int:
        return max(memory_cycles(*tile.cycles(MEMORY, drain=True)), vector(tile))

    def fetch(tile: Tile) -> int:
        return memory_cycles(*tile.cycles(MEMORY, fetch=True))

    if halves == 1:
        return sum(fetch(tile) + tile.compute + drain(tile) for tile in tiles)
    total = fetch(tiles[0]) + drain(tiles[-1])
    for index, tile in enumerate(tiles):
        read = write = operations = 0
        if index + 1 < len(tiles):
            read += tiles[index + 1].cycles(MEMORY, fetch=True)[0]
        if index:
            last_read, last_write = tiles[index - 1].cycles(MEMORY, drain=True)
            read, write, operations = read + last_read, write + last_write, vector(tiles[index - 1])
        total += max(tile.compute, memory_cycles(read, write), operations)
    return total


@given(cuts(), buffer_kinds)
@settings(max_examples=200, deadline=None)
def test_traffic_cycles_and_time_are_those_of_the_walked_nest(cut: Cut, buffers: Buffers) -> None:
    tiles = walked(cut, buffers)
    found = moved(cut, buffers)
    assert int(found.weight_bits[0]) == sum(tile.weight for tile in tiles)
    assert int(found.input_bits[0]) == sum(tile.activation for tile in tiles)
    assert int(found.partial_bits[0]) == sum(tile.partial_in for tile in tiles)
    assert int(found.partial_bits[0]) == sum(tile.partial_out for tile in tiles)
    assert int(found.result_bits[0]) == sum(tile.results for tile in tiles)
    assert int(found.operand_bits[0]) == sum(tile.operands for tile in tiles)
    compute = sum_over_tiles(cut, lambda sizes: compute_cycles(ARRAY, sizes, cut.asked), over=LOOPS)
    assert int(compute[0]) == sum(tile.compute for tile in tiles)
    assert int(action_counts(ARRAY, cut)["array_cycle"][0]) == int(compute[0])
    cycles = pipelined_cycles(ARRAY, MEMORY, buffers, LANES, (HERTZ,), cut)
    assert int(cycles[0, 0]) == walked_cycles(tiles, buffers.halves)


@given(cuts(), buffer_kinds)
@settings(max_examples=100, deadline=None)
def test_steps_in_their_order_are_those_of_the_walked_nest(cut: Cut, buffers: Buffers) -> None:
    tiles, steps = walked(cut, buffers), walk(ARRAY, buffers, cut)
    assert steps.compute_cycles.tolist() == [tile.compute for tile in tiles]
    assert steps.fetch_bits.tolist() == [tile.weight + tile.activation + tile.partial_in for tile in tiles]
    assert steps.drain_read_bits.tolist() == [tile.operands for tile in tiles]
    assert steps.drain_write_bits.tolist() == [tile.partial_out + tile.results for tile in tiles]
    assert steps.drain_operations.tolist() == [tile.operations for tile in tiles]
    cycles = steps.step_cycles(MEMORY, buffers, LANES, HERTZ)
    assert int(cycles.sum()) == walked_cycles(tiles, buffers.halves)


@given(layers(most=5), st.sampled_from([1, 2]), st.booleans(), st.integers(300, 3000), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_the_search_finds_what_trying_everything_finds(
    asked: Questions, halves: int, tiled: bool, room: int, outputs: int
) -> None:
    asked = replace(
        asked, weight_room=np.array([room]), activation_room=np.array([room]), output_room=np.array([outputs * 256])
    )
    buffers = Buffers(weight_bits=1, activation_bits=1, output_bits=1, halves=halves, burst_bits=16)
    entries = (
        EnergyEntry(name="cycle", action="array_cycle", joules=1.0, node="die"),
        EnergyEntry(name="dram", action="dram_bit", joules=1.0, node="die"),
    )
    machine = Machine(
        array=ARRAY, memory=MEMORY, buffers=buffers, vector_lanes=LANES, energy_table=EnergyTable(entries=entries),
        frequency_hertz=HERTZ, tiled=tiled,
    )  # fmt: skip
    every = candidates(asked)
    ranks = []
    for index, order in product(range(len(every.question)), range(len(ORDERS))):
        tile = replace(every.take(np.array([index])), order=np.array([order]))
        whole_row = replace(tile, columns=asked.output_width)
        is_tried = tile.columns == asked.output_width or not fits(Cut.of(whole_row, asked), buffers)
        if is_tried and fits(Cut.of(tile, asked), buffers):
            ranks.append(_rank(Cut.of(tile, asked), buffers, tiled))
    chosen = Cut.of(best_tiles(machine, asked), asked)
    if ranks:
        assert _rank(chosen, buffers, tiled) == min(ranks)
    again = best_tiles(machine, asked)
    assert again.table().tolist() == chosen.tiles.table().tolist()


def fits(cut: Cut, buffers: Buffers) -> bool:
    return all(int(bits[0]) <= int(limit[0]) for bits, limit in footprints(cut, buffers).values())


def _rank(cut: Cut, buffers: Buffers, tiled: bool) -> tuple[int, int, int]:
    tiles = walked(cut, buffers)
    compute = sum(tile.compute for tile in tiles)
    moves = [tile.cycles(MEMORY, fetch=True, drain=True) for tile in tiles]
    read, write = (sum(each) for each in zip(*moves, strict=True))
    vector = -(-int(cut.asked.inputs[0] * cut.asked.vector_operations[0]) // LANES)
    cycles = walked_cycles(tiles, buffers.halves) if tiled else max(compute, memory_cycles(read, write), vector)
    return cycles, read + write, compute


def test_an_output_buffer_too_small_for_two_rows_leaves_no_row_of_the_array_idle() -> None:
    graph = find_checkpoint("resnet18").graph
    cycles = []
    for name in ("bismo_pynq_z1", "bismo_pynq_z1_buffered"):
        costs = build_device(load_profile(name)).cost_table(graph, 1)
        at = costs.width_index(8)
        cycles.append(int(costs.compute_cycles[0, at, at]))
    assert cycles[0] == cycles[1] == 802816


@pytest.mark.parametrize("order", range(len(ORDERS)))
def test_a_layer_in_one_tile_moves_everything_once_and_is_the_whole_layer(order: int) -> None:
    asked = questions(
        inputs=2, groups=1, channels=4, filters=6, kernel_height=3, kernel_width=3, stride_height=2, stride_width=2,
        span_height=3, span_width=3, padding_height=1, padding_width=1, input_height=8, input_width=8, output_height=4,
        output_width=4, weight_bits=4, activation_bits=2, kept_planes=0, streamed_planes=5, input_bits=4 * 64 * 2,
        stream_bits=6 * 16 * 3, copy_bits=0, operand_bits=40, vector_operations=96,
    )  # fmt: skip
    cut = cut_of(asked, groups=1, filters=6, channels=4, inputs=2, rows=4, columns=4, order=order)
    found = moved(cut, Buffers(weight_bits=1, activation_bits=1, output_bits=1, halves=2, burst_bits=1))
    assert found.read_bits.tolist() == [6 * 36 * 5 + 2 * 512 + 2 * 40]
    assert found.write_bits.tolist() == [2 * 288]
