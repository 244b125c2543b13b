"""Several controllers under several seeds: common randomness, runs that are there already, and interruptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hwsim import pipeline
from hwsim.errors import ConfigurationError
from hwsim.records.store import digest
from hwsim.replications import compare_controllers, default_controllers

CONTROLLERS = ("static", "static:bits=2", "hysteresis")
Compare = Callable[..., Any]


@pytest.fixture
def compare(bursty: str, tmp_path: Path) -> Compare:
    def run(*controllers: str, **options: Any) -> Any:
        given: dict[str, Any] = {"replications": 2, "jobs": 1, "folder": tmp_path / "out"} | options
        return compare_controllers(bursty, controllers or CONTROLLERS, **given)

    return run


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of the runs that were really made."""
    made: list[str] = []
    original = pipeline.run

    def run(planned: pipeline.Plan, folder: Path, **options: Any) -> Any:
        made.append(folder.name)
        return original(planned, folder, **options)

    monkeypatch.setattr(pipeline, "run", run)
    return made


def test_every_controller_runs_under_every_seed(compare: Compare, runs: list[str], tmp_path: Path) -> None:
    comparison = compare()
    assert sorted(runs) == [
        "hysteresis-s3", "hysteresis-s4", "static-bits=2-s3", "static-bits=2-s4", "static-s3", "static-s4",
    ]  # fmt: skip
    out = tmp_path / "out"
    written = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert (written["scenario"], written["replications"]) == ("bursty", 2)
    assert tuple(written["controllers"]) == tuple(comparison.controllers) == CONTROLLERS
    energies = [
        json.loads((out / f"static-s{seed}" / "summary.json").read_text(encoding="utf-8"))["energy_joules"]
        for seed in (3, 4)
    ]
    energy = written["controllers"]["static"]["energy_joules"]
    assert energy["mean"] == pytest.approx(sum(energies) / 2)
    assert min(energies) <= energy["low"] <= energy["mean"] <= energy["high"] <= max(energies)
    assert (out / "comparison.csv").read_text(encoding="utf-8").startswith("controller,metric,mean,low,high\n")
    assert list((out / "figures").glob("*.svg"))


def test_under_one_seed_all_controllers_meet_the_same_arrivals_and_inputs(compare: Compare, tmp_path: Path) -> None:
    compare()

    def arrivals(name: str) -> list[Any]:
        columns = ["arrival_picoseconds", "deadline_picoseconds", "input_indices"]
        return list(pq.read_table(tmp_path / "out" / name / "frames.parquet", columns=columns).to_pylist())

    assert arrivals("static-s3") == arrivals("static-bits=2-s3") == arrivals("hysteresis-s3")
    assert arrivals("static-s3") != arrivals("static-s4")


def test_runs_that_are_there_are_not_repeated(compare: Compare, runs: list[str], tmp_path: Path) -> None:
    first = compare()
    runs.clear()
    assert compare() == first
    assert runs == []
    (tmp_path / "out" / "static-s4" / "summary.json").unlink()
    cut = tmp_path / "out" / "hysteresis-s3" / "summary.json"
    content = json.loads(cut.read_text(encoding="utf-8"))
    cut.write_text(json.dumps(content | {"interrupted": True}), encoding="utf-8")
    (tmp_path / "out" / "static-s3" / "summary.json").write_text("{", encoding="utf-8")
    assert compare().controllers["static"]["energy_joules"] == first.controllers["static"]["energy_joules"]
    assert sorted(runs) == ["hysteresis-s3", "static-s3", "static-s4"]


def test_what_changes_the_result_repeats_the_runs(compare: Compare, runs: list[str]) -> None:
    compare("static")
    runs.clear()
    compare("static", sets=["environment.ambient.temperature=35 degC"])
    assert runs == ["static-s3", "static-s4"]


def test_an_interruption_keeps_what_is_done_and_the_next_call_goes_on(
    compare: Compare, runs: list[str], tmp_path: Path
) -> None:
    def progress(stage: str, share: float) -> None:
        if share >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare("static", "hysteresis", progress=progress)
    assert runs == ["static-s3", "hysteresis-s3"]
    assert not (tmp_path / "out" / "comparison.json").exists()
    compare("static", "hysteresis")
    assert runs == ["static-s3", "hysteresis-s3", "static-s4", "hysteresis-s4"]


def test_a_run_that_is_interrupted_ends_the_comparison(compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    from hwsim.simulation.simulator import Simulator

    def interrupted(self: Simulator, progress: Any) -> int:
        self._environment.run(until=10**10)
        raise KeyboardInterrupt

    monkeypatch.setattr(Simulator, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare("static")


def test_processes_give_the_same_records(bursty: str, compare: Compare, tmp_path: Path) -> None:
    alone = compare("static", "hysteresis", replications=1)
    together = compare("static", "hysteresis", replications=1, jobs=2, folder=tmp_path / "together")
    assert together == alone
    for name in ("static-s3", "hysteresis-s3"):
        assert digest(tmp_path / "together" / name) == digest(tmp_path / "out" / name)


@pytest.mark.parametrize(
    ("controllers", "message"),
    [
        (("static", "static"), "controllers static, static: give each once, one at least"),
        (("static", "histeresis"), "did you mean 'hysteresis'"),
        (("static:bits=5",), "cannot run at 5 bits"),
    ],
)
def test_controllers_that_cannot_be_compared_are_refused_before_any_run(
    compare: Compare, runs: list[str], tmp_path: Path, controllers: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        compare(*controllers)
    assert runs == []
    assert not (tmp_path / "out").exists()


def test_no_controller_is_refused(bursty: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="controllers none: give each once, one at least"):
        compare_controllers(bursty, [], replications=1, jobs=1, folder=tmp_path)


def test_without_names_static_runs_at_every_width_of_the_network(bursty: str) -> None:
    assert default_controllers(bursty) == ["static", "static:bits=4", "static:bits=2", "hysteresis"]


def test_a_controller_can_be_held_to_frame_boundaries(compare: Compare, tmp_path: Path) -> None:
    comparison = compare("hysteresis", "hysteresis@frame", baseline="hysteresis@frame", sets=["outputs=none"])
    freely, held = (comparison.controllers[name]["mid_frame_switches"].mean for name in comparison.controllers)
    assert freely > held == 0
    assert comparison.differences["hysteresis"]["mid_frame_switches"].mean == freely
    manifest = json.loads((tmp_path / "out" / "hysteresis-frame-s3" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["controller"], manifest["scenario"]["decisions"]) == ("hysteresis@frame", "frame_boundary")


def test_an_unknown_executor_is_refused(compare: Compare) -> None:
    with pytest.raises(ConfigurationError, match="no executor 'rya'"):
        compare("static", executor="rya")


def test_an_unknown_baseline_is_refused(compare: Compare) -> None:
    with pytest.raises(ConfigurationError, match="no such controller here"):
        compare("static", baseline="statix")
