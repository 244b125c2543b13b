"""The stories that ``two_streams`` and ``burst_deadlines`` tell in their heads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim import pipeline
from hwsim.comparison import compare
from hwsim.records.store import RunFolder, digest, numbers
from hwsim.records.streams import streams_of
from hwsim.replay import replay

SECOND = 10**12


def run(
    scenario: str, folder: Path, *sets: str, controller: str | None = None, figures: bool = False
) -> tuple[dict[str, Any], RunFolder]:
    planned = pipeline.plan(scenario, controller=controller, sets=sets)
    return pipeline.run(planned, folder, figures=figures), RunFolder(folder)


def test_the_gate_is_quick_and_the_inspection_pays(tmp_path: Path) -> None:
    no = "outputs=none"
    summary, records = run("two_streams", tmp_path / "hysteresis", no)
    static, _ = run("two_streams", tmp_path / "static", no, controller="static")
    equal, _ = run("two_streams", tmp_path / "equal", no, "streams.1.priority=0", controller="static")
    gate, inspection = summary["streams"]["gate"], summary["streams"]["inspection"]
    assert gate["latency_p99_seconds"] < 0.007
    assert inspection["latency_p50_seconds"] > 0.032
    assert gate["deadline_miss_rate"] == static["streams"]["gate"]["deadline_miss_rate"] == 0
    # The inspection pays: tensors, planes, deadlines.
    paid = static["streams"]["inspection"]
    assert paid["preemptions"] > 100
    assert paid["moved_bits"] > 10**7
    assert paid["deadline_miss_rate"] > 0.15
    assert inspection["deadline_miss_rate"] < 0.05
    assert (gate["mean_weight_bits"], gate["preemptions"]) == (8.0, 0)
    assert 5 < inspection["mean_weight_bits"] < 8
    # With equal priorities it does not, and the gate does.
    assert equal["streams"]["inspection"]["deadline_miss_rate"] < 0.01
    assert equal["streams"]["gate"]["deadline_miss_rate"] > 0.5
    assert equal["preemptions"] == 0
    # The inspection's energy per frame is the lower without preemption.
    per_frame = [
        each["streams"]["inspection"]["dynamic_energy_joules"] / each["streams"]["inspection"]["frames_completed"]
        for each in (equal, static)
    ]
    assert per_frame[0] < per_frame[1]
    check_totals(summary, records)


def check_totals(summary: dict[str, Any], records: RunFolder) -> None:
    """The totals are those of both streams, in the summary and in the tables."""
    parts = summary["streams"].values()
    for name in ("frames_arrived", "frames_completed", "inputs_completed", "bit_switches", "mid_frame_switches"):
        assert summary[name] == sum(part[name] for part in parts), name
    whole = records.table("telemetry").to_pydict()
    for name in ("inspection", "gate"):
        assert f"wanted_weight_bits_{name}" in whole
    queued = np.array([whole["queued_frames_inspection"], whole["queued_frames_gate"]]).sum(axis=0)
    assert queued.tolist() == whole["queued_frames"]
    layers = (records.path / "layers.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in layers[1:]] == ["inspection"] * 22 + ["gate"] * 10
    for stream in streams_of(records):
        frames = stream.table("frames", ["frame", "arrival_picoseconds"])
        assert len(frames) == summary["streams"][stream.name]["frames_arrived"]
        assert set(numbers(stream.table("layers", ["frame"])["frame"])) <= set(numbers(frames["frame"]))


def test_two_networks_compute_what_their_streams_ran_and_it_holds_in_replay(tmp_path: Path, one_thread: None) -> None:
    short = (
        "duration=250 ms", "streams.0.inputs_per_frame=3", "streams.0.arrivals.period=5 ms", "streams.0.deadline=9 ms",
        "streams.1.inputs_per_frame=60", "streams.1.arrivals.states.0.rate=150 Hz", "controller.options.rungs=[8, 2]",
        "controller.options.calm_milliseconds=8", "controller.options.period_milliseconds=1",
    )  # fmt: skip
    summary, records = run("two_streams", tmp_path / "run", *short, figures=True)
    again, _ = run("two_streams", tmp_path / "again", *short)
    in_step, _ = run("two_streams", tmp_path / "in_step", *short, "outputs=in_step")
    assert digest(tmp_path / "run") == digest(tmp_path / "again") == digest(tmp_path / "in_step")
    assert summary["streams"]["inspection"]["preemptions"] > 0
    assert summary["streams"]["inspection"]["mid_frame_switches"] > 0
    held = replay(tmp_path / "run")
    assert (held.frames, held.inputs, held.differing) == (summary["frames_completed"], summary["inputs_completed"], ())
    frames = records.table("frames", ["frame", "stream", "status", "data", "predictions", "labels"]).to_pylist()
    data = {"inspection": "mnist5k+noise0.8@7", "gate": "digits+noise0.3@1"}
    right = {}
    for name, source in data.items():
        own = [frame for frame in frames if frame["stream"] == name]
        assert {frame["data"] for frame in own} == {source}
        pairs = [p == t for frame in own for p, t in zip(frame["predictions"], frame["labels"], strict=False)]
        right[name] = np.mean(pairs)
        assert summary["streams"][name]["accuracy"] == pytest.approx(right[name])
    assert min(right.values()) > 0.8
    gate = next(frame["frame"] for frame in frames if frame["stream"] == "gate")
    assert replay(tmp_path / "run", frame=gate).frames == 1
    assert in_step["accuracy"] == again["accuracy"] == summary["accuracy"]
    figures = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert figures == {"timeline.svg", *(f"{name}_{at}.svg" for name in ("layers", "bits") for at in (0, 1))}
    comparison = compare({"one": [records], "same": [RunFolder(tmp_path / "again")]}, scenario="two_streams")
    assert comparison.controllers["one"]["gate.accuracy"].mean == pytest.approx(right["gate"])
    rate = comparison.controllers["one"]["accuracy"]
    assert rate.low is not None
    assert rate.high is not None
    assert rate.low < summary["accuracy"] < rate.high


def test_a_folder_that_held_two_streams_is_cleared_for_a_run_with_one(tmp_path: Path, bursty: str) -> None:
    short = ("outputs=none", "duration=100 ms")
    run("two_streams", tmp_path / "run", *short)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert [each["name"] for each in manifest["streams"]] == ["inspection", "gate"]
    assert (manifest["streams"][1]["controller"], manifest["streams"][1]["graph"]) == ("static", "graph_1.json")
    assert RunFolder(tmp_path / "run").graph_in("graph_1.json").network == "resnet8_digits"
    run(bursty, tmp_path / "run", "duration=10 ms")
    assert not (tmp_path / "run" / "graph_1.json").exists()


def test_bursts_need_fewer_bits_and_quiet_times_do_not(tmp_path: Path, one_thread: None) -> None:
    short = "duration=4 s"
    adaptive, records = run("burst_deadlines", tmp_path / "hysteresis", short)
    wide, full = run("burst_deadlines", tmp_path / "8", short, controller="static")
    narrow, _ = run("burst_deadlines", tmp_path / "2", short, controller="static:bits=2")
    assert wide["deadline_miss_rate"] > 0.15
    assert narrow["deadline_miss_rate"] < 0.01
    assert adaptive["deadline_miss_rate"] < 0.02
    assert wide["accuracy"] > adaptive["accuracy"] > narrow["accuracy"]
    rates = [each["correct_on_time_rate"] for each in (adaptive, narrow, wide)]
    assert rates == sorted(rates, reverse=True)
    # At 8 bits the misses come where frames come thick: a frame that follows another closely.
    frames = full.table("frames", ["status", "arrival_picoseconds"])
    gaps = np.diff(numbers(frames.column("arrival_picoseconds")), prepend=0) / SECOND
    missed = numbers(frames.column("status")) != "on_time"
    crowded = np.convolve(gaps < 0.005, np.ones(9), "same") >= 5
    assert missed[crowded].mean() > 0.5
    assert missed[~crowded].mean() < 0.2
    reasons = records.table("decisions", ["reason"]).column(0).to_pylist()
    assert any("frames wait: down to 2 bit" in reason for reason in reasons)
    assert any("up to 8 bit" in reason for reason in reasons)
