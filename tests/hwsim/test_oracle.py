"""No choice that is tried out is worth more than the oracle's bound; without heat and haste one is worth as much."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim import pipeline
from hwsim.attainable import machine
from hwsim.controllers.actions import LadderOptions, build_ladder
from hwsim.controllers.base import NetworkView
from hwsim.oracle import Frames, Heat, Trip, least_warming, most_worth
from hwsim.plant.thermal import ThermalNetwork
from hwsim.records.store import RunFolder, numbers
from hwsim.simulation.control import device_view

PERIOD, STEP = 0.5, 0.01
FAST_SECONDS, JOULES = np.array([0.4, 0.1]), np.array([4.0, 0.5])
SLOWER = 2.0
FRAMES = 8
CHOICES = np.array(list(itertools.product((0, 1, 2), repeat=FRAMES)))
"""Of each frame a rung, or 2: it is not run."""


def frames_of(worth: Any, *, block: float = 1.0, elsewhere: float | None = None) -> Frames:
    """Return one frame each half second, that has until the next one comes; modes are (rung, clock).

    Its joules are spent in one node, or but for a share ``elsewhere`` of them, which another gets.
    """
    spent = np.repeat(JOULES, 2)[:, None]
    deadlines = PERIOD * (1 + np.arange(len(worth)))
    return Frames(
        block=(deadlines / block).astype(np.intp), count=np.ones(len(worth)),
        worth=np.repeat(np.asarray(worth, dtype=float), 2, axis=1), rung=np.array([0, 0, 1, 1]),
        seconds=np.array([FAST_SECONDS[0], SLOWER * FAST_SECONDS[0], FAST_SECONDS[1], SLOWER * FAST_SECONDS[1]]),
        joules=spent if elsewhere is None else spent * [1.0 - elsewhere, elsewhere],
        block_seconds=block, allowed_seconds=PERIOD,
    )  # fmt: skip


def lived_through(
    worth: np.ndarray, network: ThermalNetwork, trip: float, resume: float, elsewhere: float = 0.0
) -> np.ndarray:
    """Return what each of ``CHOICES`` is worth, the first node polled every ``STEP`` and capped with hysteresis."""
    count, nodes = len(CHOICES), len(network.nodes)
    rises, capped, total = np.zeros((count, nodes)), np.zeros(count, dtype=bool), np.zeros(count)
    rates, shapes, projection, _ = network.modes
    kept = shapes * np.exp(-STEP * rates) @ projection
    gained = shapes * (-np.expm1(-STEP * rates) / rates) @ shapes.T
    spent_in = np.array([1.0 - elsewhere, elsewhere])[:nodes]
    seconds, joules = np.append(FAST_SECONDS, np.inf), np.append(JOULES, 0.0)
    for frame in range(FRAMES):
        chosen = CHOICES[:, frame]
        left = np.where(chosen == 2, np.inf, 1.0)
        for _ in range(round(PERIOD / STEP)):
            capped = np.where(capped, rises[:, 0] >= resume, rises[:, 0] >= trip)
            share = STEP / seconds[chosen] / np.where(capped, SLOWER, 1.0)
            share = np.where(left > 1e-9, np.minimum(share, left), 0.0)
            left = left - np.where(np.isfinite(left), share, 0.0)
            watts = np.where(chosen == 2, 0.0, share * joules[chosen]) / STEP
            rises = rises @ kept.T + (watts[:, None] * spent_in) @ gained.T
        done = left < 1e-6
        total += np.where(done, worth[frame, np.minimum(chosen, 1)], 0.0)
    return total


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1), st.floats(0.1, 2.0), st.floats(0.1, 10.0), st.floats(0.1, 3.0), st.floats(0.1, 2.0),
    st.floats(0.0, 1.0),
)  # fmt: skip
def test_the_die_is_never_cooler_than_the_program_has_it(
    seed: int, die: float, board: float, between: float, to_air: float, elsewhere: float
) -> None:
    network, luck = two_nodes(die, board, between, to_air), np.random.default_rng(seed)
    frames = frames_of(np.ones((FRAMES, 2)), elsewhere=elsewhere)
    kept, added = least_warming(frames, heat_of(network, 1.0))
    rise, warmth, of_block = np.zeros(2), np.zeros(2), np.zeros(2)
    spent_in = np.array([1.0 - elsewhere, elsewhere])
    for frame, rung in enumerate(luck.integers(3, size=FRAMES)):
        runs = rung < 2
        busy = FAST_SECONDS[rung] if runs else 0.0
        before = luck.uniform(0.0, PERIOD - busy)
        watts = np.outer([0.0, JOULES[rung] / busy if runs else 0.0, 0.0], spent_in)
        rise, _ = network.advance(rise, np.array([before, busy, PERIOD - before - busy]), watts)
        if frame and frames.block[frame] > frames.block[frame - 1]:  # its deadline, which is now, begins the block
            warmth, of_block = kept * warmth + of_block, np.zeros(2)
            assert warmth.sum() <= rise[0] + 1e-9
        if runs:
            of_block = of_block + added[2 * rung]


def two_nodes(die: float, board: float, between: float, to_air: float) -> ThermalNetwork:
    return ThermalNetwork(
        nodes=("die", "board"), capacities_joules_per_kelvin=np.array([die, board]),
        conductances_watts_per_kelvin=np.array([[0.0, between], [between, 0.0]]),
        ambient_conductances_watts_per_kelvin=np.array([0.0, to_air]),
    )  # fmt: skip


def heat_of(network: ThermalNetwork, trip: float) -> Heat:
    """Return what the program is told of a device that is watched at its first node, counted from rest."""
    rates, shapes, _, _ = network.modes
    return Heat(
        resting_celsius=np.zeros(FRAMES), hottest_celsius=np.full(FRAMES, np.inf), rates_per_second=rates,
        responses_kelvin_per_joule=shapes[0][:, None] * shapes.T,
        trips=(Trip(celsius=trip, slower=np.array([False, True, False, True])),), grace_seconds=STEP,
    )  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 2.0), st.floats(1.0, 8.0), st.floats(1.0, 6.0), st.floats(0.0, 3.0))
def test_no_decisions_on_a_device_that_throttles_are_worth_more(
    seed: int, capacity: float, resistance: float, trip: float, spare: float
) -> None:
    worth = np.random.default_rng(seed).random((FRAMES, 2)) + np.array([0.5, 0.0])
    frames = frames_of(worth)
    # Within a block a capped device must not cool to where the cap ends.
    most_watts = (JOULES / FAST_SECONDS).max()
    falls = most_watts * resistance * (1.0 - np.exp(-frames.block_seconds / (capacity * resistance)))
    network = ThermalNetwork(
        nodes=("die",), capacities_joules_per_kelvin=np.array([capacity]),
        conductances_watts_per_kelvin=np.zeros((1, 1)),
        ambient_conductances_watts_per_kelvin=np.array([1 / resistance]),
    )  # fmt: skip
    bound = most_worth(frames, heat_of(network, trip))
    best = lived_through(worth, network, trip, trip - falls - spare).max()
    assert best <= bound + 1e-6
    assert bound <= most_worth(frames) + 1e-6


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32 - 1), st.floats(0.3, 1.0), st.floats(1.0, 10.0), st.floats(0.2, 2.0), st.floats(0.1, 1.0),
    st.floats(1.0, 8.0), st.floats(0.0, 1.0),
)  # fmt: skip
def test_so_it_is_where_another_node_is_heated(
    seed: int, die: float, board: float, between: float, to_air: float, trip: float, elsewhere: float
) -> None:
    worth = np.random.default_rng(seed).random((FRAMES, 2)) + np.array([0.5, 0.0])
    frames = frames_of(worth, elsewhere=elsewhere)
    network = two_nodes(die, board, between, to_air)
    # A cap that never ends, whatever the cooling.
    best = lived_through(worth, network, trip, -np.inf, elsewhere).max()
    assert best <= most_worth(frames, heat_of(network, trip)) + 1e-6


def test_heat_that_bars_the_dear_rung_is_in_the_bound() -> None:
    worth = np.tile([1.0, 0.6], (200, 1))
    frames = frames_of(worth)
    steady = 5.0 * 8.0  # kelvin, of the dear rung in every period: 8 W through 5 K/W
    heat = Heat(
        resting_celsius=np.zeros(200), hottest_celsius=np.full(200, 12.0), rates_per_second=np.array([0.2]),
        responses_kelvin_per_joule=np.array([[1.0]]),
        trips=(Trip(celsius=10.0, slower=np.array([False, True, False, True])),), grace_seconds=0.0,
    )  # fmt: skip
    share = 10.0 / steady  # of frames that can be dear in the long run
    bound = most_worth(frames, heat) / 200
    assert most_worth(frames) / 200 == pytest.approx(1.0)
    assert share + 0.6 * (1 - share) < bound < 0.9


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_where_there_is_time_each_frames_best_is_exact(seed: int, count: int) -> None:
    worth = np.random.default_rng(seed).random((count, 2))
    assert most_worth(frames_of(worth)) == pytest.approx(worth.max(axis=1).sum())


def test_work_that_does_not_fit_is_in_the_bound() -> None:
    worth = np.tile([1.0, 0.4], (80, 1))
    frames = frames_of(worth)
    thrice = Frames(
        block=frames.block, count=3 * frames.count, worth=frames.worth, rung=frames.rung, seconds=frames.seconds,
        joules=frames.joules, block_seconds=1.0, allowed_seconds=PERIOD,
    )  # fmt: skip
    # Three frames come in the time of 1.25 dear ones: x dear and the others cheap fill it, 0.4 x + 0.1 (3 - x) = 0.5.
    dear = (PERIOD - 0.3) / 0.3
    bound = most_worth(thrice) / 80
    assert dear + 0.4 * (3 - dear) <= bound < 1.05 * (dear + 0.4 * (3 - dear))


@pytest.fixture(scope="module")
def hot() -> list[str]:
    ambient = "environment.ambient={kind: constant, temperature: 62 degC}"
    return ["outputs=none", "duration=40 s", ambient]


@pytest.mark.parametrize("controller", ["static", "static:bits=3", "hysteresis", "step_wise", "mpc", "schedutil"])
def test_no_rule_in_a_hot_box_is_worth_more(controller: str, hot: list[str], tmp_path: Path) -> None:
    planned = pipeline.plan("thermal_throttle", controller=controller, sets=hot)
    pipeline.run(planned, tmp_path / "run", figures=False)
    stream = planned.streams[0]
    network = NetworkView(graph=stream.checkpoint.graph, costs=stream.costs)
    ladder = build_ladder(LadderOptions(), device_view(planned.device), network)
    accuracies = np.array([0.95, 0.6, 0.5, 0.2])
    records = RunFolder(tmp_path / "run")
    columns = ["arrival_picoseconds", "deadline_picoseconds"]
    arrivals, deadlines = (numbers(records.table("frames", columns).column(each)) / 1e12 for each in columns)
    limits = machine(planned, 0, ladder, price_per_joule=0.0, end_seconds=float(deadlines.max()))
    assert limits.heat is not None
    worth = np.tile(accuracies, (len(arrivals), 1))
    allowed = float((deadlines - arrivals).max())
    bound = limits.bound(worth, deadlines, allowed)
    free = dataclasses.replace(limits, heat=None).bound(worth, deadlines, allowed)
    bits = records.summary["mean_weight_bits"]
    realised = (1.0 - records.summary["deadline_miss_rate"]) * np.interp(bits, [2, 3, 4, 8], accuracies[::-1])
    assert realised <= bound < free
    # The die's true temperature never exceeds what bounds it.
    telemetry = records.table("telemetry", ["time_picoseconds", "junction_celsius"])
    time, celsius = numbers(telemetry.column(0)) / 1e12, numbers(telemetry.column(1))
    begins = np.searchsorted(time, np.arange(len(limits.heat.resting_celsius)) * limits.block_seconds)
    inside = begins[begins < len(celsius)]
    assert np.all(celsius[inside] >= limits.heat.resting_celsius[: len(inside)] - 0.01)
    assert np.all(celsius[inside] <= limits.heat.hottest_celsius[: len(inside)])
