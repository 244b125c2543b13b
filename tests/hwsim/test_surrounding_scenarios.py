"""The stories that ``sensor_failure`` and ``hot_day`` tell in their heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim import pipeline
from hwsim.records.store import RunFolder, numbers

SECOND = 10**12


def run(scenario: str, folder: Path, *sets: str, controller: str | None = None) -> tuple[dict[str, Any], RunFolder]:
    planned = pipeline.plan(scenario, controller=controller, sets=["outputs=none", *sets])
    return pipeline.run(planned, folder, figures=False), RunFolder(folder)


def test_a_stuck_sensor_misleads_the_controller_and_the_device_protects_itself(tmp_path: Path) -> None:
    shorter = "duration=400 s"
    failed, records = run("sensor_failure", tmp_path / "failed", shorter)
    sound, _ = run("sensor_failure", tmp_path / "sound", shorter, "faults=[]")
    columns = ["time_picoseconds", "die_reading_celsius", "throttle_reading_celsius", "junction_celsius"]
    telemetry = records.table("telemetry", columns)
    time, reading, throttle, true = (numbers(telemetry.column(name)) for name in columns)
    stuck = time >= 60 * SECOND
    assert len(set(reading[stuck])) == 1
    assert reading[-1] < 60
    assert true.max() > 79
    assert np.abs(throttle - true).max() < 2
    assert np.abs(reading - true)[~stuck].max() < 2
    # The device's own trip at 80 degC holds; without the fault the rule stays below it.
    assert failed["throttled_seconds"] > 30
    assert failed["peak_die_temperature_celsius"] < 82
    assert failed["deadline_miss_rate"] > 0.005
    assert (sound["throttled_seconds"], sound["deadline_miss_rate"]) == (0, 0)
    assert sound["peak_die_temperature_celsius"] < 80
    # Misled, it takes back what the queue taught it, again and again.
    assert failed["bit_switches"] > 5 * sound["bit_switches"]
    reasons = records.table("decisions", ["reason"]).column(0).to_pylist()
    assert not [reason for reason in reasons if reason.startswith("die reads")]


def test_a_hot_day_comes_from_its_file_and_stops_the_highest_width(tmp_path: Path) -> None:
    box, records = run("hot_day", tmp_path / "box")
    shade, in_shade = run("hot_day", tmp_path / "shade", "environment.ambient.column=shade")
    assert (tmp_path / "box" / "inputs" / "hot_day.csv").is_file()
    assert box["run_id"] != shade["run_id"]
    assert (shade["throttled_seconds"], shade["deadline_miss_rate"]) == (0, 0)
    columns = ["time_picoseconds", "throttle_cap_hertz", "ambient_celsius"]
    time, cap, ambient = (numbers(records.table("telemetry", columns).column(name)) for name in columns)
    # The file's row of 10 h is 2700 s into the run.
    shaded = numbers(in_shade.table("telemetry", columns).column("ambient_celsius"))
    at_ten = int(np.searchsorted(time, 2700 * SECOND))
    assert (ambient[at_ten], shaded[at_ten]) == (pytest.approx(40.4, abs=0.01), pytest.approx(31.0, abs=0.01))
    first = time[cap < cap[0]][0] / SECOND
    assert 900 < first < 1800
    frames = records.table("frames", ["status", "arrival_picoseconds"])
    missed = numbers(frames.column("status")) != "on_time"
    arrival = numbers(frames.column("arrival_picoseconds")) / SECOND
    assert not missed[arrival < first - 2].any()
    assert missed[arrival > first].mean() > 0.1
