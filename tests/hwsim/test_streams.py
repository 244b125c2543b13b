"""Several streams on one array: who goes first, what preemption costs, and the laws that hold whatever happens."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from bitmixer.graph import LayerGraph
from hwsim.controllers.base import Decision, Observation
from hwsim.cost.arrays.valued import Loom
from hwsim.cost.memory.maps import kept_tensors, on_chip
from hwsim.plant.ambient import Ambient
from hwsim.plant.sensors import Sensor
from hwsim.plant.shutdown import Restart, Shutdown
from hwsim.plant.time_series import PiecewiseLinear
from hwsim.simulation.arrivals import PeriodicArrivals, RecordedArrivals
from hwsim.simulation.setup import Values
from hwsim.simulation.simulator import Simulator

MICROSECOND = 1_000_000
SECOND = 10**12
SITES = 10
OUTCOMES = {"on_time", "late", "dropped_queue", "dropped_deadline", "aborted"}
OVERLAPS = st.sampled_from(["ideal", "tiled"])
LAWS = settings(max_examples=12, deadline=None)


def at(*microseconds: int) -> RecordedArrivals:
    """Return frames that arrive at these times."""
    return RecordedArrivals(recorded=tuple(each * MICROSECOND for each in microseconds))


def urgent(*microseconds: int, **changes: Any) -> dict[str, Any]:
    return {"name": "urgent", "priority": 1, "arrivals": at(*microseconds), **changes}


def order(log: Any) -> list[tuple[int, str, int]]:
    """Return (frame, purpose, first position) of each uninterrupted row of layers, and each spill and restore."""
    found: list[tuple[int, str, int]] = []
    for layer in log.layers:
        if not found or layer.purpose != "inference" or found[-1][:2] != (layer.frame, layer.purpose):
            found.append((layer.frame, layer.purpose, layer.position))
    return found


def test_a_frame_of_a_higher_priority_preempts_at_the_next_boundary_and_the_other_resumes(
    simulate: Any, scripted: Any
) -> None:
    log = simulate(scripted(), arrivals=at(0), others=[urgent(5)])
    low, high = sorted(log.frames)
    before = [layer for layer in log.of_frame(0) if layer.finish_picoseconds <= high.start_picoseconds]
    last = before[-2]  # the spill is told after it
    assert last.start_picoseconds < 5 * MICROSECOND < last.finish_picoseconds == high.start_picoseconds
    assert order(log) == [
        (0, "inference", 0), (0, "spill", last.position), (1, "inference", 0), (0, "restore", last.position + 1),
        (0, "inference", last.position + 1),
    ]  # fmt: skip
    assert (low.status, high.status, low.stream, high.stream) == ("on_time", "on_time", 0, 1)
    assert low.start_picoseconds == 0
    assert low.finish_picoseconds == log.layers[-1].finish_picoseconds > high.finish_picoseconds


def test_equal_priorities_are_served_in_the_order_of_arrival(simulate: Any, scripted: Any) -> None:
    log = simulate(scripted(), arrivals=at(0, 30), others=[urgent(5, 10, priority=0)], deadline_picoseconds=SECOND)
    assert order(log) == [(frame, "inference", 0) for frame in range(4)]
    assert [frame.stream for frame in sorted(log.frames)] == [0, 1, 1, 0]


def test_of_frames_that_come_together_the_highest_priority_is_first_and_preempts_nobody(
    simulate: Any, scripted: Any
) -> None:
    log = simulate(scripted(), arrivals=at(5), others=[urgent(5), urgent(5, name="third", priority=2)])
    assert order(log) == [(frame, "inference", 0) for frame in range(3)]
    assert [frame.stream for frame in sorted(log.frames)] == [2, 1, 0]


def test_priorities_nest(simulate: Any, scripted: Any) -> None:
    others = [urgent(5), urgent(10, name="third", priority=2)]
    log = simulate(scripted(), arrivals=at(0), others=others, deadline_picoseconds=SECOND)
    assert [(frame, purpose) for frame, purpose, _ in order(log)] == [
        (0, "inference"), (0, "spill"), (1, "inference"), (1, "spill"), (2, "inference"),
        (1, "restore"), (1, "inference"), (0, "restore"), (0, "inference"),
    ]  # fmt: skip


def test_an_expired_frame_preempts_nobody_and_a_preempted_one_runs_to_its_end(simulate: Any, scripted: Any) -> None:
    expired = simulate(scripted(), arrivals=at(0), others=[urgent(5, deadline_picoseconds=1)])
    assert order(expired) == [(0, "inference", 0)]
    assert sorted(expired.frames)[1].status == "dropped_deadline"
    late = simulate(scripted(), arrivals=at(0), others=[urgent(5)], deadline_picoseconds=30 * MICROSECOND)
    assert [frame.status for frame in sorted(late.frames)] == ["late", "on_time"]


def test_a_device_that_goes_off_aborts_what_runs_what_waits_and_what_was_preempted(
    simulate: Any, scripted: Any, nimble: Any
) -> None:
    """Hot air comes at 10 us; the sensor samples every 7 us, so the device goes off at 14 us and is back by 80 us."""
    air = ((0, 30.0), (10, 30.0), (11, 90.0), (40, 90.0), (41, 30.0))
    ambient = Ambient(series=PiecewiseLinear(points=tuple((time * MICROSECOND, celsius) for time, celsius in air)))
    restart = Restart(temperature_celsius=50.0, boot_picoseconds=MICROSECOND)
    log = simulate(
        scripted(wakes_on=frozenset()), arrivals=at(0, 1, 100), others=[urgent(5)], ambient=ambient,
        device_changes={
            "thermal_network": nimble, "sensor": Sensor(period_picoseconds=7 * MICROSECOND),
            "shutdown": Shutdown(temperature_celsius=60.0, restart=restart),
        },
    )  # fmt: skip
    ended = {frame.frame: (frame.stream, frame.status, frame.finish_picoseconds) for frame in log.frames}
    off = 14 * MICROSECOND
    assert [ended[frame] for frame in range(3)] == [(0, "aborted", off), (0, "aborted", off), (1, "aborted", off)]
    assert ended[3][:2] == (0, "on_time")
    preempted = next(frame for frame in log.frames if frame.frame == 0)
    assert preempted.energy_joules == pytest.approx(sum(layer.energy_joules for layer in log.of_frame(0)))
    assert log.of_frame(0)[-1].purpose == "spill"
    assert {layer.frame for layer in log.layers if layer.finish_picoseconds > off} == {3}


def test_each_stream_has_a_queue_of_its_own(simulate: Any, scripted: Any) -> None:
    log = simulate(scripted(), arrivals=at(0, 1, 2, 3, 4), others=[urgent(5, 6)], deadline_picoseconds=SECOND)
    status = {frame.frame: (frame.stream, frame.status) for frame in log.frames}
    assert status == {
        **dict.fromkeys((0, 1, 2), (0, "on_time")), 3: (0, "dropped_queue"), 4: (0, "dropped_queue"),
        5: (1, "on_time"), 6: (1, "on_time"),
    }  # fmt: skip
    assert max(row.queued[1] for row in log.telemetry) <= 2


def test_a_second_stream_leaves_arrivals_and_inputs_of_the_first_where_they_are(simulate: Any, scripted: Any) -> None:
    jittery = PeriodicArrivals(period=60 * MICROSECOND, jitter=20 * MICROSECOND)
    alone = simulate(scripted(), arrivals=jittery)
    both = simulate(scripted(), arrivals=jittery, others=[{"name": "other"}])
    told = [[(f.arrival_picoseconds, f.inputs) for f in sorted(log.frames) if f.stream == 0] for log in (alone, both)]
    assert told[0] == told[1]
    other = [(frame.arrival_picoseconds, frame.inputs) for frame in sorted(both.frames) if frame.stream == 1]
    assert not set(other) & set(told[0])


def test_what_was_on_chip_for_a_stream_is_fetched_again_after_another_ran(
    simulate: Any, scripted: Any, buffered: Any
) -> None:
    log = simulate(scripted(), arrivals=at(0, 70, 210), others=[urgent(140)], **buffered())
    fetched = [[layer.planes_fetched for layer in log.of_frame(frame)] for frame in range(4)]
    reloads = [{layer.norm_reload for layer in log.of_frame(frame)} for frame in range(4)]
    assert sum(fetched[1]) < sum(fetched[0]) == sum(fetched[2]) == sum(fetched[3])
    assert reloads == [{True}, {False}, {True}, {True}]


@pytest.mark.parametrize("overlap", ["ideal", "tiled"])
@pytest.mark.parametrize("requantise", ["on_drain", "on_load"])
def test_a_preempted_frame_pays_for_its_tensors_and_for_what_was_overwritten_and_for_nothing_else(
    simulate: Any, scripted: Any, graph: LayerGraph, buffered: Any, overlap: str, requantise: str
) -> None:
    changes = buffered(overlap, requantise)
    costs, arrivals = changes["costs"], at(0, 200)
    alone = simulate(scripted(), arrivals=arrivals, **changes)
    whole = alone.of_frame(1)
    wide = 32 if requantise == "on_load" else None
    buffers = changes["device_changes"]["buffers"]
    kept = kept_tensors(graph, buffers, inputs_per_frame=1, stream_bits=wide)
    moved_ever = set()
    for place in range(SITES - 1):
        inside = (whole[place].start_picoseconds + whole[place].finish_picoseconds) // 2
        gust = RecordedArrivals(recorded=(inside,))
        log = simulate(scripted(), arrivals=arrivals, others=[{**urgent(), "arrivals": gust}], **changes)
        rows = {purpose: [each for each in log.of_frame(1) if each.purpose == purpose] for purpose in
                ("inference", "spill", "restore")}  # fmt: skip
        (spill,), (restore,) = rows["spill"], rows["restore"]
        assert (spill.position, restore.position) == (place, place + 1)
        expected = sum(-(-tensor.bits(8) // 64) * 64 for tensor in kept if tensor.writer <= place < tensor.last_reader)
        assert spill.moved_bits == restore.moved_bits == expected
        moved_ever.add(expected)
        bandwidth, port = costs.memory.dram_bandwidth_bits_per_second, costs.memory.port_bits_per_cycle
        seconds = max(expected / bandwidth, -(-expected // port) / 2e8)
        for each in (spill, restore):
            took = (each.finish_picoseconds - each.start_picoseconds) / SECOND
            assert seconds <= took <= seconds + 1 / 2e8
            assert (each.array_cycles, each.weight_bits) == (0, 0)
        # Layers before the boundary are as without preemption; those after fetch what is not on chip any more.
        first = alone.of_frame(0)
        for layer in rows["inference"]:
            like = whole[layer.position] if layer.position <= place else first[layer.position]
            assert layer[4:7] == like[4:7], layer
            assert (layer.cycles, layer.energy_joules) == (like.cycles, like.energy_joules)
        assert log.frames[-1].energy_joules == pytest.approx(sum(each.energy_joules for each in log.of_frame(1)))
    assert len(moved_ever) > 1


def test_without_buffers_no_tensor_is_moved_as_all_lie_in_dram(simulate: Any, scripted: Any) -> None:
    log = simulate(scripted(), arrivals=at(0), others=[urgent(5)])
    moves = [layer for layer in log.layers if layer.purpose != "inference"]
    assert [(each.purpose, each.moved_bits, each.cycles, each.energy_joules) for each in moves] == [
        ("spill", 0, 0, 0.0), ("restore", 0, 0, 0.0),
    ]  # fmt: skip


def test_tensors_that_are_moved_are_those_that_stay_on_chip(graph: LayerGraph, buffered: Any) -> None:
    """They fit into what is reserved for them, and reach it at the widest widths."""
    for room in (2_000, 60_000, 10**9):
        buffers = dataclasses.replace(buffered()["device_changes"]["buffers"], activation_bits=room)
        stays = on_chip(graph, buffers, inputs_per_frame=1)
        kept = kept_tensors(graph, buffers, inputs_per_frame=1)
        for site, reserved in enumerate(stays.reserved_bits):
            living = [tensor for tensor in kept if tensor.writer <= site <= tensor.last_reader]
            assert sum(tensor.bits(tensor.widest_bits) for tensor in living) == reserved
        assert all(tensor.bits(tensor.widest_bits + 1) == 0 or tensor.width_bits for tensor in kept)


def test_each_stream_is_seen_and_steered_by_a_controller_of_its_own(
    simulate: Any, scripted: Any, graph: LayerGraph
) -> None:
    def script(observation: Observation, generator: Any) -> Decision | None:
        if observation.frame is None or observation.first_uncommitted < 4:
            return None
        return Decision(widths=graph.uniform(2), reason="mid-frame")

    low, high = scripted(script=script), scripted(start=4)
    log = simulate(low, arrivals=at(0), others=[urgent(5, controller=high)])
    assert {seen.stream for seen in low.seen} == {"camera"}
    assert {seen.stream for seen in high.seen} == {"urgent"}
    assert {seen.frame for seen in low.seen} == {0}
    assert {seen.frame for seen in high.seen} == {1}
    assert {layer.weight_bits for layer in log.of_frame(1) if 0 < layer.position < 9} == {4}
    assert {layer.weight_bits for layer in log.of_frame(0) if layer.purpose == "inference"} == {8, 2}
    assert {(decision.stream, decision.frame) for decision in log.decisions[2:]} == {(0, 0)}
    assert log.telemetry[-1].wanted[0] != log.telemetry[-1].wanted[1]


def test_a_decision_binds_a_preempted_frame_from_its_first_uncommitted_layer_on(
    simulate: Any, scripted: Any, graph: LayerGraph
) -> None:
    """Between spill and restore nothing is committed, so what is decided then is what the frame resumes with."""

    def script(observation: Observation, generator: Any) -> Decision | None:
        if observation.time_picoseconds == 20 * MICROSECOND:
            assert observation.frame == 0
            return Decision(widths=graph.uniform(2), reason="while preempted")
        return None

    controller = scripted(script=script, wakes_on=frozenset({"tick"}))
    log = simulate(controller, arrivals=at(0), others=[urgent(5, controller=scripted())])
    spill = next(layer for layer in log.layers if layer.purpose == "spill")
    seen = next(seen for seen in controller.seen if seen.time_picoseconds == 20 * MICROSECOND)
    assert spill.finish_picoseconds < 20 * MICROSECOND < log.layers[-1].finish_picoseconds
    ran = [layer for layer in log.of_frame(0) if layer.purpose == "inference"]
    assert [layer.weight_bits for layer in ran[: seen.first_uncommitted]] == [8] * seen.first_uncommitted
    assert {layer.weight_bits for layer in ran[seen.first_uncommitted : 9]} == {2}
    assert next(iter(log.decisions[2:])).next_position == seen.first_uncommitted


def test_the_clock_is_the_highest_that_a_stream_requests(simulate: Any, scripted: Any) -> None:
    slow, fast = scripted(start_hertz=50_000_000), scripted(start_hertz=100_000_000)
    clocks = [
        {row.frequency_hertz for row in simulate(one, others=[{"name": "other", "controller": two}]).telemetry}
        for one, two in ((slow, fast), (fast, slow), (slow, slow), (slow, scripted()))
    ]
    assert clocks == [{100_000_000}, {100_000_000}, {50_000_000}, {50_000_000}]


def test_cycles_that_depend_on_values_are_those_of_their_own_stream(
    make_setup: Any, scripted: Any, log_class: Any
) -> None:
    array = {"array": Loom(lanes=8, columns=4, rows=4, tiles=2)}
    setup = make_setup(scripted(), arrivals=at(0), others=[urgent(5)], device_changes=array)
    log = log_class()
    bound = setup.streams[0].costs.compute_cycles[..., -1, -1]
    asked: list[list[Any]] = [[], []]

    def cycles(stream: int) -> Values:
        def taken(issued: Any) -> int:
            asked[stream].append((issued.stream, issued.frame, issued.position))
            return int(bound[issued.position]) - stream

        return Values(array_cycles=taken)

    Simulator(setup, [log], [cycles(0), cycles(1)]).run()
    assert asked == [[(stream, stream, position) for position in range(SITES)] for stream in (0, 1)]
    for layer in log.layers:
        if layer.purpose == "inference":
            assert layer.array_cycles == bound[layer.position] - layer.stream
