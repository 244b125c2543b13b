"""Shared DRAM bandwidth: what others take, what layers take longer for it, and the laws that hold whatever happens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitmixer.errors import DocumentError
from bitmixer.graph import LayerGraph
from hwsim import pipeline
from hwsim.controllers.base import Decision, Observation
from hwsim.cost import CostTable
from hwsim.cost.arrays.valued import Loom
from hwsim.cost.memory import Buffers, Execution, ShortTransfers
from hwsim.errors import ConfigurationError
from hwsim.plant.bandwidth import OnOffTraffic, SharedDram, SteppedTraffic
from hwsim.simulation.arrivals import PeriodicArrivals
from hwsim.simulation.events import LayerIssued
from hwsim.simulation.randomness import generator
from hwsim.simulation.schedule import Pace, build_schedule
from hwsim.simulation.setup import Setup, Values
from hwsim.simulation.simulator import Simulator

MICROSECOND = 10**6
SECOND = 10**12
BANDWIDTH = 2.1e9 * 8 * 0.75
"""Of the shipped device, bit/s."""
LAWS = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BUFFERS = Buffers(weight_bits=1 << 16, activation_bits=1 << 16, output_bits=1 << 14, halves=2, burst_bits=256)


def shared(*steps: tuple[int, float], least: float = 0.05) -> SharedDram:
    """Return a DRAM of which others want shares from certain times on (microseconds)."""
    wanted = tuple((time * MICROSECOND, share * BANDWIDTH) for time, share in steps)
    return SharedDram(
        bandwidth_bits_per_second=BANDWIDTH, accelerator_share=least, traffic=SteppedTraffic(steps=wanted)
    )


@pytest.fixture(scope="module")
def costs(graph: LayerGraph, make_setup: Callable[..., Setup], scripted: Any) -> dict[str, CostTable]:
    """The small network's costs on the device as it is, and with layers cut into tiles."""
    device = make_setup(scripted()).device
    tiled = dataclasses.replace(device, buffers=BUFFERS, execution=Execution(overlap="tiled"))
    return {"ideal": device.cost_table(graph, 1), "tiled": tiled.cost_table(graph, 1)}


@pytest.fixture(scope="module")
def run(
    make_setup: Callable[..., Setup], scripted: Any, log_class: Any, costs: dict[str, CostTable]
) -> Callable[..., Any]:
    """Return a function that simulates three frames, at 4 bits and in no hurry, with a shared DRAM."""

    def simulated(dram: SharedDram | None, overlap: str = "ideal", controller: Any = None, **changes: Any) -> Any:
        setup = make_setup(
            controller or scripted(start=4), shared_dram=dram, costs=costs[overlap],
            deadline_picoseconds=SECOND, **changes,
        )  # fmt: skip
        log = log_class()
        simulator = Simulator(setup, [log])
        log.end, log.plant = simulator.run(), simulator.plant
        return log

    return simulated


def lengths(log: Any) -> list[int]:
    return [layer.finish_picoseconds - layer.start_picoseconds for layer in log.layers]


def test_others_get_what_they_want_up_to_what_is_kept_for_the_accelerator() -> None:
    dram = shared((0, 0.0), (5, 0.25), (7, 0.9), (9, 2.0), least=0.4)
    shares = list(dram.free_shares(generator(1, "memory_traffic")))
    assert shares == [(0, 1.0), (5 * MICROSECOND, 0.75), (7 * MICROSECOND, 0.4), (9 * MICROSECOND, 0.4)]


def test_a_layer_takes_the_time_of_its_traffic_where_that_is_longer_than_all_else(
    run: Any, costs: dict[str, CostTable]
) -> None:
    table = costs["ideal"]
    bits = (table.dram_read_bits + table.dram_write_bits).reshape(-1).tolist()
    alone, crowded = run(None), run(shared((0, 0.75)))
    for free, layer in zip(alone.layers, crowded.layers, strict=True):
        # A quarter of 12.6 Gbit/s at 200 MHz.
        cycles = max(free.cycles, -(-bits[layer.row] * 200 * 4 // 12600))
        assert layer.cycles == cycles
        assert layer.finish_picoseconds - layer.start_picoseconds == cycles * 5000
    assert sum(lengths(crowded)) > 1.5 * sum(lengths(alone))


def test_a_change_hits_the_layer_that_runs(run: Any, costs: dict[str, CostTable]) -> None:
    alone = run(None).layers[0]
    stem = run(shared((0, 0.0), (1, 0.9))).layers[0]
    bits = int((costs["ideal"].dram_read_bits + costs["ideal"].dram_write_bits).reshape(-1)[stem.row])
    crowded = -(-bits * 200 * 10 // 12600)
    # 200 cycles in the first microsecond; of the rest the same part is left, at the lengths of now.
    left = -(-(alone.cycles - 200) * crowded // alone.cycles)
    assert crowded > alone.cycles > 200
    assert stem.cycles == 200 + left
    assert stem.finish_picoseconds == MICROSECOND + left * 5000


@pytest.mark.parametrize("overlap", ["ideal", "tiled"])
@given(shares=st.lists(st.floats(0.0, 1.5), min_size=2, max_size=2))
@LAWS
def test_more_bandwidth_is_never_slower(run: Any, overlap: str, shares: list[float]) -> None:
    more, less = (lengths(run(shared((0, taken)), overlap)) for taken in sorted(shares))
    assert all(one <= other for one, other in zip(more, less, strict=True))


steps = st.lists(st.tuples(st.integers(1, 40), st.floats(0.0, 1.5)), max_size=12).map(
    lambda drawn: [(sum(gap for gap, _ in drawn[: k + 1]), share) for k, (_, share) in enumerate(drawn)]
)


@pytest.mark.parametrize("overlap", ["ideal", "tiled"])
@given(steps=steps)
@LAWS
def test_work_is_conserved_and_time_never_runs_back(
    run: Any, costs: dict[str, CostTable], overlap: str, steps: list[tuple[int, float]]
) -> None:
    dram, table = shared((0, 0.3), *steps), costs[overlap]
    log, alone = run(dram, overlap), run(None, overlap)
    for layer, free in zip(log.layers, alone.layers, strict=True):
        assert (layer.row, layer.finish_picoseconds > layer.start_picoseconds) == (free.row, True)
        # The energy is spent once, whatever the time takes; so is the traffic, which follows from the row.
        assert layer.energy_joules == pytest.approx(free.energy_joules, rel=1e-9)
        assert layer.dynamic_energy_scale == pytest.approx(1.0, abs=1e-9)
    for before, after in pairwise(log.layers):
        assert after.start_picoseconds >= before.finish_picoseconds
    assert [row.time_picoseconds for row in log.telemetry] == list(range(0, log.end + 1, 100 * MICROSECOND))
    if overlap == "ideal":
        shares = [*dram.free_shares(generator(0, "")), (SECOND, 1.0)]
        for layer in log.layers:
            done = sum(
                max(min(end, layer.finish_picoseconds) - max(start, layer.start_picoseconds), 0)
                / (5000 * whole_cycles(table, layer.row, share))
                for (start, share), (end, _) in pairwise(shares)
            )
            # Each change costs one cycle at most, and rounds what is left up by one more.
            assert 1.0 - 1e-9 <= done <= 1.0 + 2 * (1 + len(shares)) / table.total_cycles[0].reshape(-1)[layer.row]


def whole_cycles(table: CostTable, row: int, share: float) -> int:
    """Return max(array, port, vector unit, DRAM at this share), worked out anew."""
    bits = int((table.dram_read_bits + table.dram_write_bits).reshape(-1)[row])
    return max(int(table.total_cycles[0].reshape(-1)[row]), int(np.ceil(bits * 2e8 / (BANDWIDTH * share))))


def test_tiles_at_a_share_take_what_a_table_of_that_bandwidth_says(
    costs: dict[str, CostTable], graph: LayerGraph
) -> None:
    table = costs["tiled"]
    schedule = build_schedule(graph, table)
    for row in range(0, table.rows, 977):
        assert table.tiling is not None
        stages = table.tiling.stage_cycles(row // table.fetches, 200_000_000, 0.5)
        extra = int(table.dram_read_bits.reshape(-1)[row]) - int(
            table.dram_read_bits.reshape(-1)[row - row % table.fetches]
        )
        before = max(-(-extra // 64), int(np.ceil(extra * 2e8 / (BANDWIDTH * 0.5))))
        assert schedule.cycles_at(row, Pace(0, 0.5)) == before + int(stages.sum())
        assert schedule.cycles_at(row, Pace(0, 1.0)) == int(table.stage_cycles(row, 0, 1.0).sum())


def test_on_off_traffic_is_on_for_its_share_of_the_time_and_repeats_under_its_seed() -> None:
    traffic = OnOffTraffic(rate_bits_per_second=7.0, mean_on_picoseconds=3000, mean_off_picoseconds=1000)
    changes = list(islice(traffic.changes(generator(5, "memory_traffic")), 20_001))
    assert changes == list(islice(traffic.changes(generator(5, "memory_traffic")), 20_001))
    assert {rate for _, rate in changes} == {0.0, 7.0}
    assert all(after[0] > before[0] and after[1] != before[1] for before, after in pairwise(changes))
    on = sum(after[0] - before[0] for before, after in pairwise(changes) if before[1])
    assert on / changes[-1][0] == pytest.approx(0.75, abs=0.01)
    assert on / 10_000 == pytest.approx(3000, rel=0.03)
    starts = [next(traffic.changes(generator(seed, "memory_traffic")))[1] for seed in range(400)]
    assert starts.count(7.0) / 400 == pytest.approx(0.75, abs=0.06)


def test_traffic_draws_from_a_stream_of_its_own(run: Any) -> None:
    jittery = {"arrivals": PeriodicArrivals(period=100 * MICROSECOND, jitter=20 * MICROSECOND)}
    traffic = OnOffTraffic(
        rate_bits_per_second=BANDWIDTH, mean_on_picoseconds=9 * MICROSECOND, mean_off_picoseconds=9 * MICROSECOND
    )
    dram = SharedDram(bandwidth_bits_per_second=BANDWIDTH, accelerator_share=0.1, traffic=traffic)
    alone, crowded, again = run(None, **jittery), run(dram, **jittery), run(dram, **jittery)
    assert [(f.arrival_picoseconds, f.inputs) for f in alone.frames] == [
        (f.arrival_picoseconds, f.inputs) for f in crowded.frames
    ]
    assert lengths(alone) != lengths(crowded) == lengths(again)


def test_controllers_read_the_last_whole_period_and_telemetry_has_the_truth(run: Any, scripted: Any) -> None:
    watching = scripted(start=4, wakes_on=frozenset({"tick"}), tick_picoseconds=25 * MICROSECOND)
    log = run(
        shared((0, 0.5), (20, 0.0), (70, 0.8)),
        controller=watching,
        device_changes={"bandwidth_counter_picoseconds": 40 * MICROSECOND},
    )
    read = {seen.time_picoseconds // MICROSECOND: seen.free_bandwidth_share for seen in watching.seen}
    # 40 us: half of the time at 1/2; 80 us: 30 us at 1 and 10 us at 0.2.
    assert [read[time] for time in (25, 50, 75, 100, 125)] == pytest.approx([1.0, 0.75, 0.75, 0.8, 0.2])
    true = [row.free_bandwidth_share for row in log.telemetry]
    # At the start what is free now; then 20 us at 1/2, 50 us at 1, 30 us at 0.2.
    assert true[:3] == pytest.approx([0.5, 0.66, 0.2])


def test_a_device_without_a_counter_shows_controllers_nothing(run: Any, scripted: Any) -> None:
    watching = scripted()
    run(shared((0, 0.5)), controller=watching, device_changes={"bandwidth_counter_picoseconds": None})
    assert {seen.free_bandwidth_share for seen in watching.seen} == {None}


def test_a_change_of_clock_or_bandwidth_takes_nothing_from_what_values_ask(
    make_setup: Callable[..., Setup], scripted: Any, log_class: Any, graph: LayerGraph
) -> None:
    def script(observation: Observation, _: Any) -> Decision:
        clock = (200, 50, 125)[observation.time_picoseconds // (23 * MICROSECOND) % 3] * 10**6
        return Decision(widths={}, frequency_hertz=clock, reason="restless")

    setup = make_setup(
        scripted(script=script, wakes_on=frozenset({"tick"}), tick_picoseconds=23 * MICROSECOND),
        device_changes={"array": Loom(lanes=8, columns=4, rows=4, tiles=2)},
        shared_dram=shared((0, 0.0), *((3 * time, 0.9 * (time % 2)) for time in range(1, 900))),
        deadline_picoseconds=SECOND,
        duration_picoseconds=200 * MICROSECOND,
    )

    def cycles(issued: LayerIssued) -> int:
        at = tuple(map(setup.streams[0].costs.width_index, issued.widths))
        return max(1, int(setup.streams[0].costs.compute_cycles[issued.position, *at] * 0.8))

    log = log_class()
    Simulator(setup, [log], [Values(array_cycles=cycles)]).run()
    assert log.layers
    assert all(layer.cycles >= layer.array_cycles for layer in log.layers)


@pytest.mark.parametrize("steps", [(), ((5, 1.0),), ((0, 1.0), (0, 2.0)), ((0, -1.0),)])
def test_steps_that_cannot_be_are_refused(steps: tuple[tuple[int, float], ...]) -> None:
    with pytest.raises(ConfigurationError, match="ascend from 0"):
        SteppedTraffic(steps=steps)


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_share_that_cannot_be_is_refused(share: float) -> None:
    with pytest.raises(ConfigurationError, match="of 1 at most"):
        shared((0, 0.0), least=share)


def test_short_transfers_lengthen_layers_and_move_nothing_more(
    graph: LayerGraph, make_setup: Callable[..., Setup], scripted: Any
) -> None:
    device = make_setup(scripted()).device
    slow = dataclasses.replace(BUFFERS, short_transfers=ShortTransfers(below_bits=1 << 13, slowdown=1.875))
    for overlap in ("ideal", "tiled"):
        alike, some = (
            dataclasses.replace(device, buffers=buffers, execution=Execution(overlap=overlap)).cost_table(graph, 1)
            for buffers in (BUFFERS, slow)
        )
        assert (alike.dram_time_bits == alike.dram_read_bits + alike.dram_write_bits).all()
        moved = some.dram_read_bits + some.dram_write_bits
        assert (some.dram_time_bits >= moved).all()
        assert (some.dram_time_bits <= np.ceil(moved * 1.875) + 10_000).all()
        assert (some.dram_time_bits > moved).any()
        assert some.total_cycles.sum() > alike.total_cycles.sum()
        schedule = build_schedule(graph, some)
        for row in range(0, some.rows, 1777):
            assert schedule.cycles_at(row, Pace(0, 1.0)) <= schedule.cycles_at(row, Pace(0, 0.999))


def test_a_profile_states_short_transfers_that_are_not_faster_than_others(bursty: str) -> None:
    def planned(efficiency: float) -> pipeline.Plan:
        short = f"{{below_bits: {{value: 2048, source: x}}, efficiency: {{value: {efficiency}, source: x}}}}"
        sets = ["profile=bismo_pynq_z1_buffered", f"profile.buffers.short_transfers={short}"]
        return pipeline.plan(bursty, controller="static", sets=sets)

    buffers = planned(0.3).device.buffers
    assert buffers is not None
    assert buffers.short_transfers == ShortTransfers(below_bits=2048, slowdown=0.75 / 0.3)
    with pytest.raises(DocumentError, match=r"short_transfers\.efficiency\.value: is above dram_efficiency 0\.75"):
        planned(0.8)
