"""Memory traffic of scenarios: every kind, what is said of wrong ones, and the story of ``bandwidth_contention``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitmixer.errors import DocumentError
from hwsim import pipeline
from hwsim.records.store import RunFolder, numbers
from hwsim.setting_up import simulation_setup

SECOND = 10**12
AMBIENT = "  ambient: {kind: constant, temperature: 30 degC}"
HALF = "0.7875 GB/s"
"""Half of 2.1 GB/s x 0.75."""


@pytest.fixture
def with_traffic(write_scenario: Callable[..., str]) -> Callable[[str], str]:
    """Return a function that writes a scenario with memory traffic, and returns its path."""

    def write(traffic: str) -> str:
        return write_scenario((AMBIENT, f"{AMBIENT}\n  memory_traffic: {{{traffic}}}"))

    return write


def free_shares(path: str, count: int = 20) -> list[tuple[float, float]]:
    dram = simulation_setup(pipeline.plan(path), 10).shared_dram
    assert dram is not None
    shares = dram.free_shares(np.random.default_rng(0))
    return [(time / SECOND, pytest.approx(share)) for time, share in islice(shares, count)]


def test_traffic_is_constant_or_goes_by_steps(with_traffic: Callable[[str], str]) -> None:
    constant = with_traffic(f"kind: constant, rate: {HALF}, accelerator_share: 0.1")
    assert free_shares(constant) == [(0.0, 0.5)]
    steps = with_traffic(f"kind: steps, steps: [[0 s, 0 GB/s], [2 ms, {HALF}], [5 ms, 9 GB/s]], accelerator_share: 0.1")
    assert free_shares(steps) == [(0.0, 1.0), (0.002, 0.5), (0.005, 0.1)]


def test_traffic_goes_on_and_off(with_traffic: Callable[[str], str]) -> None:
    path = with_traffic(f"kind: on_off, rate: {HALF}, mean_on: 1 ms, mean_off: 3 ms, accelerator_share: 0.1")
    shares = free_shares(path)
    assert [share for _, share in shares[:4]] in ([0.5, 1.0, 0.5, 1.0], [1.0, 0.5, 1.0, 0.5])


def test_traffic_comes_from_a_file(with_traffic: Callable[[str], str]) -> None:
    path = with_traffic("kind: file, path: dram.csv, column: camera, start: 1 ms, accelerator_share: 0.1")
    table = "time [ms],camera [GB/s]\n0,0\n0.5,0.7875\n3,0\n7,1.18125\n"
    (Path(path).parent / "dram.csv").write_text(table, encoding="utf-8")
    assert free_shares(path) == [(0.0, 0.5), (0.002, 1.0), (0.006, 0.25)]


@pytest.mark.parametrize(
    ("traffic", "messages"),
    [
        ("kind: constant, rate: 1 GB/s", ["accelerator_share"]),
        ("kind: constant, rate: 1 GHz, accelerator_share: 0.5", ["memory_traffic.rate", "data rate"]),
        ("kind: constant, rate: -1 GB/s, accelerator_share: 0.5", ["must be at least 0"]),
        ("kind: constant, rate: 1 GB/s, accelerator_share: 0", ["must be above 0"]),
        ("kind: onoff, rate: 1 GB/s, accelerator_share: 0.5", ["on_off"]),
        ("kind: steps, steps: [[1 s, 1 GB/s]], accelerator_share: 0.5", ["must begin at 0 s"]),
        ("kind: steps, steps: [[0 s, 1 GB/s], [0 s, 1 GB/s]], accelerator_share: 0.5", ["steps.1.0", "sort the steps"]),
        ("kind: file, path: none.csv, column: rate, accelerator_share: 0.5", ["none.csv"]),
    ],
)
def test_wrong_traffic_is_refused(with_traffic: Callable[[str], str], traffic: str, messages: list[str]) -> None:
    with pytest.raises(DocumentError) as caught:
        pipeline.plan(with_traffic(traffic))
    assert all(message in str(caught.value) for message in ["s.yaml:", *messages])


@pytest.fixture(scope="module")
def story(
    tmp_path_factory: pytest.TempPathFactory, one_thread: None
) -> Callable[..., tuple[dict[str, Any], RunFolder]]:
    """Return a function that runs two seconds of ``bandwidth_contention``."""

    def run(controller: str, *sets: str) -> tuple[dict[str, Any], RunFolder]:
        folder = tmp_path_factory.mktemp("story")
        planned = pipeline.plan("bandwidth_contention", controller=controller, sets=["duration=2 s", *sets])
        return pipeline.run(planned, folder, figures=False), RunFolder(folder)

    return run


def test_the_camera_stops_eight_bits_and_a_controller_gets_by(story: Any) -> None:
    alone, _ = story("static", "environment.memory_traffic=null", "outputs=none")
    assert alone["deadline_miss_rate"] == 0
    high, records = story("static")
    low, _ = story("static:bits=2")
    ruled, _ = story("hysteresis")
    # Late pages are those that ran while the camera stored.
    assert high["deadline_miss_rate"] > 0.1
    telemetry = records.table("telemetry", ["time_picoseconds", "free_bandwidth_share"])
    time, free = (numbers(telemetry.column(name)) for name in telemetry.column_names)
    frames = records.table("frames", ["status", "arrival_picoseconds", "deadline_picoseconds"])
    arrival, due = (numbers(frames.column(name)) for name in ("arrival_picoseconds", "deadline_picoseconds"))
    missed = np.array(frames.column("status").to_pylist()) != "on_time"
    crowded = np.array(
        [free[(time > start) & (time <= end)].mean() < 0.9 for start, end in zip(arrival, due, strict=True)]
    )
    assert 0.2 < crowded.mean() < 0.8
    assert crowded[missed].mean() > 0.9
    # Two bits keep the deadlines and err more; the rule keeps them and errs less.
    assert low["deadline_miss_rate"] < 0.01
    assert ruled["deadline_miss_rate"] < 0.01
    assert low["accuracy"] < high["accuracy"] - 0.03
    rates = [each["correct_on_time_rate"] for each in (high, low, ruled)]
    assert rates[2] > rates[1] + 0.02 > rates[0] + 0.02
