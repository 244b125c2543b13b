"""Data that changes over time: frames have the corruption of their arrival, in records, outputs, probes and replay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitmixer.errors import BitmixerError
from hwsim import pipeline
from hwsim.drift import Drift
from hwsim.outputs import LoadedNetwork
from hwsim.records.store import RunFolder
from hwsim.replay import replay

CLEAN, FOGGY = "digits", "digits+fog3.0@5"
DRIFT = ["outputs=lazy", f"streams.0.data={CLEAN}", f"streams.0.drift=[{{at: 30 ms, data: {FOGGY}}}]"]


def run(scenario: str, folder: Path, sets: Sequence[str]) -> dict[str, Any]:
    return pipeline.run(pipeline.plan(scenario, sets=sets), folder, figures=False)


@pytest.fixture(scope="module")
def drifting(bursty: str, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("drift") / "run"
    run(bursty, folder, DRIFT)
    return RunFolder(folder)


def test_a_change_holds_from_its_time_on() -> None:
    drift = Drift(names=("a", "b", "c"), starts_picoseconds=(0, 10, 20))
    assert [drift.name(time) for time in (0, 9, 10, 19, 20, 10**15)] == ["a", "a", "b", "b", "c", "c"]


def test_records_have_the_data_of_each_frame_s_arrival(drifting: RunFolder) -> None:
    for row in drifting.table("frames").to_pylist():
        assert row["data"] == (CLEAN if row["arrival_picoseconds"] < 30 * 10**9 else FOGGY)


def test_predictions_are_the_network_s_on_that_data(drifting: RunFolder, bursty: str) -> None:
    planned = pipeline.plan(bursty, sets=DRIFT).streams[0]
    eight = list(map(tuple, planned.checkpoint.graph.uniform(8).values()))
    differ = 0
    of_layers = drifting.table("layers").to_pylist()
    for row in drifting.table("frames").to_pylist():
        widths = [(each["weight_bits"], each["activation_bits"]) for each in of_layers if each["frame"] == row["frame"]]
        if widths != eight or not row["predictions"]:
            continue
        right, wrong = (
            LoadedNetwork(planned.checkpoint, data).predict(eight, np.array(row["input_indices"]))
            for data in (row["data"], CLEAN if row["data"] == FOGGY else FOGGY)
        )
        np.testing.assert_array_equal(row["predictions"], right)
        differ += int((right != wrong).sum())
    assert differ > 0, "the data makes a difference"


def test_in_step_and_lazily_the_same_is_predicted(drifting: RunFolder, bursty: str, tmp_path: Path) -> None:
    run(bursty, tmp_path / "run", [*DRIFT, "outputs=in_step"])
    assert (
        RunFolder(tmp_path / "run")
        .table("frames", ["data", "predictions"])
        .equals(drifting.table("frames", ["data", "predictions"]))
    )


def test_replay_recomputes_each_frame_on_its_data(drifting: RunFolder) -> None:
    replayed = replay(drifting.path)
    assert replayed.frames > 10
    assert replayed.differing == ()


def test_what_the_data_is_moves_nothing_but_answers(drifting: RunFolder, bursty: str, tmp_path: Path) -> None:
    run(bursty, tmp_path / "run", ["outputs=lazy", f"streams.0.data={CLEAN}"])
    steady = RunFolder(tmp_path / "run")
    assert steady.table("layers").equals(drifting.table("layers"))
    assert steady.table("frames")["predictions"] != drifting.table("frames")["predictions"]


@pytest.mark.parametrize(
    ("drift", "message"),
    [
        ("[{at: 2 s, data: digits+fog1@1}, {at: 1 s, data: digits}]", "not later than the change before"),
        ("[{at: 2 s, data: mnist5k}]", "another set"),
        ("[{at: 2 s, data: digits+frog1}]", "fog"),
        ("[{at: 0 s, data: digits}]", "at"),
    ],
)
def test_impossible_drifts_are_refused(bursty: str, drift: str, message: str) -> None:
    with pytest.raises(BitmixerError, match=message):
        pipeline.plan(bursty, sets=[f"streams.0.drift={drift}"])
