"""The loop around the controller: when it is asked, what it sees, what a decision costs, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import LayerGraph
from hwsim.controllers.base import Decision, Observation
from hwsim.device import DecisionCost
from hwsim.errors import InvariantError
from hwsim.pipeline import Plan
from hwsim.simulation.arrivals import PeriodicArrivals
from hwsim.simulation.randomness import generator as generator_of

MICROSECOND = 1_000_000
SITES = 10


def always(decision: Decision | None) -> Any:
    return lambda observation, generator: decision


def test_it_is_asked_at_ticks_until_the_run_has_drained(simulate: Any, scripted: Any) -> None:
    controller = scripted(wakes_on=frozenset({"tick"}), tick_picoseconds=50 * MICROSECOND)
    simulate(controller, duration_picoseconds=210 * MICROSECOND)
    # The last frame ends at 223 us; at 250 us nothing is to be decided any more.
    assert [seen.time_picoseconds // MICROSECOND for seen in controller.seen] == [50, 100, 150, 200]
    assert {seen.wake for seen in controller.seen} == {"tick"}


def test_it_is_asked_before_each_frame_and_before_each_layer(simulate: Any, scripted: Any) -> None:
    controller = scripted(wakes_on=frozenset({"frame", "layer"}))
    log = simulate(controller)
    assert [seen.wake for seen in controller.seen] == (["frame"] + ["layer"] * SITES) * 3
    assert [seen.time_picoseconds for seen in controller.seen if seen.wake == "layer"] == [
        layer.start_picoseconds for layer in log.layers
    ]
    assert {seen.first_uncommitted for seen in controller.seen if seen.wake == "frame"} == {0}


def test_it_sees_the_queue_the_frame_and_the_clock(simulate: Any, scripted: Any) -> None:
    controller = scripted(wakes_on=frozenset({"tick"}), tick_picoseconds=45 * MICROSECOND, start_hertz=125_000_000)
    simulate(
        controller,
        arrivals=PeriodicArrivals(period=20 * MICROSECOND),
        duration_picoseconds=50 * MICROSECOND,
        deadline_picoseconds=200 * MICROSECOND,
    )
    first = controller.seen[0]
    # At 45 us frame 0 (10 us of pause, 37 us of work) is on the array; those of 20 and 40 us wait.
    assert (first.frame, first.frame_deadline_picoseconds) == (0, 200 * MICROSECOND)
    assert first.queued_deadlines_picoseconds == (220 * MICROSECOND, 240 * MICROSECOND)
    assert (first.frequency_hertz, first.throttle_cap_hertz) == (125_000_000, 200_000_000)
    assert first.die_celsius == pytest.approx(30.0)
    assert first.wanted == ((8, 8),) * SITES
    assert controller.device.trip_celsius == (80.0, 85.0)


def test_a_decision_takes_effect_after_its_time_and_is_paid_for(
    simulate: Any, scripted: Any, graph: LayerGraph
) -> None:
    cost = DecisionCost(time_picoseconds=6 * MICROSECOND, energy_joules=1e-4, column=0)
    lower = Decision(widths=graph.uniform(2), reason="lower")
    tick = {"wakes_on": frozenset({"tick"}), "tick_picoseconds": 2 * MICROSECOND}
    only_once = iter([lower])
    controller = scripted(script=lambda observation, generator: next(only_once, None), **tick)
    log = simulate(controller, device_changes={"decision": cost})
    started, decided = log.decisions
    assert (started.time_picoseconds, started.effective_picoseconds, started.before) == (0, 0, ())
    assert (decided.time_picoseconds, decided.effective_picoseconds) == (2 * MICROSECOND, 8 * MICROSECOND)
    # At 8 us layer 3 runs (7.68 - 8.985 us): layer 5 is the first that can follow.
    assert [layer.weight_bits for layer in log.of_frame(0)] == [8, 8, 8, 8, 8, 2, 2, 2, 2, 8]
    quiet = simulate(scripted(**tick, script=always(None)), device_changes={"decision": cost})
    free = simulate(
        scripted(**tick), device_changes={"decision": DecisionCost(time_picoseconds=0, energy_joules=0.0, column=0)}
    )
    asked = sum(row.decisions for row in quiet.telemetry)
    assert asked == 149  # at 2, 4 ... 298 us
    # Asked and not deciding anything costs as much; hotter silicon leaks a little more.
    spent = quiet.plant.plant_energy_joules - free.plant.plant_energy_joules
    assert spent == pytest.approx(asked * 1e-4, rel=1e-3)


def test_what_a_controller_draws_moves_nothing_else(simulate: Any, scripted: Any) -> None:
    def drawing(observation: Observation, generator: np.random.Generator) -> None:
        generator.random(3)

    jittery = {"arrivals": PeriodicArrivals(period=50 * MICROSECOND, jitter=20 * MICROSECOND)}
    still, drew = simulate(scripted(), **jittery), simulate(scripted(script=drawing), **jittery)
    assert still.frames == drew.frames
    assert still.telemetry == drew.telemetry


def test_a_controller_draws_from_a_stream_of_its_own(simulate: Any, scripted: Any) -> None:
    drawn: list[float] = []
    simulate(scripted(script=lambda observation, generator: drawn.append(generator.random())), seed=5)
    assert drawn == generator_of(5, "controller").random(30).tolist()
    assert drawn[0] not in [generator_of(5, other).random() for other in ("arrivals", "inputs", "sensors")]


def test_another_controller_meets_the_same_arrivals_and_inputs(simulate: Any, scripted: Any) -> None:
    jittery = {
        "arrivals": PeriodicArrivals(period=15 * MICROSECOND, jitter=10 * MICROSECOND),
        "queue_capacity": 1,
        "inputs_per_frame": 3,
    }
    slow, fast = simulate(scripted(start=8), **jittery), simulate(scripted(start=2), **jittery)

    def what_came(log: Any) -> list[Any]:
        return sorted((frame.frame, frame.arrival_picoseconds, frame.inputs) for frame in log.frames)

    assert what_came(slow) == what_came(fast)
    assert [frame.status for frame in slow.frames] != [frame.status for frame in fast.frames]
    other_seed = simulate(scripted(start=8), **jittery, seed=2)
    assert what_came(other_seed) != what_came(slow)


def test_sensor_noise_is_the_same_under_another_controller(simulate: Any, scripted: Any, small_plan: Plan) -> None:
    noisy = small_plan.device.sensor.__class__(period_picoseconds=100 * MICROSECOND, noise=0.5)

    def noise(bits: int) -> list[float]:
        log = simulate(scripted(start=bits), device_changes={"sensor": noisy})
        return [row.die_reading_celsius - row.node_celsius[0] for row in log.telemetry[:-1]]

    assert np.std(noise(8)) > 0.1
    assert noise(8) == pytest.approx(noise(2), abs=1e-9)


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (
            Decision(widths={"stages.0.0.conv1": BitWidths(3, 3)}, reason=""),
            "controller Scripted: site 'stages.0.0.conv1' cannot run at w3a3; it allows w2a2, w4a4, w8a8",
        ),
        (Decision(widths={"stem": BitWidths(4, 4)}, reason=""), "site 'stem' cannot run at w4a4; it allows w8a8"),
        (Decision(widths={"stages.0.0.conv1": 4}, reason=""), "site 'stages.0.0.conv1' cannot run at 4"),  # type: ignore[dict-item]
        (
            Decision(widths={"stages.0.0.conv3": BitWidths(4, 4)}, reason=""),
            "controller Scripted: unknown site 'stages.0.0.conv3': did you mean 'stages.0.0.conv",
        ),
        (Decision(widths={}, frequency_hertz=0, reason=""), "controller Scripted: requests 0 Hz"),
    ],
)
def test_what_cannot_be_is_refused_by_the_controller_s_name(
    simulate: Any, scripted: Any, decision: Decision, message: str
) -> None:
    with pytest.raises(InvariantError) as caught:
        simulate(scripted(script=always(decision)))
    assert message in str(caught.value)
    assert caught.value.exit_code == 3


def test_the_first_decision_must_name_every_site(simulate: Any, scripted: Any, graph: LayerGraph) -> None:
    incomplete = {site: widths for site, widths in graph.uniform(8).items() if site != "stages.1.0.conv2"}
    with pytest.raises(InvariantError, match=r"controller Scripted: .* no widths for stages\.1\.0\.conv2$"):
        simulate(scripted(start=incomplete))


@pytest.mark.parametrize(
    ("wakes_on", "period", "message"),
    [({"tock"}, 1, "has 'tock'"), ({"tick"}, 0, "tick_picoseconds is 0"), ({"tick"}, -1, "tick_picoseconds is -1")],
)
def test_it_must_be_woken_at_times_that_exist(
    simulate: Any, scripted: Any, wakes_on: set[str], period: int, message: str
) -> None:
    with pytest.raises(InvariantError, match=message):
        simulate(scripted(wakes_on=frozenset(wakes_on), tick_picoseconds=period))
