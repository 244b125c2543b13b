"""A device that learns while it has nothing else to do: what that costs, what it changes, what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from bitmixer.errors import DocumentError
from hwsim import pipeline
from hwsim.errors import ConfigurationError, RecordsError
from hwsim.field_learning import version_file
from hwsim.outputs import LoadedNetwork
from hwsim.records.store import RunFolder
from hwsim.replay import replay

FOG = "digits+contrast0.7@7"
SCENARIO = f"""\
schema_version: 1
name: learning
profile: bismo_pynq_z1
duration: 1600 ms
seed: 1
queue: {{capacity: 4, drop_expired: true}}
streams:
  - name: camera
    network: resnet8_digits
    data: digits
    drift: [{{at: 400 ms, data: {FOG}}}]
    inputs_per_frame: 4
    deadline: 2 ms
    arrivals: {{kind: periodic, period: 20 ms, jitter: 1 ms}}
environment:
  ambient: {{kind: constant, temperature: 30 degC}}
controller: {{name: static}}
learning: {{stream: camera, period: 100 ms, inputs: 32}}
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("learning") / "learning.yaml"
    file.write_text(SCENARIO, encoding="utf-8")
    return str(file)


def run(scenario: str, folder: Path, *sets: str) -> dict[str, Any]:
    return pipeline.run(pipeline.plan(scenario, sets=sets), folder, figures=False)


@pytest.fixture(scope="module")
def learned(scenario: str, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("learned") / "run"
    run(scenario, folder)
    return RunFolder(folder)


@pytest.fixture(scope="module")
def unlearned(scenario: str, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("unlearned") / "run"
    run(scenario, folder, "learning=null")
    return RunFolder(folder)


def summary(of: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((of.path / "summary.json").read_text(encoding="utf-8"))
    return found


def test_learning_follows_the_drift_and_misses_no_deadline(learned: RunFolder, unlearned: RunFolder) -> None:
    with_it, without = summary(learned), summary(unlearned)
    assert with_it["deadline_miss_rate"] == without["deadline_miss_rate"] == 0.0
    assert with_it["accuracy_by_data"][FOG] > without["accuracy_by_data"][FOG] + 0.05
    assert with_it["frames_arrived"] == without["frames_arrived"]
    assert "learning" not in without


def test_every_step_is_paid_for(learned: RunFolder, unlearned: RunFolder) -> None:
    cost = summary(learned)["learning"]
    assert cost["steps"] > 10
    assert cost["samples"] == 32 * cost["steps"]
    assert cost["energy_per_sample_joules"] == pytest.approx(cost["energy_joules"] / cost["samples"])
    extra = summary(learned)["energy_joules"] - summary(unlearned)["energy_joules"]
    assert extra == pytest.approx(cost["energy_joules"], rel=0.1)  # frames fetch norms anew after a step


def test_steps_are_rows_of_their_own(learned: RunFolder) -> None:
    rows = learned.table("layers", ["stream", "purpose", "frame", "layer", "network_version", "finish_picoseconds"])
    training = rows.filter(pc.equal(rows["purpose"], "training"))
    assert set(training["stream"].to_pylist()) == {"camera learning"}
    assert {"stem/forward", "stem/norm gradient", "classifier/weight gradient"} <= set(training["layer"].to_pylist())
    steps = training["frame"].to_pylist()
    assert training["network_version"].to_pylist() == steps  # the n-th step begins with what n steps made
    inference = rows.filter(pc.equal(rows["purpose"], "inference"))
    assert set(inference["stream"].to_pylist()) == {"camera"}


def test_frames_preempt_steps_and_never_wait_longer_than_a_part(learned: RunFolder, unlearned: RunFolder) -> None:
    assert summary(learned)["learning"]["preemptions"] > 0
    rows = learned.table("layers", ["purpose", "start_picoseconds", "finish_picoseconds"])
    training = rows.filter(pc.equal(rows["purpose"], "training"))
    longest = pc.max(pc.subtract(training["finish_picoseconds"], training["start_picoseconds"])).as_py() / 1e12
    fetched_anew = 1e-4
    later = summary(learned)["latency_p99_seconds"] - summary(unlearned)["latency_p99_seconds"]
    assert 0 < later < longest + fetched_anew


def test_a_frame_is_answered_by_the_version_with_which_it_began(learned: RunFolder) -> None:
    rows = learned.table("layers", ["purpose", "frame", "finish_picoseconds"])
    training = rows.filter(pc.equal(rows["purpose"], "training")).group_by("frame").aggregate(
        [("finish_picoseconds", "max")]
    )  # fmt: skip
    ends = np.sort(training["finish_picoseconds_max"].to_numpy())
    frames = learned.table("frames", ["network_version", "start_picoseconds", "data", "predictions", "input_indices"])
    versions = frames["network_version"].to_numpy()
    np.testing.assert_array_equal(versions, np.searchsorted(ends, frames["start_picoseconds"].to_numpy(), side="right"))
    planned = pipeline.plan(str(learned.path / "scenario.yaml")).streams[0]
    eight = [tuple(pair) for pair in planned.checkpoint.graph.uniform(8).values()]
    for row in frames.to_pylist():
        if row["network_version"] == 0:
            loaded = LoadedNetwork(planned.checkpoint, row["data"])
            expected = loaded.predict(eight, np.array(row["input_indices"]))  # type: ignore[arg-type]
            np.testing.assert_array_equal(row["predictions"], expected)


def test_replay_follows_the_versions(learned: RunFolder) -> None:
    assert len(list((learned.path / "versions").iterdir())) == summary(learned)["learning"]["steps"]
    replayed = replay(learned.path)
    assert replayed.frames == summary(learned)["frames_completed"]
    assert replayed.differing == ()


def test_replay_needs_every_version(scenario: str, tmp_path: Path) -> None:
    run(scenario, tmp_path / "run", "duration=800 ms")
    version_file(tmp_path / "run", 2).write_bytes(b"damaged")
    with pytest.raises(RecordsError, match=r"00002.safetensors: not what a version of the network changed"):
        replay(tmp_path / "run")


def test_the_same_seed_learns_the_same(learned: RunFolder, scenario: str, tmp_path: Path) -> None:
    run(scenario, tmp_path / "run")
    assert RunFolder(tmp_path / "run").table("frames").equals(learned.table("frames"))
    assert RunFolder(tmp_path / "run").table("layers").equals(learned.table("layers"))


def test_late_labels_make_learning_wait(learned: RunFolder, scenario: str, tmp_path: Path) -> None:
    later = run(scenario, tmp_path / "run", "learning.label_delay=500 ms")
    assert later["learning"]["steps"] == summary(learned)["learning"]["steps"] - 5


def test_a_device_learns_from_its_own_confident_answers(learned: RunFolder, scenario: str, tmp_path: Path) -> None:
    alone = run(scenario, tmp_path / "run", "learning.labels=confident", "learning.confidence=0.9")
    assert 0 < alone["learning"]["samples"] < summary(learned)["learning"]["samples"]


def test_without_outputs_steps_cost_the_same(learned: RunFolder, scenario: str, tmp_path: Path) -> None:
    blind = run(scenario, tmp_path / "run", "outputs=none")["learning"]
    known = summary(learned)["learning"]
    assert (blind["steps"], blind["energy_joules"]) == (known["steps"], known["energy_joules"])
    assert blind["samples"] == 0
    assert not (tmp_path / "run" / "versions").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("learning.stream=camra", "did you mean 'camera'"),
        ("learning.bits=3", "no uniform width of 3 bits: one of 2, 4, 8"),
        ("learning.inputs=1", "norms have no statistics of one input"),
        ("learning.format=e5m3", "did you mean 'e5m2'"),
        ("outputs=in_step", "learns once the run is over"),
    ],
)
def test_impossible_learning_is_refused(scenario: str, change: str, message: str) -> None:
    with pytest.raises((ConfigurationError, DocumentError), match=message):
        pipeline.plan(scenario, sets=[change])
