"""``hwsim sweep``: what it prints, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Hwsim = Callable[..., Any]


@pytest.fixture
def sweep(hwsim: Hwsim, swept: Callable[..., str], tmp_path: Path) -> Hwsim:
    def run(*options: object) -> Any:
        return hwsim("sweep", swept(), "--executor", "serial", "--out", tmp_path / "out", *options)

    return run


def test_it_prints_the_points_that_no_other_beats(sweep: Hwsim, tmp_path: Path) -> None:
    done = sweep()
    assert (done.code, done.err) == (0, "")
    assert "bursty: of 4 points, 1 that no other beats" in done.out
    assert "static bits=2" in done.out
    assert f"Results in {tmp_path / 'out'}" in done.out
    told = json.loads(sweep("--json", "--collect").out)
    assert told == json.loads((tmp_path / "out" / "sweep.json").read_text(encoding="utf-8"))
    assert (told["runs"], told["missing"], told["failed"]) == (4, 0, [])


def test_a_search_tries_the_same_points_whoever_carries_them_out(sweep: Hwsim) -> None:
    pytest.importorskip("optuna")
    search = ("--set", "sweep.method={kind: nsga2, trials: 6, population: 3}", "--json")
    first = json.loads(sweep(*search).out)
    assert first["runs"] <= 4
    assert json.loads(sweep(*search, "--collect").out) == first
    sweep(*search, "--shard", "1/2").refused("nsga2 must know all results")


def test_a_part_says_where_the_others_are(sweep: Hwsim) -> None:
    done = sweep("--shard", "1/4")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Part 1/4: 1 runs are in ")
    missing = sweep("--collect", "--quiet")
    assert (missing.code, missing.out, missing.err) == (0, "", "not made: 3 runs\n")


def test_an_interruption_from_the_keyboard_keeps_what_is_finished(swept: Callable[..., str], tmp_path: Path) -> None:
    """The shell interrupts the command and the processes that it has started, in the middle of runs."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "hwsim", "sweep", swept(), "--jobs", "2", "--out", str(out), "--quiet"]
    longer = ("--set", "duration=400 ms", "--set", "sweep.replications=2")
    started = subprocess.Popen(
        [*command, *longer], start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not list(out.glob("runs/*/summary.json")):
        assert started.poll() is None, started.communicate()
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGINT)
    printed, told = started.communicate()
    assert (started.returncode, printed) == (130, "")
    assert f"interrupted: what is finished is in {out}" in told
    assert "Traceback" not in told
    before = json.loads((out / "sweep.json").read_text(encoding="utf-8"))
    assert (before["runs"] + before["missing"], before["failed"]) == (8, [])
    assert before["missing"] > 0
    subprocess.run([*command, *longer], check=True, timeout=600)
    after = json.loads((out / "sweep.json").read_text(encoding="utf-8"))
    assert (after["runs"], after["missing"]) == (8, 0)


def test_failed_runs_are_told_and_end_in_3(sweep: Hwsim) -> None:
    done = sweep("--vary", "controller=[{name: static}]", "--vary", "controller.options={low: 1, high: 2, points: 2}")
    done.refused("controller.options", code=2)
    varied = (
        "--vary",
        "controller=[{name: static}, {name: hysteresis}]",
        "--vary",
        "controller.options=[{}, {bits: 2}]",
    )
    done = sweep(*varied, "--vary", "streams.0.inputs_per_frame=[40]", "--quiet")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("failed: 1 runs, the first at streams.0.inputs_per_frame=40, controller=")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--executor", "rya"), "no executor 'rya'"),
        (("--shard", "5/4"), "expected I/N"),
        (("--vary", "streams.0.deadlin=[5 ms]"), "did you mean 'deadline'"),
    ],
)
def test_wrong_calls_are_refused(sweep: Hwsim, options: tuple[str, ...], message: str) -> None:
    sweep(*options).refused(message)
