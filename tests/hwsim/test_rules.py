"""The rules that decide at run time, against their laws and on devices made by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitmixer.bitwidths import BitAssignment
from hwsim.controllers import build_controller
from hwsim.controllers.actions import LadderOptions, RewardOptions, build_ladder, frame_worth
from hwsim.controllers.base import (
    Controller,
    Decision,
    FinishedFrame,
    Observation,
    ProbeResult,
)
from hwsim.controllers.deadlines import SLACK
from hwsim.controllers.modes import cooling_modes
from hwsim.controllers.mpc import _Step
from hwsim.controllers.rate import UNSEEN
from hwsim.plant.thermal import ThermalNetwork
from hwsim.plant.throttling import PollPeriods, Reading, StepWise, StepWiseTrip
from hwsim.testing import views

SECOND = 10**12
DEVICE, NETWORK = views("thermal_throttle")
LADDER = build_ladder(LadderOptions(), DEVICE, NETWORK)
TRIP = DEVICE.trip_celsius[0]
RUNGS = len(LADDER)


def seen(seconds: float, celsius: float | None = 50.0, **changes: Any) -> Observation:
    fastest = DEVICE.frequencies_hertz[0]
    fields: dict[str, Any] = {
        "time_picoseconds": round(seconds * SECOND), "wake": "tick", "die_celsius": celsius, "die_age_picoseconds": 0,
        "frequency_hertz": fastest, "throttle_cap_hertz": fastest, "queued_deadlines_picoseconds": (), "frame": None,
        "frame_deadline_picoseconds": None, "first_uncommitted": 0, "wanted": (), "confidences": (),
    }  # fmt: skip
    return Observation(**fields | changes)


def finished(frame: int, rung: int, *, on_time: bool = True) -> FinishedFrame:
    return FinishedFrame(
        frame=frame, widths=tuple(LADDER.assignments[rung].values()), inputs=28, on_time=on_time,
        latency_picoseconds=SECOND // 50, service_picoseconds=SECOND // 50, energy_joules=float(LADDER.joules[rung]),
    )  # fmt: skip


class Driven:
    """A rule that is shown one observation after another."""

    def __init__(self, name: str, options: dict[str, Any] | None = None, seed: int = 0) -> None:
        self.rule: Controller = build_controller(name, options or {})
        self.decision, self.state = self.rule.init(DEVICE, NETWORK)
        self.widths = dict(self.decision.widths)
        self.hertz = self.decision.frequency_hertz or DEVICE.frequencies_hertz[0]
        self._generator = np.random.default_rng(seed)

    def show(self, observation: Observation) -> Decision | None:
        decision, self.state = self.rule.decide(observation, self.state, self._generator)
        if decision is not None:
            self.widths |= decision.widths
            self.hertz = decision.frequency_hertz or self.hertz
        return decision

    @property
    def rung(self) -> int:
        return LADDER.assignments.index(BitAssignment(self.widths))


def test_the_ladder_goes_down_in_energy_and_between_widths_step_by_step() -> None:
    ladder = build_ladder(LadderOptions(steps=3), DEVICE, NETWORK)
    assert len(ladder) == RUNGS + 3 * (RUNGS - 1)
    assert np.all(np.diff(ladder.joules) < 0)
    assert np.all(np.diff(ladder.accuracies) <= 0)
    assert [ladder.rung(tuple(each.values())) for each in ladder.assignments] == list(range(len(ladder)))
    for assignment, seconds in zip(ladder.assignments, ladder.seconds, strict=True):
        for clock, hertz in enumerate(DEVICE.frequencies_hertz):
            assert seconds[clock] == NETWORK.costs.frame_cycles(assignment, clock) / hertz


def test_a_frame_is_worth_its_accuracy_less_energy_and_heat() -> None:
    options = RewardOptions(energy_weight=0.1, heat_weight=0.05)
    given_ = finished(0, 0)
    worth = frame_worth(options, LADDER, DEVICE, given_, accuracy=0.9, celsius=TRIP + 2)
    assert worth == pytest.approx(0.9 - 0.1 - 0.1)
    late = dataclasses.replace(given_, on_time=False)
    assert frame_worth(options, LADDER, DEVICE, late, accuracy=0.9, celsius=None) == pytest.approx(-0.1)


def test_frames_per_second_follow_what_comes() -> None:
    rate = UNSEEN
    for step in range(1, 400):
        came = (finished(step, 0),) * (3 if step < 200 else 1)
        rate = rate.after(seen(step / 10, finished=came), time_constant_seconds=1.0)
        if step == 199:
            assert rate.per_second == pytest.approx(30.0)
    assert rate.per_second == pytest.approx(10.0, rel=1e-6)


def test_pid_takes_fewer_bits_the_hotter_it_is_and_forgets_no_more_than_a_second_of_heat() -> None:
    driven = Driven("pid")
    rungs = []
    for step in range(1, 61):
        driven.show(seen(step / 2, TRIP + 5))
        rungs.append(driven.rung)
    assert rungs == sorted(rungs)
    assert rungs[-1] == RUNGS - 1
    driven.show(seen(31, TRIP - 30))
    assert driven.rung == 0, "integration stopped at the end of the ladder: no wind-up"
    before = driven.rung
    assert driven.show(seen(32, None)) is None
    assert driven.rung == before


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(TRIP - 12, TRIP + 4), min_size=1, max_size=40))
def test_step_wise_is_the_kernels_law(readings: list[float]) -> None:
    driven, modes = Driven("step_wise"), cooling_modes(LADDER)
    trip = StepWiseTrip(
        temperature_millicelsius=round((TRIP - 5) * 1000), hysteresis_millicelsius=2000, lower=0, upper=len(modes) - 1
    )
    law = StepWise(
        trips=(trip,), frequencies_hertz=tuple(range(len(modes), 0, -1)),
        periods=PollPeriods(idle_picoseconds=SECOND, passive_picoseconds=SECOND),
    )  # fmt: skip
    state = law.init()
    for step, celsius in enumerate(readings, start=1):
        state, _ = law.poll(Reading(millicelsius=round(celsius * 1000)), state)
        driven.show(seen(step, celsius))
        rung, clock = modes[state.cooling_state]
        assert (driven.rung, driven.hertz) == (rung, DEVICE.frequencies_hertz[clock])


@pytest.mark.parametrize("name", ["step_wise", "power_allocator"])
def test_with_one_width_they_move_the_clock_alone(name: str) -> None:
    driven = Driven(name, {"rungs": [8]})
    clocks = set()
    for step in range(1, 40):
        driven.show(seen(step, TRIP - 10 + step if step < 20 else TRIP - step, finished=(finished(0, 0),) * 20))
        assert driven.rung == 0
        clocks.add(driven.hertz)
    assert len(clocks) > 1
    assert driven.hertz == DEVICE.frequencies_hertz[0]


HEEDING = ("pid", "step_wise", "power_allocator")


@pytest.mark.parametrize("name", HEEDING)
@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.floats(TRIP - 30, TRIP + 15), min_size=1, max_size=8),
    st.lists(st.floats(0.002, 0.2), min_size=1, max_size=5),
)
def test_where_deadlines_are_heeded_no_frame_is_late_that_need_not_be(
    name: str, readings: list[float], lefts: list[float]
) -> None:
    driven = Driven(name, {"heeds_deadlines": True})
    assert driven.rule.wakes_on == {"tick", "frame"}
    busy = (finished(0, 0),) * 20
    for step, celsius in enumerate(readings, start=1):
        before = (driven.rung, driven.hertz)
        driven.show(seen(step, celsius, finished=busy))
        assert (driven.rung, driven.hertz) == before, "it changes before frames alone"
    now = len(readings) * SECOND
    left = np.sort(lefts)
    driven.show(
        seen(len(readings), None, wake="frame", queued_deadlines_picoseconds=tuple(now + np.int64(left * SECOND)))
    )
    seconds = SLACK * LADDER.seconds
    clock = DEVICE.frequencies_hertz.index(driven.hertz)
    waits = np.arange(1, len(left) + 1)
    if np.all(seconds.min() * waits <= left):
        assert np.all(seconds[driven.rung, clock] * waits <= left * (1 + 1e-9))
    else:
        assert seconds[driven.rung, clock] == seconds.min()


@pytest.mark.parametrize("name", HEEDING)
def test_heat_decides_again_when_there_is_time(name: str) -> None:
    heeding, plain = Driven(name, {"heeds_deadlines": True}), Driven(name)
    busy = (finished(0, 0),) * 20
    for step in range(1, 12):
        for driven in (heeding, plain):
            driven.show(seen(step, TRIP + 4, finished=busy))
        due = round((step + 100.0) * SECOND)
        heeding.show(seen(step, TRIP + 4, wake="frame", frame=step, frame_deadline_picoseconds=due))
        assert (heeding.rung, heeding.hertz) == (plain.rung, plain.hertz)


def test_power_allocator_spends_less_the_hotter_it_is_and_all_when_cool() -> None:
    driven = Driven("power_allocator")
    busy = (finished(0, 0),) * 15  # 30 frames/s
    joules = []
    for celsius in (TRIP - 25, TRIP - 3, TRIP, TRIP + 3):
        driven.show(seen(0.5 * (len(joules) + 1), celsius, finished=busy))
        joules.append(LADDER.joules[driven.rung])
    assert joules == sorted(joules, reverse=True)
    assert joules[0] == LADDER.joules[0] > joules[-1]


def test_schedutil_takes_the_most_bits_that_leave_a_quarter_to_spare() -> None:
    clocks = DEVICE.frequencies_hertz
    for per_second in (1, 5, 20, 30, 60):
        for cap in clocks:
            driven = Driven("schedutil", {"average_milliseconds": 1})
            driven.show(seen(1, throttle_cap_hertz=cap, finished=(finished(0, 0),) * per_second))
            wanted = 1.25 * clocks[0] * per_second * LADDER.seconds[:, 0]
            fits = [rung for rung in range(RUNGS) if wanted[rung] <= cap]
            assert driven.rung == (fits[0] if fits else RUNGS - 1)
            slowest = min((hertz for hertz in clocks if fits and hertz >= wanted[fits[0]]), default=cap)
            assert driven.hertz == slowest


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0.001, 0.4), min_size=1, max_size=4), st.integers(0, 1))
def test_deadline_greedy_is_what_trying_every_rung_gives(lefts: list[float], clock: int) -> None:
    driven = Driven("deadline_greedy")
    due = [round(each * SECOND) for each in sorted(lefts)]
    hertz = DEVICE.frequencies_hertz[clock]
    driven.show(
        seen(0, frame=3, frame_deadline_picoseconds=due[0], queued_deadlines_picoseconds=tuple(due[1:]),
             throttle_cap_hertz=hertz)
    )  # fmt: skip
    good = [
        rung for rung in range(RUNGS)
        if all(1.1 * LADDER.seconds[rung, clock] * (at + 1) <= each / SECOND for at, each in enumerate(due))
    ]  # fmt: skip
    assert driven.rung == (good[0] if good else RUNGS - 1)


def test_the_model_of_heat_is_the_plants_own(small_plan: Any) -> None:
    network: ThermalNetwork = small_plan.device.thermal_network
    assert DEVICE.heat is not None
    quiet = dataclasses.replace(DEVICE.heat, leakage_watts=0.0)
    powers = np.linspace(0.1, 1.0, len(network.nodes))
    rise = np.linspace(0.0, 20.0, len(network.nodes))
    ahead = _Step(quiet, 7.5).ahead(25.0 + rise, powers, 25.0)
    modes = network.modes
    rates, load = modes.rates_per_second, modes.shapes.T @ (powers + DEVICE.heat.constant_watts)
    kept = np.exp(-rates * 7.5)
    expected = modes.shapes @ (kept * (modes.projection @ rise) + (1 - kept) / rates * load)
    np.testing.assert_allclose(ahead, 25.0 + expected, rtol=0, atol=1e-9)


def lived_through(
    rule: str, options: dict[str, Any], *, ambient: float, resistance: float, seconds: int = 900
) -> list[float]:
    """Return the die's temperatures at 30 frames/s, in a world whose cooling may be poorer than the profile's."""
    assert DEVICE.heat is not None
    heat = dataclasses.replace(
        DEVICE.heat, conductances_watts_per_kelvin=DEVICE.heat.conductances_watts_per_kelvin / resistance
    )
    driven, step, noise = Driven(rule, options), _Step(heat, 0.5), np.random.default_rng(1)
    nodes = ambient + step.settled_rise(np.full(len(heat.constant_watts), ambient))
    table = NETWORK.costs.node_energy_joules[..., :-1]
    shares = table.reshape(-1, table.shape[-1]).sum(axis=0) / NETWORK.costs.energy_joules.sum()
    temperatures = []
    for tick in range(1, 2 * seconds):
        clock = DEVICE.frequencies_hertz.index(driven.hertz)
        done = min(30.0, 1.0 / LADDER.seconds[driven.rung, clock])
        scale = DEVICE.energy_scales[clock]
        nodes = step.ahead(nodes, done * scale * LADDER.joules[driven.rung] * shares, ambient)
        reading = nodes[heat.sensor_node] + noise.normal(0.0, 0.3)
        frames = tuple(finished(tick * 15 + each, driven.rung) for each in range(round(done / 2)))
        driven.show(seen(tick / 2, float(reading), finished=frames))
        temperatures.append(float(nodes[heat.sensor_node]))
    return temperatures


@pytest.mark.parametrize("resistance", [1.0, 1.15])
@pytest.mark.parametrize(("rule", "options"), [("mpc", {"energy_weight": 0.0}), ("pid", {})])
def test_rules_on_temperature_stay_below_the_trip_where_the_most_bits_would_not(
    rule: str, options: dict[str, Any], resistance: float
) -> None:
    hot = 50.0 / resistance
    assert max(lived_through("static", {}, ambient=hot, resistance=resistance)) > TRIP
    temperatures = lived_through(rule, options, ambient=hot, resistance=resistance)
    assert max(temperatures) < TRIP + 0.5
    assert np.mean(temperatures[-400:]) > TRIP - 8, "no cooler than need be"


@pytest.mark.parametrize("rule", ["linucb", "thompson", "epsilon_greedy", "linucb_probe"])
def test_bandits_leave_a_rung_that_is_always_late_and_find_the_best_of_the_others(rule: str) -> None:
    driven = Driven(rule, {"energy_weight": 0.0})
    chosen: list[int] = []
    late = {0, 1}
    for frame in range(400):
        done = (finished(frame - 1, chosen[-1], on_time=chosen[-1] not in late),) if chosen else ()
        driven.show(seen(frame / 30, wake="frame", frame=frame, finished=done))
        chosen.append(driven.rung)
    assert np.mean([rung in late for rung in chosen[-200:]]) < 0.1
    assert np.bincount(chosen[-200:]).argmax() == 2


def test_q_learning_leaves_a_rung_that_is_always_late() -> None:
    driven = Driven("q_learning", {"energy_weight": 0.0, "learning_rate": 0.3, "discount": 0.5})
    chosen: list[int] = []
    for tick in range(1, 2000):
        done = tuple(finished(0, chosen[-1], on_time=chosen[-1] != 0) for _ in range(3)) if chosen else ()
        driven.show(seen(tick / 2, finished=done))
        chosen.append(driven.rung)
    assert np.mean([rung == 0 for rung in chosen[-500:]]) < 0.1


def test_probes_are_asked_for_while_unsure_and_tell_what_bits_are_worth() -> None:
    driven = Driven("linucb_probe", {"optimism": 0.0, "energy_weight": 0.2})
    agreement = {rung: (1.0, 0.97, 0.9, 0.5)[rung] for rung in range(RUNGS)}
    asked, chosen, told = [], [0], []
    for frame in range(300):
        decision = driven.show(
            seen(frame / 30, wake="frame", frame=frame, probes=tuple(told), finished=(finished(frame - 1, chosen[-1]),))
        )
        told = []
        asked.append(decision is not None and decision.probe is not None)
        chosen.append(driven.rung)
        if asked[-1]:
            widths = tuple(LADDER.assignments[chosen[-1]].values())
            agreeing = round(28 * agreement[chosen[-1]])
            told = [ProbeResult(frame=frame, widths=widths, inputs=28, agreeing=agreeing)]
    assert any(asked[:20])
    assert sum(asked[-100:]) < sum(asked[:100]) + 1
    worth = [agreement[rung] - 0.2 * LADDER.joules[rung] / LADDER.joules[0] for rung in range(RUNGS)]
    assert np.bincount(chosen[-100:]).argmax() == int(np.argmax(worth))
