"""Arrivals and ambient of scenarios: every kind, files that belong to a run, and what is said of wrong ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitmixer.errors import DocumentError
from hwsim import pipeline
from hwsim.records.store import RunFolder, digest
from hwsim.setting_up import simulation_setup

SECOND = 10**12
Write = Callable[..., str]
AMBIENT = "{kind: constant, temperature: 30 degC}"
PERIODIC = """\
      kind: periodic
      period: 3 ms
      jitter: 200 us
      bursts: {first: 10 ms, every: 30 ms, length: 10 ms, period: 1 ms}
"""
FILE = "{kind: file, path: day.csv, column: air}"
DAY = "time [h],air [degC]\n0,20\n2,30\n"
CHAIN = "kind: markov_modulated, states: "


def ambient_of(path: str) -> Callable[[float], float]:
    ambient = simulation_setup(pipeline.plan(path), 10).ambient
    return lambda seconds: ambient.temperature_celsius(int(seconds * SECOND))


def arrivals_of(path: str, until: int, seed: int = 0) -> list[int]:
    return list(simulation_setup(pipeline.plan(path), 10).streams[0].arrivals.times(until, np.random.default_rng(seed)))


def test_a_ramp_moves_between_its_ends_only(write_scenario: Write) -> None:
    ramp = "{kind: ramp, start: 10 s, end: 20 s, start_value: 30 degC, end_value: 50 degC}"
    ambient = ambient_of(write_scenario((AMBIENT, ramp)))
    assert [ambient(second) for second in (0, 10, 15, 20, 99)] == pytest.approx([30, 30, 40, 50, 50])


def test_a_sine_peaks_where_it_is_told(write_scenario: Write) -> None:
    sine = "{kind: sine, mean: 25 degC, amplitude: 8 K, period: 24 h, peak: 15 h}"
    ambient = ambient_of(write_scenario((AMBIENT, sine)))
    hours = [15, 21, 27, 33, 39]
    assert [ambient(3600 * hour) for hour in hours] == pytest.approx([33, 25, 17, 25, 33], abs=2e-3)


def test_a_file_tells_the_ambient_from_a_time_of_its_own(write_scenario: Write, tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text(DAY, encoding="utf-8")
    ambient = ambient_of(write_scenario((AMBIENT, FILE.replace("air}", "air, start: 30 min}"))))
    assert [ambient(3600 * hour) for hour in (0, 0.5, 1.5, 2.5)] == pytest.approx([22.5, 25, 30, 30])


@pytest.mark.parametrize(
    ("arrivals", "mean"),
    [
        ("kind: poisson, rate: 30 1/min", 0.5),
        # 1 Hz for 9 s, then 11 Hz for 1 s: 20 frames in 10 s
        (CHAIN + "[{name: a, rate: 1 Hz, mean_dwell: 9 s}, {name: b, rate: 11 Hz, mean_dwell: 1 s}]", 2.0),
        # Of three motions' seconds: 20 s of waiting, 3 s of motion, 5 s of rest; 1 / (1 - exp(-1/6)) frames.
        ("kind: motion, rate: 3 1/min, mean_length: 3 s, period: 500 ms, cool_down: 5 s", 6.514 / 28),
    ],
)
def test_random_arrivals_have_the_rate_that_is_written(write_scenario: Write, arrivals: str, mean: float) -> None:
    path = write_scenario((PERIODIC, f"      {{{arrivals}}}\n"))
    found = arrivals_of(path, 40_000 * SECOND)
    assert len(found) / 40_000 == pytest.approx(mean, rel=0.06)


def test_three_states_follow_one_another_as_written(write_scenario: Write) -> None:
    states = (
        "[{name: off, rate: 0 Hz, mean_dwell: 1 s, next: {on: 1}}, {name: on, rate: 9 Hz, mean_dwell: 1 s, "
        "next: {off: 0.5, rush: 0.5}}, {name: rush, rate: 90 Hz, mean_dwell: 1 s, next: {on: 1}}]"
    )
    path = write_scenario((PERIODIC, f"      {{{CHAIN}{states}}}\n"))
    arrivals: Any = simulation_setup(pipeline.plan(path), 10).streams[0].arrivals
    assert [state.next_probabilities for state in arrivals.states] == [(0, 1, 0), (0.5, 0, 0.5), (0, 1, 0)]


def test_recorded_frames_come_at_their_times(write_scenario: Write, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("time [ms]\n0\n0\n7.5\n61\n", encoding="utf-8")
    planned = pipeline.plan(write_scenario((PERIODIC, "      {kind: file, path: log.txt}\n")))
    pipeline.run(planned, tmp_path / "run", figures=False)
    frames = RunFolder(tmp_path / "run").table("frames", ["arrival_picoseconds"]).column(0).to_pylist()
    assert frames == [0, 0, 7_500_000_000]


def test_a_file_s_content_is_part_of_a_run_s_identity(write_scenario: Write, tmp_path: Path) -> None:
    day = tmp_path / "day.csv"
    path = write_scenario((AMBIENT, FILE))

    def run_id(text: str) -> str:
        day.write_text(text, encoding="utf-8")
        return pipeline.plan(path).run_id

    first = run_id(DAY)
    assert run_id("# a comment\ntime [min],wind [m/s],air [degC]\n0,1,20\n120,2,30\n") == first
    assert run_id(DAY.replace("30", "31")) != first
    assert run_id(DAY.replace("2,30", "3,30")) != first
    later = write_scenario((AMBIENT, FILE.replace("air}", "air, start: 1 h}")), name="later.yaml")
    day.write_text(DAY, encoding="utf-8")
    assert pipeline.plan(later).run_id != first


def test_a_run_keeps_its_files_and_can_be_repeated_from_them(write_scenario: Write, tmp_path: Path) -> None:
    (tmp_path / "weather").mkdir()
    day, folder = tmp_path / "weather" / "day.csv", tmp_path / "run"
    day.write_text(DAY, encoding="utf-8")
    planned = pipeline.plan(write_scenario((AMBIENT, FILE.replace("day", "weather/day"))))
    day.unlink()
    pipeline.run(planned, folder, figures=False)
    before = digest(folder)
    assert (folder / "inputs" / "day.csv").read_text(encoding="utf-8") == DAY
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["scenario"]["environment"]["ambient"]) == {"kind", "sha256"}
    again = pipeline.plan(str(folder / "scenario.yaml"))
    assert again.run_id == planned.run_id
    pipeline.run(again, folder, figures=False)
    assert digest(folder) == before
    # Another run in the same folder leaves no file of this one.
    pipeline.run(pipeline.plan(write_scenario(name="plain.yaml")), folder, figures=False)
    assert not (folder / "inputs").exists()


@pytest.mark.parametrize(
    ("arrivals", "place", "message"),
    [
        ("{kind: poisson, rate: 0 Hz}", "16:29", "rate: 0 Hz is out of bounds: a frequency here must be above 0 Hz"),
        ("{kind: poisson, rate: 3 s}", "16:29", "rate: unit 's' measures something else"),
        ("{kind: poison, rate: 3 Hz}", "16:14", "kind: unknown value 'poison': did you mean 'poisson'?"),
        ("{kind: markov_modulated, states: []}", "16:40", "states: 0 states: give two or more, or kind: poisson"),
        (
            (
                "{kind: markov_modulated, states: [{name: a, rate: 0 Hz, mean_dwell: 1 s}, {name: b, rate: 0 Hz, "
                "mean_dwell: 1 s}]}"
            ),
            "16:40",
            "states: no state has a rate above 0 Hz",
        ),
        (
            (
                "{kind: markov_modulated, states: [{name: a, rate: 1 Hz, mean_dwell: 1 s, next: {b: 0.5}}, {name: b, "
                "rate: 0 Hz, mean_dwell: 1 s}]}"
            ),
            "16:86",
            "states.0.next: the chances add up to 0.5: they must make 1",
        ),
        (
            (
                "{kind: markov_modulated, states: [{name: a, rate: 1 Hz, mean_dwell: 1 s, next: {bb: 1}}, {name: b, "
                "rate: 0 Hz, mean_dwell: 1 s}]}"
            ),
            "16:87",
            "states.0.next.bb: no other state 'bb': did you mean 'b'?",
        ),
        (
            (
                "{kind: markov_modulated, states: [{name: a, rate: 1 Hz, mean_dwell: 1 s}, {name: a, rate: 0 Hz, "
                "mean_dwell: 1 s}]}"
            ),
            "16:88",
            "states.1.name: 'a' is given twice: rename one",
        ),
        (
            "{kind: motion, rate: 1 Hz, mean_length: 1 s, period: 1 s}",
            "16:7",
            "cool_down: missing: expected a duration",
        ),
    ],
)
def test_wrong_arrivals_are_explained(write_scenario: Write, arrivals: str, place: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        pipeline.plan(write_scenario((PERIODIC, f"      {arrivals}\n")))
    assert f"s.yaml:{place}: streams.0.arrivals.{message}" in str(caught.value)


def test_each_of_three_states_must_say_what_follows(write_scenario: Write) -> None:
    states = ", ".join(f"{{name: {name}, rate: 1 Hz, mean_dwell: 1 s}}" for name in "abc")
    with pytest.raises(DocumentError, match=r"states\.2: with more than two states each must say what follows it"):
        pipeline.plan(write_scenario((PERIODIC, f"      {{{CHAIN}[{states}]}}\n")))


@pytest.mark.parametrize(
    ("ambient", "message"),
    [
        (
            FILE.replace("day", "dya"),
            "s.yaml:21:31: environment.ambient.path: dya.csv: no such file; did you mean 'day",
        ),
        (FILE.replace(": air", ": aire"), "day.csv:1:1: no column 'aire': did you mean 'air'?"),
        (FILE.replace(": air", ": time"), "s.yaml:21:48: environment.ambient.column: is the column of times"),
        (FILE.replace("air}", "air, start: 121 min}"), "day.csv: its last row comes before 'start'"),
        (FILE.replace("day", "bad"), "bad.csv:3:3: air: 'x degC' is not a temperature"),
        (
            "{kind: ramp, start: 2 s, end: 2 s, start_value: 1 degC, end_value: 2 degC}",
            "s.yaml:21:42: environment.ambient.end: is not later than 'start'",
        ),
    ],
)
def test_wrong_ambients_are_explained(write_scenario: Write, tmp_path: Path, ambient: str, message: str) -> None:
    for name, text in (("day.csv", DAY), ("bad.csv", "time [s],air [degC]\n0,1\n1,x\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        pipeline.plan(write_scenario((AMBIENT, ambient)))
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(message)


def test_two_files_of_one_name_cannot_both_be_kept(write_scenario: Write, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("day.csv", "sub/day.csv"):
        (tmp_path / name).write_text(DAY, encoding="utf-8")
    arrivals = (PERIODIC, "      {kind: file, path: day.csv}\n")
    with pytest.raises(DocumentError, match=r"sub/day\.csv: a run keeps copies, and .*/day\.csv has the same name"):
        pipeline.plan(write_scenario(arrivals, (AMBIENT, FILE.replace("day", "sub/day"))))
