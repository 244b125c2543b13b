"""The accelerator: when a layer's widths are fixed, and what becomes of frames."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import LayerGraph
from hwsim.controllers.base import Decision, Observation
from hwsim.simulation.arrivals import PeriodicArrivals

SITES = 10
PINNED = {0: (8, 8), 9: (8, 8)}
FIRST_THAT_CAN_CHANGE = (2, 3, 4, 5, 7, 7, 8, 10, 10, 10)
"""While each layer of the small network runs. Layer 4 drains into the joined tensor that layer 6 reads, past the
projection 5, so that from its issue 5 and 6 are fixed; layer 7 drains for the classifier, which ends all choice."""
MICROSECOND = 1_000_000


def to_bits(graph: LayerGraph, bits: int) -> Decision:
    return Decision(widths=graph.uniform(bits), reason=f"{bits} bit")


def when_issued(frame: int, position: int, decision: Decision) -> Callable[[Observation, Any], Decision | None]:
    """Return a script for ``layer`` wakes: decide as one layer of one frame is issued."""
    asked = iter(range(10**6))
    return lambda observation, generator: decision if next(asked) == frame * SITES + position else None


@pytest.mark.parametrize("position", range(SITES))
def test_a_decision_binds_what_is_not_committed_and_the_whole_next_frame(
    simulate: Any, scripted: Any, graph: LayerGraph, position: int
) -> None:
    controller = scripted(script=when_issued(0, position, to_bits(graph, 2)))
    log = simulate(controller)
    first = FIRST_THAT_CAN_CHANGE[position]
    assert first >= min(position + 2, SITES)
    for layer in log.of_frame(0):
        expected = 2 if layer.position >= first and layer.position not in PINNED else 8
        assert (layer.weight_bits, layer.activation_bits) == (expected, expected), layer.position
    for layer in log.of_frame(1):
        expected = 8 if layer.position in PINNED else 2
        assert (layer.weight_bits, layer.activation_bits) == (expected, expected), layer.position
    (decision,) = log.decisions[1:]
    assert (decision.frame, decision.next_position) == (0, first)
    assert controller.seen[position].first_uncommitted == first


@pytest.mark.parametrize("position", range(SITES))
def test_at_a_frame_boundary_no_decision_changes_a_frame_that_runs(
    simulate: Any, scripted: Any, graph: LayerGraph, position: int
) -> None:
    controller = scripted(script=when_issued(0, position, to_bits(graph, 2)))
    log = simulate(controller, decisions="frame_boundary")
    assert {layer.weight_bits for layer in log.of_frame(0)} == {8}
    assert {layer.weight_bits for layer in log.of_frame(1) if layer.position not in PINNED} == {2}
    assert log.decisions[1].next_position == SITES == controller.seen[position].first_uncommitted


def test_a_committed_layer_ignores_later_decisions_but_the_last_one_before_it_counts(
    simulate: Any, scripted: Any, graph: LayerGraph
) -> None:
    sequence = {1: 4, 2: 2, 4: 8}
    asked = iter(range(10**6))

    def script(observation: Observation, generator: Any) -> Decision | None:
        bits = sequence.get(next(asked))
        return None if bits is None else to_bits(graph, bits)

    widths = [layer.weight_bits for layer in simulate(scripted(script=script)).of_frame(0)]
    #                 1: fixed at 0 | 3: 4 bit decided during 1 | 4..6: 2 bit during 2 | 7, 8: 8 bit during 4
    assert widths == [8, 8, 8, 4, 2, 2, 2, 8, 8, 8]


def test_what_a_decision_does_not_name_stays(simulate: Any, scripted: Any, graph: LayerGraph) -> None:
    only = Decision(widths={"stages.1.0.conv2": BitWidths(4, 4)}, reason="one site")
    log = simulate(scripted(script=when_issued(0, 0, only)))
    assert [layer.weight_bits for layer in log.of_frame(0)] == [8, 8, 8, 8, 4, 8, 8, 8, 8, 8]


@given(moments=st.lists(st.tuples(st.integers(0, 70), st.sampled_from([2, 4, 8])), max_size=12))
@settings(max_examples=25, deadline=None)
def test_results_drain_at_the_width_at_which_their_key_consumer_then_runs(
    simulate: Any, scripted: Any, graph: LayerGraph, moments: list[tuple[int, int]]
) -> None:
    at = dict(moments)
    asked = iter(range(10**6))
    choose = np.random.default_rng(0)

    def script(observation: Observation, generator: Any) -> Decision | None:
        bits = at.get(next(asked))
        some = {layer.name for layer in graph.layers if choose.random() < 0.5}
        return (
            None
            if bits is None
            else Decision(
                widths={site: pair for site, pair in graph.uniform(bits).items() if site in some}, reason="some"
            )
        )

    arrivals = PeriodicArrivals(period=20 * MICROSECOND)
    log = simulate(scripted(script=script, wakes_on=frozenset({"tick"})), arrivals=arrivals)
    ran = {(layer.frame, layer.position): (layer.weight_bits, layer.activation_bits) for layer in log.layers}
    for issued in log.issued:
        assert ran[issued.frame, issued.position] == issued.widths
        consumer = graph.layers[issued.position].key_consumer
        if consumer is not None:
            assert ran[issued.frame, graph.index[consumer]] == issued.consumer_widths
    for frame in log.frames:
        if frame.widths:
            assert frame.widths == tuple(ran[frame.frame, position] for position in range(SITES))


def test_norm_parameters_are_fetched_again_only_where_the_transition_changed(
    simulate: Any, scripted: Any, graph: LayerGraph
) -> None:
    only = Decision(widths={"stages.1.0.conv2": BitWidths(4, 4)}, reason="one site")
    log = simulate(scripted(script=when_issued(1, 9, only)))
    assert all(layer.norm_reload for layer in log.of_frame(0))  # nothing is on chip at first
    assert not any(layer.norm_reload for layer in log.of_frame(1))
    # Layer 4 itself, and layer 3, which drains for it.
    assert [layer.position for layer in log.of_frame(2) if layer.norm_reload] == [3, 4]


def test_four_outcomes_of_frames_that_come_faster_than_they_are_done(simulate: Any, scripted: Any) -> None:
    """A frame takes 23.135 us, the first 23.570 us since it fetches its norms; they come every 10 us."""
    log = simulate(
        scripted(),
        arrivals=PeriodicArrivals(period=10 * MICROSECOND),
        duration_picoseconds=100 * MICROSECOND,
        deadline_picoseconds=40 * MICROSECOND,
    )
    found = {frame.frame: (frame.status, frame.start_picoseconds, frame.finish_picoseconds) for frame in log.frames}
    assert found == {
        0: ("on_time", 0, 23_570_000),
        1: ("on_time", 23_570_000, 46_705_000),
        2: ("late", 46_705_000, 69_840_000),
        3: ("late", 69_840_000, 92_975_000),
        4: ("dropped_queue", -1, 40_000_000),
        5: ("dropped_deadline", -1, 92_975_000),  # due at 90 us
        6: ("dropped_queue", -1, 60_000_000),
        7: ("late", 92_975_000, 116_110_000),
        8: ("dropped_queue", -1, 80_000_000),
        9: ("dropped_queue", -1, 90_000_000),
    }
    dropped = [frame for frame in log.frames if frame.start_picoseconds < 0]
    assert all(frame.widths == () and frame.energy_joules == 0.0 for frame in dropped)
    assert {layer.frame for layer in log.layers} == {0, 1, 2, 3, 7}


def test_expired_frames_run_where_the_queue_keeps_them(simulate: Any, scripted: Any) -> None:
    log = simulate(
        scripted(),
        arrivals=PeriodicArrivals(period=10 * MICROSECOND),
        duration_picoseconds=100 * MICROSECOND,
        deadline_picoseconds=40 * MICROSECOND,
        drop_expired=False,
    )
    (fifth,) = [frame for frame in log.frames if frame.frame == 5]
    assert (fifth.status, fifth.start_picoseconds, fifth.finish_picoseconds) == ("late", 92_975_000, 116_110_000)


@pytest.mark.parametrize(("deadline", "status"), [(23_570_000, "on_time"), (23_569_999, "late")])
def test_a_frame_that_ends_at_its_deadline_is_on_time(simulate: Any, scripted: Any, deadline: int, status: str) -> None:
    assert simulate(scripted(), deadline_picoseconds=deadline).frames[0].status == status


@pytest.mark.parametrize(("deadline", "status"), [(13_570_000, "late"), (13_569_999, "dropped_deadline")])
def test_a_waiting_frame_is_dropped_only_after_its_deadline(
    simulate: Any, scripted: Any, deadline: int, status: str
) -> None:
    """The frame that comes at 10 us is taken up at 23.57 us."""
    arrivals = PeriodicArrivals(period=10 * MICROSECOND)
    log = simulate(scripted(), arrivals=arrivals, deadline_picoseconds=deadline)
    assert next(frame.status for frame in log.frames if frame.frame == 1) == status


@given(
    period=st.integers(5, 40), jitter=st.integers(0, 5), capacity=st.integers(1, 4), drop_expired=st.booleans(),
    deadline=st.integers(1, 120), seed=st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_one_frame_at_a_time_in_the_order_of_arrival(
    simulate: Any, scripted: Any, period: int, jitter: int, capacity: int, drop_expired: bool, deadline: int, seed: int
) -> None:
    log = simulate(
        scripted(),
        arrivals=PeriodicArrivals(period=period * MICROSECOND, jitter=jitter * MICROSECOND),
        deadline_picoseconds=deadline * MICROSECOND,
        queue_capacity=capacity,
        drop_expired=drop_expired,
        seed=seed,
    )
    assert sorted(frame.frame for frame in log.frames) == list(range(len(log.frames)))
    ran = [frame for frame in log.frames if frame.status in {"on_time", "late"}]
    assert ran
    assert [frame.frame for frame in ran] == sorted(frame.frame for frame in ran)
    assert all(before.finish_picoseconds <= after.start_picoseconds for before, after in pairwise(ran))
    assert all(before.finish_picoseconds <= after.start_picoseconds for before, after in pairwise(log.layers))
    for frame in log.frames:
        assert frame.status != "dropped_deadline" or (
            drop_expired and frame.finish_picoseconds > frame.deadline_picoseconds
        )
        assert frame.status != "late" or frame.finish_picoseconds > frame.deadline_picoseconds
        assert frame.status != "on_time" or frame.finish_picoseconds <= frame.deadline_picoseconds
        assert frame.start_picoseconds < 0 or frame.start_picoseconds >= frame.arrival_picoseconds
        assert frame.deadline_picoseconds == frame.arrival_picoseconds + deadline * MICROSECOND
