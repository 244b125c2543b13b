"""What ``scenarios/battery_day.yaml`` tells in its head, in its evening; benchmarks/battery_day.py runs all of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim import pipeline
from hwsim.records.store import RunFolder
from hwsim.report.run_figures import draw_timeline

HOUR = 3600
EVENING = [
    "duration=1.75 h", "streams.0.arrivals.until=1 h", "environment.ambient.start=22 h",
    "environment.harvest.start=22 h", "initial_state_of_charge=0.1",
]  # fmt: skip
"""From 22 o'clock, with the charge that is left then."""


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunFolder]:
    def simulated(controller: str) -> RunFolder:
        folder = tmp_path_factory.mktemp("run")
        pipeline.run(pipeline.plan("battery_day", controller=controller, sets=EVENING), folder, figures=False)
        return RunFolder(folder)

    return simulated


@pytest.fixture(scope="module")
def hungry(evening: Callable[[str], RunFolder]) -> RunFolder:
    return evening("static")


@pytest.fixture(scope="module")
def frugal(evening: Callable[[str], RunFolder]) -> RunFolder:
    return evening("static:bits=2")


def test_at_8_bits_the_evening_is_lost_and_the_dock_brings_the_device_back(hungry: RunFolder) -> None:
    summary = hungry.summary
    assert HOUR / 2 < summary["battery_life_seconds"] < HOUR
    status = hungry.table("frames", ["status"]).column("status").to_pylist()
    runs = [what for what, _ in itertools.groupby(status)]
    assert runs[0] == "on_time"
    assert runs[-1] == "dropped_queue"
    states = hungry.table("telemetry", ["power_state"]).column("power_state").to_pylist()
    assert [what for what, _ in itertools.groupby(states)] == ["on", "brown_out", "booting", "on"]
    assert summary["battery_end_state_of_charge"] > 0.3


def test_at_2_bits_the_same_charge_lasts(frugal: RunFolder) -> None:
    summary = frugal.summary
    assert (summary["battery_life_seconds"], summary["deadline_miss_rate"]) == (None, 0)
    telemetry = frugal.table("telemetry", ["time_picoseconds", "battery_state_of_charge"])
    assert np.min(telemetry["battery_state_of_charge"].to_numpy()) > 0.03


def test_what_is_always_on_takes_most(hungry: RunFolder, frugal: RunFolder) -> None:
    of_frames = [
        sum(run.table("frames", ["energy_joules"]).column("energy_joules").to_pylist()) for run in (hungry, frugal)
    ]
    assert of_frames[0] < 0.5 * hungry.summary["energy_joules"]
    assert of_frames[1] < 0.15 * frugal.summary["energy_joules"]


def test_the_chip_sleeps_most_of_the_time_and_wakes_for_each_frame(frugal: RunFolder) -> None:
    summary: Any = frugal.summary
    assert summary["resting_seconds"] > 0.9 * summary["simulated_seconds"]
    assert summary["wakeups"] == summary["frames_arrived"] > 5_000
    assert {"light_sleep", "deep_sleep"} == set(summary["idle_states"])
    assert summary["idle_states"]["deep_sleep"]["exits"] > 0
    frames = frugal.table("frames", ["arrival_picoseconds", "start_picoseconds"])
    waited = frames["start_picoseconds"].to_numpy() - frames["arrival_picoseconds"].to_numpy()
    assert 0 < waited.max() <= 1.2e9  # the way out of deep sleep, and of an entry that had begun


def test_the_timeline_of_a_long_run_is_in_hours(tmp_path: Path) -> None:
    sets = ["duration=4 h", "streams.0.arrivals.until=20 s"]
    pipeline.run(pipeline.plan("battery_day", sets=sets), tmp_path, figures=False)
    axes = draw_timeline(RunFolder(tmp_path)).axes[-1]
    assert axes.get_xlabel() == "time since the start of the run (h)"
    written = axes.xaxis.get_major_formatter()
    assert [written(at) for at in axes.get_xticks() if 0 <= at <= 4 * HOUR] == ["0", "1", "2", "3", "4"]
