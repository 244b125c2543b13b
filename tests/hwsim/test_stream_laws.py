"""Laws of several streams: whatever is asked and whatever fails, work and energy are conserved and records complete."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitmixer.graph import LayerGraph
from hwsim.controllers.base import Decision, Observation
from hwsim.device import IdleState, TransitionCost
from hwsim.ledgers import close_ledgers
from hwsim.plant.ambient import Ambient
from hwsim.plant.bandwidth import BackgroundTraffic, OnOffTraffic, SharedDram, SteppedTraffic
from hwsim.plant.battery import KineticBattery
from hwsim.plant.parameters import CoRunningLoad
from hwsim.plant.power_series import PowerSeries
from hwsim.plant.sensor_faults import FailAndRepair, SensorFault
from hwsim.plant.sensors import Sensor
from hwsim.plant.shutdown import Restart, Shutdown
from hwsim.plant.supply import BatteryPack, Gauge
from hwsim.plant.time_series import PiecewiseLinear
from hwsim.records.recorder import RecordedStream, Recorder
from hwsim.simulation.arrivals import PeriodicArrivals, RecordedArrivals
from hwsim.simulation.incoming import StreamSetup
from hwsim.simulation.setup import Setup
from hwsim.simulation.simulator import Simulator

MICROSECOND = 1_000_000
SECOND = 10**12
SITES = 10
OUTCOMES = {"on_time", "late", "dropped_queue", "dropped_deadline", "aborted"}
OVERLAPS = st.sampled_from(["ideal", "tiled"])
LAWS = settings(max_examples=20, deadline=None)


def at(*microseconds: int) -> RecordedArrivals:
    """Return frames that arrive at these times."""
    return RecordedArrivals(recorded=tuple(each * MICROSECOND for each in microseconds))


def urgent(*microseconds: int, **changes: Any) -> dict[str, Any]:
    return {"name": "urgent", "priority": 1, "arrivals": at(*microseconds), **changes}


def recorded(setup: Setup, folder: Path, log: Any) -> Simulator:
    recorder = Recorder(
        folder, [RecordedStream(name=each.name, graph=each.graph, costs=each.costs) for each in setup.streams],
        setup.device.thermal_network.nodes, battery=setup.device.battery is not None,
        idle_states=tuple(state.name for state in setup.device.idle_states),
    )  # fmt: skip
    simulator = Simulator(setup, [recorder, log])
    simulator.run()
    recorder.close()
    recorder.write_frames({}, labelled=False)
    close_ledgers(folder, setup.device, {each.name: each.costs for each in setup.streams}, simulator.plant).check()
    return simulator


def check_order_and_records(log: Any, folder: Path, streams: Sequence[StreamSetup]) -> None:
    """No event lies in the past, nothing runs beside another, and every frame that came has one end on record."""
    assert all(before.finish_picoseconds <= after.start_picoseconds for before, after in pairwise(log.layers))
    ends = [frame.finish_picoseconds for frame in log.frames]
    assert ends == sorted(ends)
    assert all(frame.arrival_picoseconds <= frame.finish_picoseconds for frame in log.frames)
    assert all(
        frame.arrival_picoseconds <= frame.start_picoseconds for frame in log.frames if frame.start_picoseconds >= 0
    )
    frames = pq.read_table(folder / "frames.parquet").to_pylist()
    assert [row["frame"] for row in frames] == list(range(len(frames)))
    assert {row["status"] for row in frames} <= OUTCOMES
    stream = {row["frame"]: row["stream"] for row in frames}
    rows = pq.read_table(folder / "layers.parquet").to_pylist()
    assert all(stream[row["frame"]] == row["stream"] for row in rows)
    moved = [(each.costs.dram_read_bits + each.costs.dram_write_bits).reshape(-1) for each in streams]
    assert [row["dram_bits"] for row in rows] == [
        each.moved_bits if each.row < 0 else moved[each.stream][each.row] for each in log.layers
    ]
    for row in frames:
        own = [each for each in rows if each["frame"] == row["frame"]]
        ran = [each["layer"] for each in own if each["purpose"] == "inference"]
        assert len(ran) == len(set(ran))
        assert (len(ran) == SITES) >= (row["status"] in {"on_time", "late"})
        assert sum(each["energy_joules"] for each in own) == pytest.approx(row["energy_joules"], rel=1e-12)
        if own:
            assert row["start_picoseconds"] == min(
                each["start_picoseconds"] for each in own if each["purpose"] == "inference"
            )
    decisions = pq.read_table(folder / "decisions.parquet").to_pylist()
    assert {row["stream"] for row in decisions} == {each.name for each in streams}
    assert all(row["frame"] < 0 or stream[row["frame"]] == row["stream"] for row in decisions)


def restless(graph: LayerGraph, scripted: Any) -> Any:
    """A controller that changes bits and clock at every look."""

    def script(observation: Observation, generator: Any) -> Decision:
        turn = int(generator.integers(3))
        return Decision(widths=graph.uniform((8, 2, 4)[turn]), frequency_hertz=(200, 50, 125)[turn] * 10**6, reason="")

    return scripted(script=script, wakes_on=frozenset({"tick"}), tick_picoseconds=7_300_000)


GUST = Ambient(series=PiecewiseLinear(points=((0, 30.0), (10**8, 30.0), (11 * 10**7, 90.0), (2 * 10**8, 30.0))))
SHUTDOWN = Shutdown(temperature_celsius=60.0, restart=Restart(temperature_celsius=50.0, boot_picoseconds=10**7))
NOW_AND_THEN = FailAndRepair(mean_time_to_failure=10**8, mean_time_to_repair=10**8)
PACK = BatteryPack(
    battery=KineticBattery(
        capacity_joules=6e-4, available_share=0.4, valve_per_second=100.0, charging_efficiency=0.9
    ),
    cut_off=0.1, restart=0.2, gauge=Gauge(period_picoseconds=2 * 10**7, step=0.25),
)  # fmt: skip
FAULTS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {}),
    "sensor": ({"faults": (SensorFault(mode="missing", reaches="device", times=NOW_AND_THEN),)}, {}),
    "link": ({"link_outages": NOW_AND_THEN}, {}),
    "shutdown": ({"ambient": GUST}, {"shutdown": SHUTDOWN, "sensor": Sensor(period_picoseconds=7 * MICROSECOND)}),
    "brown_out": ({"initial_state_of_charge": 1.0, "harvest": PowerSeries.constant(1.0)}, {"battery": PACK}),
    "bandwidth": ({"shared_dram": "often taken"}, {}),
    "gauge": (
        {
            "initial_state_of_charge": 1.0, "harvest": PowerSeries.constant(1.0),
            "faults": (SensorFault(sensor="battery_gauge", mode="missing", reaches="device", times=NOW_AND_THEN),),
        },
        {"battery": PACK},
    ),
    "power sensor": (
        {"faults": (SensorFault(sensor="power", mode="stuck", reaches="controller", times=NOW_AND_THEN),)},
        {"power_sensor": Sensor(period_picoseconds=11 * MICROSECOND, noise=0.1, delay_picoseconds=MICROSECOND)},
    ),
}  # fmt: skip
"""What goes wrong -> changes of the setup, and of the device."""


def idle_state(name: str, share: float, residency: int) -> IdleState:
    """Return a state that leaves a share of the leakage and costs something both ways; times in microseconds."""
    way = TransitionCost(time_picoseconds=2 * MICROSECOND, energy_joules=3e-7, column=1)
    return IdleState(
        name=name, constant_powers_watts=(0.0, 0.0, 0.0), leakage_share=share,
        min_residency_picoseconds=residency * MICROSECOND, entry=way, exit=way,
    )  # fmt: skip


RESTS = (idle_state("doze", 0.5, 1), idle_state("sleep", 0.0, 12))
LOADS = (
    CoRunningLoad(column=0, power=PowerSeries(series=PiecewiseLinear(points=((0, 0.0), (10**8, 2.0), (10**9, 0.0))))),
)


def dram(setup: Setup, traffic: BackgroundTraffic, accelerator_share: float) -> SharedDram:
    bandwidth = setup.device.memory.dram_bandwidth_bits_per_second
    return SharedDram(bandwidth_bits_per_second=bandwidth, accelerator_share=accelerator_share, traffic=traffic)


@example(  # one stream never runs a layer
    fault="brown_out", seed=0, periods=(20, 20), priorities=(0, 0), overlap="ideal", decisions="mid_frame", rests=False,
    loads=(),
)  # fmt: skip
@given(
    fault=st.sampled_from(sorted(FAULTS)), seed=st.integers(0, 99), periods=st.tuples(*[st.integers(20, 90)] * 2),
    priorities=st.tuples(*[st.integers(0, 2)] * 2), overlap=OVERLAPS,
    decisions=st.sampled_from(["mid_frame", "frame_boundary"]), rests=st.booleans(), loads=st.sampled_from([(), LOADS]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_whatever_fails_every_run_ends_with_named_outcomes_complete_records_and_closed_ledgers(
    make_setup: Any, scripted: Any, graph: LayerGraph, nimble: Any, buffered: Any, log_class: Any,
    tmp_path_factory: Any, fault: str, seed: int, periods: tuple[int, int], priorities: tuple[int, int],
    overlap: str, decisions: str, rests: bool, loads: tuple[CoRunningLoad, ...],
) -> None:  # fmt: skip
    of_setup, of_device = FAULTS[fault]
    changes = dict(buffered(overlap)) | of_setup
    changes["device_changes"] = {**changes["device_changes"], **of_device, "idle_states": RESTS if rests else ()}
    if fault == "shutdown":
        changes["device_changes"]["thermal_network"] = nimble
    arrivals = [PeriodicArrivals(period=period * MICROSECOND, jitter=9 * MICROSECOND) for period in periods]
    setup = make_setup(
        restless(graph, scripted), seed=seed, arrivals=arrivals[0], priority=priorities[0], decisions=decisions,
        others=[{"name": "other", "arrivals": arrivals[1], "priority": priorities[1], "inputs_per_frame": 2}],
        loads=loads, **changes,
    )  # fmt: skip
    if fault == "bandwidth":
        rate = setup.device.memory.dram_bandwidth_bits_per_second
        traffic = OnOffTraffic(rate_bits_per_second=rate, mean_on_picoseconds=2 * 10**7, mean_off_picoseconds=2 * 10**7)
        setup = dataclasses.replace(setup, shared_dram=dram(setup, traffic, 0.2))
    folder, log = tmp_path_factory.mktemp("run"), log_class()
    recorded(setup, folder, log)
    check_order_and_records(log, folder, setup.streams)
    rested = [sample for row in log.telemetry for sample in row.idle_states]
    assert any(sample.entries for sample in rested) <= rests  # some have no rest: frames come faster than they go
    assert all(0 <= sample.share <= 1 for sample in rested)


@given(gusts=st.lists(st.integers(1, 280), max_size=6), seed=st.integers(0, 9), overlap=OVERLAPS)
@LAWS
def test_work_is_conserved(
    simulate: Any, scripted: Any, buffered: Any, gusts: list[int], seed: int, overlap: str
) -> None:
    """Layers take the cycles that they take alone, but for what is fetched again; all else is moved tensors."""
    changes = buffered(overlap)
    arrivals, plenty = PeriodicArrivals(period=60 * MICROSECOND), {"deadline_picoseconds": SECOND, "queue_capacity": 99}
    others = [urgent(*sorted(gusts))] if gusts else []
    log = simulate(scripted(), arrivals=arrivals, others=others, seed=seed, **changes, **plenty)
    costs = changes["costs"]
    cycles, energies = costs.total_cycles[0].reshape(-1), costs.energy_joules.reshape(-1)
    for frame in log.frames:
        own = log.of_frame(frame.frame)
        layers = [layer for layer in own if layer.purpose == "inference"]
        moves = [layer for layer in own if layer.purpose != "inference"]
        assert [layer.position for layer in layers] == list(range(SITES))
        assert [layer.cycles for layer in layers] == [cycles[layer.row] for layer in layers]
        assert [move.purpose for move in moves] == ["spill", "restore"] * (len(moves) // 2)
        spills, restores = moves[::2], moves[1::2]
        assert [(each.position + 1, each.moved_bits, each.cycles) for each in spills] == [
            (each.position, each.moved_bits, each.cycles) for each in restores
        ]
        moved = sum(each.energy_joules for each in moves)
        assert frame.energy_joules == pytest.approx(sum(energies[each.row] for each in layers) + moved, rel=1e-12)
        if frame.stream:
            assert not moves
    busy = sum(layer.finish_picoseconds - layer.start_picoseconds for layer in log.layers)
    shares = sum(row.busy_share for row in log.telemetry) * 100 * MICROSECOND
    assert shares == pytest.approx(busy, rel=1e-9)


@given(
    shares=st.tuples(*[st.floats(0.05, 1.0)] * 2),
    bits=st.sampled_from([2, 4, 8]),
    overlap=OVERLAPS,
)
@LAWS
def test_more_bandwidth_is_never_slower_and_costs_no_less_energy_in_layers(
    make_setup: Any, scripted: Any, buffered: Any, log_class: Any, shares: tuple[float, float], bits: int, overlap: str
) -> None:
    setup = make_setup(scripted(start=bits), **buffered(overlap))
    logs = []
    for share in sorted(shares):
        rate = (1 - share) * setup.device.memory.dram_bandwidth_bits_per_second
        shared, log = dram(setup, SteppedTraffic(steps=((0, rate),)), share), log_class()
        Simulator(dataclasses.replace(setup, shared_dram=shared), [log]).run()
        logs.append(log)
    slow, fast = logs
    if all(frame.widths for frame in slow.frames):  # else later frames wait for fewer
        for less, more in zip(slow.frames, fast.frames, strict=True):
            assert more.finish_picoseconds <= less.finish_picoseconds
    slow_layers, fast_layers = ({(layer.frame, layer.position): layer for layer in log.layers} for log in logs)
    assert slow_layers
    for key in slow_layers.keys() & fast_layers.keys():
        assert fast_layers[key].cycles <= slow_layers[key].cycles
        assert fast_layers[key].energy_joules == pytest.approx(slow_layers[key].energy_joules, rel=1e-12)


@given(overlap=OVERLAPS, gust=st.integers(1, 80))
@LAWS
def test_more_bits_are_never_cheaper_preempted_or_not(
    simulate: Any, scripted: Any, buffered: Any, overlap: str, gust: int
) -> None:
    logs = [
        simulate(scripted(start=bits), arrivals=at(0), others=[urgent(gust)], **buffered(overlap)) for bits in (2, 4, 8)
    ]
    for fewer, more in pairwise(logs):
        for frame in (0, 1):
            low, high = (
                [each.energy_joules for each in log.of_frame(frame) if each.purpose == "inference"]
                for log in (fewer, more)
            )
            assert all(less <= dear + 1e-15 for less, dear in zip(low, high, strict=True))
            assert sum(low) < sum(high)
