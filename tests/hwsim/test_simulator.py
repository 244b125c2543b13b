"""Whole simulations: they drain, repeat themselves exactly, and obey the laws of work, energy and heat."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitmixer.graph import LayerGraph
from hwsim.controllers.base import Decision, Observation
from hwsim.pipeline import Plan
from hwsim.simulation.arrivals import PeriodicArrivals
from hwsim.simulation.events import Observer
from hwsim.simulation.randomness import generator
from hwsim.simulation.setup import Setup
from hwsim.simulation.simulator import Simulator

MICROSECOND = 1_000_000
SECOND = 10**12
LAWS = settings(max_examples=15, deadline=None)


def test_frames_arrive_for_the_duration_and_then_the_run_drains(simulate: Any, scripted: Any) -> None:
    log = simulate(
        scripted(),
        arrivals=PeriodicArrivals(period=MICROSECOND),
        duration_picoseconds=5 * MICROSECOND,
        queue_capacity=9,
        deadline_picoseconds=SECOND,
    )
    assert [frame.frame for frame in log.frames] == [0, 1, 2, 3, 4]
    assert log.frames[-1].finish_picoseconds == 23_570_000 + 4 * 23_135_000
    # Then on to a whole period of telemetry, 100 us.
    assert log.end == 200 * MICROSECOND == log.telemetry[-1].time_picoseconds


def test_a_run_without_a_single_frame_is_a_run(simulate: Any, scripted: Any) -> None:
    log = simulate(scripted(), arrivals=PeriodicArrivals(period=SECOND, offset=SECOND), duration_picoseconds=SECOND)
    assert (log.frames, log.layers) == ([], [])
    idle = log.telemetry[-1]
    assert idle.busy_share == 0.0
    # 0.922 W and 1.1 W at all times, and what leaks.
    assert idle.power_watts - idle.leakage_watts == pytest.approx(2.022, rel=1e-9)


def test_telemetry_comes_at_its_period_and_adds_up(simulate: Any, scripted: Any) -> None:
    log = simulate(scripted(), telemetry_picoseconds=70 * MICROSECOND)
    times = [row.time_picoseconds for row in log.telemetry]
    assert times == [70 * MICROSECOND * row for row in range(len(times))]
    assert log.end == times[-1]
    seconds = 70e-6
    busy = sum(row.busy_share for row in log.telemetry) * seconds
    assert busy == pytest.approx(sum(f.finish_picoseconds - f.start_picoseconds for f in log.frames) / SECOND)
    drawn = sum(row.power_watts for row in log.telemetry) * seconds
    assert drawn == pytest.approx(log.plant.plant_energy_joules, rel=1e-12)
    assert sum(row.decisions for row in log.telemetry) == 30


def test_every_input_of_the_test_split_comes_once_before_any_comes_again(simulate: Any, scripted: Any) -> None:
    log = simulate(scripted(), available_inputs=10, inputs_per_frame=4, duration_picoseconds=500 * MICROSECOND)
    inputs = [each for frame in log.frames for each in frame.inputs]
    assert len(inputs) == 20
    assert sorted(inputs[:10]) == sorted(inputs[10:]) == list(range(10))
    assert inputs[:10] != inputs[10:]


def test_a_device_starts_at_ambient_temperature_or_settled_while_idle(simulate: Any, scripted: Any) -> None:
    cold, settled = (simulate(scripted(), initial_state=state).telemetry for state in ("ambient", "steady_idle"))
    assert cold[0].node_celsius == (30.0, 30.0)
    # 0.922 W and the leakage p pass 5.25 K/W and 9.75 K/W on their way to the air.
    leaking = settled[0].leakage_watts or settled[1].leakage_watts
    assert settled[0].node_celsius[1] == pytest.approx(30 + 9.75 * (0.922 + leaking), abs=0.01)
    assert settled[0].node_celsius[0] == pytest.approx(30 + 15 * (0.922 + leaking), abs=0.01)


def test_progress_is_told_and_ends_at_one(make_setup: Callable[..., Setup], scripted: Any) -> None:
    shares: list[float] = []
    Simulator(make_setup(scripted()), []).run(shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_observers_hear_only_what_they_listen_to(make_setup: Callable[..., Setup], scripted: Any) -> None:
    class Counting(Observer):
        frames = 0

        def frame_ended(self, event: Any) -> None:
            self.frames += 1

    one, other = Counting(), Counting()
    Simulator(make_setup(scripted()), [one, Observer(), other]).run()
    assert (one.frames, other.frames) == (3, 3)


def test_named_streams_are_reproducible_and_differ_by_name_and_seed() -> None:
    draws = {(seed, name): generator(seed, name).random() for seed in (0, 1) for name in ("arrivals", "inputs")}
    assert len(set(draws.values())) == 4
    assert generator(1, "inputs").random() == draws[1, "inputs"]


def test_the_same_setup_gives_the_same_events_and_another_seed_others(simulate: Any, scripted: Any) -> None:
    jittery = {"arrivals": PeriodicArrivals(period=30 * MICROSECOND, jitter=20 * MICROSECOND)}
    one, again, other = (simulate(scripted(), **jittery, seed=seed) for seed in (5, 5, 6))
    for kind in ("frames", "layers", "decisions", "telemetry"):
        assert getattr(one, kind) == getattr(again, kind)
    assert one.frames != other.frames


def random_decisions(graph: LayerGraph, seed: int) -> Callable[[Observation, Any], Decision | None]:
    choose = np.random.default_rng(seed)

    def script(observation: Observation, generator: Any) -> Decision | None:
        if choose.random() < 0.7:
            return None
        widths = {layer.name: layer.allowed[int(choose.integers(len(layer.allowed)))] for layer in graph.layers}
        return Decision(widths=widths, reason="random")

    return script


@given(seed=st.integers(0, 99), period=st.integers(15, 60), inputs=st.integers(1, 3))
@LAWS
def test_work_is_what_the_cost_table_says_whatever_is_decided(
    simulate: Any, scripted: Any, graph: LayerGraph, make_setup: Any, seed: int, period: int, inputs: int
) -> None:
    controller = scripted(script=random_decisions(graph, seed))
    changes = {"arrivals": PeriodicArrivals(period=period * MICROSECOND), "inputs_per_frame": inputs, "seed": seed}
    log = simulate(controller, **changes)
    costs = make_setup(controller, **changes).streams[0].costs
    energies, cycles = costs.energy_joules.reshape(-1), costs.total_cycles[0].reshape(-1)
    for layer in log.layers:
        widths = (layer.position, *map(costs.width_index, (layer.weight_bits, layer.activation_bits)))
        following = layer.activation_bits if layer.position == 9 else layer.next_activation_bits
        row = costs.row(*widths, costs.width_index(following), int(layer.norm_reload))
        assert layer.row == row
        assert layer.cycles == cycles[row]
        assert layer.finish_picoseconds - layer.start_picoseconds == 5_000 * cycles[row]  # at 200 MHz
    for frame in log.frames:
        layers = log.of_frame(frame.frame)
        assert frame.energy_joules == pytest.approx(sum(energies[layer.row] for layer in layers), rel=1e-12)
        if frame.widths:
            assert [layer.position for layer in layers] == list(range(10))
            assert (layers[0].start_picoseconds, layers[-1].finish_picoseconds) == frame[3:5]


@given(seed=st.integers(0, 99), period=st.integers(15, 60))
@LAWS
def test_power_times_time_is_the_energy_of_the_layers_and_what_is_drawn_anyway(
    simulate: Any, scripted: Any, graph: LayerGraph, seed: int, period: int
) -> None:
    controller = scripted(script=random_decisions(graph, seed))
    log = simulate(controller, arrivals=PeriodicArrivals(period=period * MICROSECOND))
    seconds = log.end / SECOND
    leaked = sum(row.leakage_watts for row in log.telemetry) * 1e-4
    decided = 6e-5 * len(controller.seen)
    layers = sum(frame.energy_joules for frame in log.frames)
    assert log.plant.plant_energy_joules == pytest.approx(2.022 * seconds + leaked + decided + layers, rel=1e-9)
    log.plant.check_heat_balance()


def test_more_bits_are_never_cheaper_nor_faster(simulate: Any, scripted: Any, small_plan: Plan) -> None:
    logs = [simulate(scripted(start=bits)) for bits in (2, 4, 8)]
    for fewer, more in pairwise(logs):
        for low, high in zip(fewer.frames, more.frames, strict=True):
            assert low.energy_joules < high.energy_joules
            assert low.finish_picoseconds < high.finish_picoseconds
        for low, high in zip(fewer.layers, more.layers, strict=True):
            assert low.cycles <= high.cycles
        assert fewer.plant.plant_energy_joules < more.plant.plant_energy_joules
