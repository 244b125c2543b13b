"""A run's folder holds what it takes to run it again, whatever the command line changed, or has changed since."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitmixer.documents.source import parse, written
from hwsim import pipeline
from hwsim.config.packaged import packaged_names
from hwsim.records.store import digest

PACK = "streams.0.inputs_per_frame=10"


def kept(planned: pipeline.Plan, folder: Path) -> str:
    """Write the documents that a run keeps, and return the path of the scenario."""
    for name, text in planned.documents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return str(folder / "scenario.yaml")


@pytest.mark.parametrize("name", packaged_names("scenarios"))
def test_what_every_packaged_scenario_keeps_is_the_same_run(name: str, tmp_path: Path) -> None:
    planned = pipeline.plan(name)
    again = pipeline.plan(kept(planned, tmp_path))
    assert again.run_id == planned.run_id
    assert again.documents == planned.documents


@pytest.mark.parametrize("profile", packaged_names("profiles"))
def test_what_a_profile_extends_and_its_floorplan_are_kept(profile: str, bursty: str, tmp_path: Path) -> None:
    sets = [f"profile={profile}", *(["initial_state_of_charge=0.5"] if profile in ("phone", "wearable") else [])]
    planned = pipeline.plan(bursty, sets=sets)
    assert "extends" not in parse(planned.documents["profile.yaml"], "").data
    assert pipeline.plan(kept(planned, tmp_path)).run_id == planned.run_id


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 8},
        {"controller": "static:bits=2"},
        {"controller": "hysteresis:period_milliseconds=2"},
        {"sets": ["profile.limits.maximum_junction_temperature.value=80 degC", "duration=20 ms"]},
        {"sets": ["profile_overrides={leakage.power.value: 150 mW}"]},
        {"sets": ["profile_overrides={leakage.power.value: 150 mW}", "profile.leakage.power.value=160 mW"]},
    ],
    ids=["seed", "controller", "options", "sets", "scenario's changes", "changes of changes"],
)
def test_what_the_command_line_changed_is_kept(changes: dict[str, Any], bursty: str, tmp_path: Path) -> None:
    planned = pipeline.plan(bursty, **changes)
    assert planned.run_id != pipeline.plan(bursty).run_id
    assert pipeline.plan(kept(planned, tmp_path)).run_id == planned.run_id


def test_a_run_runs_again_after_all_that_it_was_made_from_is_gone(
    hwsim: Callable[..., Any], write_scenario: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "air.csv").write_text("time [ms],air [degC]\n0,20\n60,30\n", encoding="utf-8")
    (tmp_path / "base.yaml").write_text("extends: bismo_pynq_z1\nschema_version: 1\nname: base\n", encoding="utf-8")
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\nschema_version: 1\nname: mine\n", encoding="utf-8")
    path = write_scenario(
        ("profile: bismo_pynq_z1", "profile: mine.yaml"),
        ("{kind: constant, temperature: 30 degC}", "{kind: file, path: air.csv, column: air}"),
    )
    first, second = tmp_path / "first", tmp_path / "second"
    assert hwsim("run", path, "--out", first, "--quiet", "--seed", 4, "--set", PACK).code == 0
    for name in ("air.csv", "base.yaml", "mine.yaml", "s.yaml"):
        (tmp_path / name).unlink()
    assert hwsim("run", first / "scenario.yaml", "--out", second, "--quiet").code == 0
    assert digest(first) == digest(second)
    assert hwsim("validate", first / "scenario.yaml").code == 0


def test_a_changed_file_under_the_old_name_changes_nothing(write_scenario: Callable[..., str], tmp_path: Path) -> None:
    air = tmp_path / "air.csv"
    air.write_text("time [ms],air [degC]\n0,20\n60,30\n", encoding="utf-8")
    path = write_scenario(("{kind: constant, temperature: 30 degC}", f"{{kind: file, path: {air}, column: air}}"))
    planned = pipeline.plan(path)
    copy = kept(planned, tmp_path / "run")
    air.write_text("time [ms],air [degC]\n0,60\n60,70\n", encoding="utf-8")
    assert pipeline.plan(path).run_id != planned.run_id
    assert pipeline.plan(copy).run_id == planned.run_id


def test_widths_from_a_file_are_kept_as_they_were(bursty: str, tmp_path: Path) -> None:
    graph = pipeline.plan(bursty).streams[0].checkpoint.graph
    lines = [f"{layer.name}: {[*layer.allowed[0]]}" for layer in graph.layers]
    file = tmp_path / "bits.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")
    chosen = pipeline.plan(bursty, controller=f"static:assignment={file}")
    fallback = pipeline.plan(bursty, sets=[f"controller.safe={{assignment: {file}}}"])
    copies = [kept(planned, tmp_path / folder) for planned, folder in ((chosen, "chosen"), (fallback, "fallback"))]
    file.unlink()
    assert [pipeline.plan(copy).run_id for copy in copies] == [chosen.run_id, fallback.run_id]


@pytest.mark.parametrize(
    "data",
    [
        {"b": 1, "a": [1.5, "1.5", True, "true", None, "null", "33.333 ms", "", "a: b", "x\ny  z\n", "é°"]},
        {"long": "word " * 60, "nested": {"list": [[1, 2], {"k": []}], "empty": {}}},
    ],
)
def test_data_is_written_as_it_is_read(data: dict[str, Any]) -> None:
    text = written(data)
    assert parse(text, "written").data == data
    assert list(parse(text, "written").data) == list(data)
