"""A run is followed while it goes on, and left alone when it has ended."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hwsim import pipeline
from hwsim.errors import RecordsError
from hwsim.records.live import FILE, SECONDS_BETWEEN_ROWS, LiveRecord
from hwsim.report.live_view import BLOCKS, live_view, sparkline
from hwsim.watching import Watched, find_running, follow, sentence

ROOT = Path(__file__).parents[2]
TOLD = {"scenario": "s", "controller": "static", "duration_seconds": 8.0}
ROW = {
    "stage": "simulating", "share": 0.5, "wall_seconds": 2.0, "frames_ended": 20, "frames_missed": 5,
    "simulated_seconds": 4.0, "die_celsius": 61.25, "power_watts": 3.5, "frequency_hertz": 125_000_000,
    "frames_waiting": 2, "weight_bits": 3.25, "state_of_charge": None,
}  # fmt: skip
Command = Callable[..., Any]


def test_a_run_is_followed_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [
        *(sys.executable, "-m", "hwsim", "run", "thermal_throttle", "--out", str(folder), "--quiet"),
        *("--set", "duration=90 s", "--set", "outputs=none"),
    ]
    with subprocess.Popen(command, cwd=ROOT) as process:
        while not (folder / FILE).is_file():
            assert process.poll() is None, "it ended before it told anything"
            time.sleep(0.02)
        assert find_running(tmp_path) == folder
        watched, rows = zip(*follow(folder), strict=True)
        assert process.wait(timeout=60) == 0
    told = watched[0].told
    assert (told["scenario"], told["duration_seconds"]) == ("thermal_throttle", 90.0)
    assert not (folder / FILE).exists()
    simulated = [row["simulated_seconds"] for row in rows if "simulated_seconds" in row]
    assert simulated == sorted(simulated)
    assert len(set(simulated)) > 1
    assert all(0 < row["die_celsius"] < 125 and row["weight_bits"] <= 8 for row in rows if "die_celsius" in row)
    taken = [row["wall_seconds"] for row in rows]
    assert min(after - before for before, after in pairwise(taken)) >= SECONDS_BETWEEN_ROWS
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert rows[-1]["frames_ended"] <= summary["frames_arrived"]


def test_a_short_run_tells_nothing_and_leaves_nothing(small_plan: pipeline.Plan, tmp_path: Path) -> None:
    graphs = [stream.checkpoint.graph for stream in small_plan.streams]
    with LiveRecord(tmp_path, TOLD, graphs, clock=lambda: 0.0) as live:
        live.joined(lambda stage, share: None)("simulating", 0.5)
    assert list(tmp_path.iterdir()) == []


def test_what_was_told_is_gone_even_where_a_run_fails(small_plan: pipeline.Plan, tmp_path: Path) -> None:
    ticks = iter(range(100))
    graphs = [stream.checkpoint.graph for stream in small_plan.streams]
    passed = []

    def fail() -> None:
        with LiveRecord(tmp_path, TOLD, graphs, clock=lambda: float(next(ticks))) as live:
            live.joined(lambda stage, share: passed.append((stage, share)))("outputs", 0.25)
            first, second = (json.loads(line) for line in (tmp_path / FILE).read_text(encoding="utf-8").splitlines())
            assert first == {**TOLD, "process": os.getpid(), "machine": platform.node()}
            assert (second["stage"], second["share"], second["frames_ended"]) == ("outputs", 0.25, 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert passed == [("outputs", 0.25)]
    assert list(tmp_path.iterdir()) == []


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    lines = ({**TOLD, "process": 1, "machine": platform.node()}, *rows)
    (folder / FILE).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder / FILE


def test_a_run_that_was_killed_is_told(tmp_path: Path) -> None:
    written(tmp_path, ROW)
    followed = follow(tmp_path, pause=lambda seconds: None, is_alive=lambda process: False)
    assert next(followed)[1] == ROW
    with pytest.raises(RecordsError, match="gone without an end: it was killed"):
        next(followed)


def test_a_line_counts_when_it_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path)
    half, other = json.dumps(ROW)[:20], json.dumps(ROW)[20:] + "\n"
    steps = iter((lambda: append(path, half), lambda: append(path, other), path.unlink))

    def append(file: Path, text: str) -> None:
        with file.open("a", encoding="utf-8") as end:
            end.write(text)

    rows = [row for _, row in follow(tmp_path, pause=lambda seconds: next(steps)(), is_alive=lambda process: True)]
    assert rows == [ROW]


def test_a_row_is_told_in_words_and_in_a_picture(tmp_path: Path) -> None:
    watched = Watched(folder=tmp_path, told=TOLD)
    assert sentence(watched, ROW) == (
        "simulating 50%, 4.0 of 8 s, 3.25 bits, die 61.2 °C, 125 MHz, 3.50 W, 2 waiting, "
        "25.0% of 20 frames late or lost"
    )
    assert sentence(watched, {**ROW, "state_of_charge": 0.5}).count("battery 50%") == 1
    console = Console(width=100, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    console.print(live_view(watched, [{**ROW, "die_celsius": 50.0}, ROW]))
    shown = console.export_text()
    for part in (
        "s under static",
        "die            ▁█ 61.2 °C",
        "clock          ▁▁ 125 MHz",
        "25.0% of them late or lost",
    ):
        assert part in shown
    console.file.close()


def test_a_line_of_blocks_goes_from_lowest_to_highest() -> None:
    assert sparkline([1.0, 2.0, 8.0]) == BLOCKS[0] + BLOCKS[1] + BLOCKS[-1]
    assert sparkline([5.0] * 100) == BLOCKS[0] * 48


def test_watch_ends_at_once_where_a_run_has_ended(hwsim: Command, bursty: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert hwsim("run", bursty, "--out", folder, "--quiet").code == 0
    told = hwsim("watch", folder)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"{folder}: ")
    assert "The die peaked at" in told.out
    hwsim("watch", tmp_path / "elsewhere", "--wait", 0).refused("nothing runs here or below")
