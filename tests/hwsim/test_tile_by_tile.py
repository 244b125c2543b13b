"""Tile by tile against the closed form: equal undisturbed, and a stage apart when the pace changes in mid-layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.cost.arrays import Bismo
from hwsim.cost.memory.buffers import Buffers, ShortTransfers
from hwsim.cost.memory.dram import Memory
from hwsim.cost.memory.pipeline import pipelined_cycles
from hwsim.cost.memory.tiles import Cut, Questions, Tiles
from hwsim.cost.memory.walk import remaining_cycles, walk
from hwsim.plant.operating_points import cycles_done, duration_picoseconds
from hwsim.simulation.tiles import Pace, TileByTile

ARRAY = Bismo(rows=4, depth=32, columns=2)
MEMORY = Memory(dram_bandwidth_bits_per_second=3e9, port_bits_per_cycle=32)
FAST, SLOW, ODD = 200_000_000, 50_000_000, 142_857_143
LANES = 4


@st.composite
def cuts(draw: Any) -> Cut:
    def one_of(*sizes: int) -> int:
        return int(draw(st.sampled_from(sizes)))

    asked = {
        "inputs": one_of(1, 2), "groups": one_of(1, 2), "channels": one_of(3, 16), "filters": one_of(6, 16),
        "kernel_height": 3, "kernel_width": 3, "stride_height": 1, "stride_width": 1, "span_height": 3,
        "span_width": 3, "padding_height": 1, "padding_width": 1, "input_height": 9, "input_width": 9,
        "output_height": 9, "output_width": 9, "is_dilated": 0, "reads_network_input": 0,
        "weight_bits": one_of(1, 4, 8), "activation_bits": one_of(2, 8), "kept_planes": 0,
        "streamed_planes": one_of(0, 5), "input_bits": one_of(0, 9 * 9 * 16 * 4), "stream_bits": one_of(0, 9 * 9 * 64),
        "copy_bits": one_of(0, 999), "operand_bits": one_of(0, 999), "vector_operations": one_of(0, 9 * 9 * 32),
        "weight_room": 1, "activation_room": 1, "output_room": 1,
    }  # fmt: skip
    tiles = {
        "question": 0, "groups": 1, "filters": one_of(2, 4, 6), "channels": one_of(1, 2, 3), "inputs": 1,
        "rows": one_of(2, 4, 9), "columns": one_of(4, 9), "order": draw(st.integers(0, 5)),
    }  # fmt: skip
    return Cut(
        asked=Questions(**{name: np.array([value]) for name, value in asked.items()}),
        tiles=Tiles(**{name: np.array([value]) for name, value in tiles.items()}),
    )


buffer_kinds = st.sampled_from([
    Buffers(weight_bits=1, activation_bits=1, output_bits=1, halves=halves, burst_bits=64) for halves in (1, 2)
])  # fmt: skip


@given(cuts(), buffer_kinds, st.sampled_from([FAST, SLOW, ODD]))
@settings(max_examples=60, deadline=None)
def test_undisturbed_it_takes_the_cycles_of_the_closed_form(cut: Cut, buffers: Buffers, hertz: int) -> None:
    environment = simpy.Environment(initial_time=0)
    pace = Pace(frequency_hertz=hertz, memory=MEMORY)
    layer = TileByTile(environment, walk(ARRAY, buffers, cut), buffers, LANES, pace)
    environment.run()
    cycles = int(pipelined_cycles(ARRAY, MEMORY, buffers, LANES, (hertz,), cut)[0, 0])
    assert layer.finished_picoseconds == duration_picoseconds(cycles, hertz)


@given(
    cuts(), buffer_kinds, st.sampled_from([FAST, SLOW, ODD]), st.sampled_from([FAST, SLOW, ODD]),
    st.sampled_from([0.2, 1.0, 5.0]), st.floats(0.0, 0.999),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_a_change_of_clock_or_bandwidth_in_mid_layer_moves_the_end_by_at_most_a_stage(
    cut: Cut, buffers: Buffers, hertz: int, other_hertz: int, more_bandwidth: float, share: float
) -> None:
    bandwidth = MEMORY.dram_bandwidth_bits_per_second * more_bandwidth
    other = replace(MEMORY, dram_bandwidth_bits_per_second=bandwidth)
    walked = walk(ARRAY, buffers, cut)
    before = walked.step_cycles(MEMORY, buffers, LANES, hertz)
    after = walked.step_cycles(other, buffers, LANES, other_hertz)
    changes = int(duration_picoseconds(int(before.sum()), hertz) * share)
    done = cycles_done(changes, hertz)
    expected = changes + duration_picoseconds(remaining_cycles(before, after, done), other_hertz)

    environment = simpy.Environment(initial_time=0)
    layer = TileByTile(environment, walked, buffers, LANES, Pace(frequency_hertz=hertz, memory=MEMORY))
    environment.run(until=changes) if changes else None
    layer.change(Pace(frequency_hertz=other_hertz, memory=other))
    environment.run()
    assert abs(layer.finished_picoseconds - expected) <= layer.longest_stage_picoseconds


def test_what_remains_keeps_whole_stages_done_and_scales_the_one_under_way() -> None:
    before, after = np.array([10, 20, 30]), np.array([1, 40, 7])
    assert remaining_cycles(before, after, 0) == 48
    assert remaining_cycles(before, after, 10) == 47
    assert remaining_cycles(before, after, 15) == 30 + 7
    assert remaining_cycles(before, after, 59) == 1
    assert remaining_cycles(before, after, 60) == 0


@given(cuts(), st.sampled_from([1, 2]))
@settings(max_examples=40, deadline=None)
def test_short_transfers_take_their_time_tile_by_tile_and_in_the_closed_form(cut: Cut, halves: int) -> None:
    alike = Buffers(weight_bits=1, activation_bits=1, output_bits=1, halves=halves, burst_bits=64)
    slow, all_short = (
        replace(alike, short_transfers=ShortTransfers(below_bits=below, slowdown=2.5)) for below in (4096, 1 << 40)
    )
    environment = simpy.Environment(initial_time=0)
    pace = Pace(frequency_hertz=FAST, memory=MEMORY)
    layer = TileByTile(environment, walk(ARRAY, slow, cut), slow, LANES, pace)
    environment.run()
    cycles = {
        name: int(pipelined_cycles(ARRAY, memory, buffers, LANES, (FAST,), cut)[0, 0])
        for name, memory, buffers in (
            ("alike", MEMORY, alike),
            ("some short", MEMORY, slow),
            ("all short", MEMORY, all_short),
            ("slower DRAM", MEMORY.shared(1 / 2.5), alike),
        )
    }
    assert layer.finished_picoseconds == duration_picoseconds(cycles["some short"], FAST)
    assert cycles["alike"] <= cycles["some short"] <= cycles["all short"]
    # Where every piece is short the DRAM is as slow as that, but for roundings of a bit per piece.
    assert cycles["all short"] == pytest.approx(cycles["slower DRAM"], rel=2e-3)
