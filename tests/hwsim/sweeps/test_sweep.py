"""Whole sweeps: each run once, whoever makes it, and the same tables from the same runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from hwsim.errors import ConfigurationError
from hwsim.sweeps.executors import build_executor
from hwsim.sweeps.reading import read_sweep
from hwsim.sweeps.results import SweepResult
from hwsim.sweeps.shards import Shard
from hwsim.sweeps.sweep import run_sweep

Sweep = Callable[..., SweepResult]
TABLES = ("sweep.csv", "sweep.parquet", "sweep.json")


@pytest.fixture
def sweep(swept: Callable[..., str], tmp_path: Path) -> Sweep:
    def run(
        folder: str = "out", *, executor: str = "serial", sets: Sequence[str] = (), block: str | None = None,
        **options: Any,
    ) -> SweepResult:  # fmt: skip
        plan = read_sweep(swept() if block is None else swept(block), sets=sets)
        return run_sweep(plan, build_executor(executor, 2), folder=tmp_path / folder, **options)

    return run


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


def test_every_point_is_a_row_with_what_it_set_and_what_it_came_to(sweep: Sweep, tmp_path: Path) -> None:
    result = sweep(sets=["sweep.replications=2"])
    rows = pyarrow.csv.read_csv(tmp_path / "out" / "sweep.csv").to_pylist()
    settings = [(row["streams.0.inputs_per_frame"], row["controller"], row["seed"]) for row in rows]
    assert settings == [
        (inputs, controller, seed)
        for inputs in (40, 120)
        for controller in ("static", "static bits=2")
        for seed in (3, 4)
    ]
    for row in rows:
        run = tmp_path / "out" / "runs" / row["run_id"]
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
        assert row["energy_joules"] == summary["energy_joules"]
        scenario = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["scenario"]
        assert scenario["streams"][0]["inputs_per_frame"] == row["streams.0.inputs_per_frame"]
    assert "wall_seconds" not in rows[0]
    assert pq.read_table(tmp_path / "out" / "sweep.parquet").num_rows == len(rows) == 8
    assert {path.name for path in (tmp_path / "out" / "figures").iterdir()} == {"effects.svg", "pareto.svg"}
    first = result.points[0]
    energies = [row["energy_per_input_joules"] for row in rows[:2]]
    assert first.objectives["energy_per_input_joules"] == pytest.approx(sum(energies) / 2)
    assert first.run_ids == tuple(row["run_id"] for row in rows[:2])


def test_runs_that_are_there_are_not_repeated(sweep: Sweep, made: list[str], tmp_path: Path) -> None:
    sweep()
    before = tables(tmp_path / "out")
    assert len(made) == 4
    made.clear()
    sweep()
    assert (made, tables(tmp_path / "out")) == ([], before)
    (tmp_path / "out" / "runs" / made_folder(before) / "summary.json").write_text("{", encoding="utf-8")
    sweep()
    assert (made, tables(tmp_path / "out")) == ([made_folder(before)], before)


def made_folder(written: dict[str, bytes]) -> str:
    folder: str = json.loads(written["sweep.json"])["front"][0]["run_ids"][0]
    return folder


def test_the_parts_of_a_sweep_together_are_the_sweep(sweep: Sweep, made: list[str], tmp_path: Path) -> None:
    whole = sweep("whole")
    made.clear()
    for number in (1, 2, 3):
        part = sweep(f"part{number}", shard=Shard(number, 3))
        assert part.table.num_rows == len(list((tmp_path / f"part{number}" / "runs").iterdir())) <= 2
        assert not (tmp_path / f"part{number}" / "sweep.csv").exists()
        shutil.copytree(tmp_path / f"part{number}" / "runs", tmp_path / "union" / "runs", dirs_exist_ok=True)
    assert len(made) == len(whole.points) == 4
    made.clear()
    sweep("union", collect=True)
    assert made == []
    assert tables(tmp_path / "union") == tables(tmp_path / "whole")


def test_processes_make_the_same_tables(sweep: Sweep, tmp_path: Path) -> None:
    sweep("alone")
    sweep("together", executor="processes")
    assert tables(tmp_path / "alone") == tables(tmp_path / "together")


def test_collecting_makes_no_runs_and_tells_how_many_lack(sweep: Sweep, made: list[str]) -> None:
    sweep(shard=Shard(1, 2))
    made.clear()
    result = sweep(collect=True)
    assert (made, result.missing, result.table.num_rows) == ([], 2, 2)


def test_an_interruption_keeps_what_is_done_and_the_next_call_goes_on(
    sweep: Sweep, made: list[str], tmp_path: Path
) -> None:
    def interrupt(stage: str, share: float) -> None:
        if share >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(progress=interrupt)
    assert len(made) == 2
    told = json.loads((tmp_path / "out" / "sweep.json").read_text(encoding="utf-8"))
    assert told["missing"] >= 2
    assert sweep().missing == 0
    assert len(made) == 4


def test_a_point_that_is_refused_does_not_stop_the_others(sweep: Sweep) -> None:
    """Each value is allowed somewhere, but hysteresis has no option ``bits``."""
    block = "\nsweep: {parameters: {controller.name: [static, hysteresis], controller.options: [{}, {bits: 2}]}}\n"
    result = sweep(block=block)
    assert (len(result.points), result.missing) == (3, 0)
    (failed,) = result.as_dict()["failed"]
    assert failed["parameters"] == {"controller.name": "hysteresis", "controller.options": {"bits": 2}}
    assert "bits" in failed["error"]


def test_a_value_that_is_allowed_nowhere_is_refused_before_any_run(sweep: Sweep, made: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"sweep.parameters: .*phone has a battery"):
        sweep(block="\nsweep: {parameters: {queue.capacity: [1, 2], profile: [bismo_pynq_z1, phone]}}\n")
    assert made == []


def test_the_block_is_no_part_of_a_run(sweep: Sweep, swept: Callable[..., str], tmp_path: Path) -> None:
    from hwsim import pipeline

    result = sweep()
    again = [pipeline.plan(result.plan.scenario, sets=point.point.sets).run_id for point in result.points]
    assert [point.run_ids for point in result.points] == [(run_id,) for run_id in again]
    scenario = tmp_path / "out" / "runs" / again[0] / "scenario.yaml"
    assert "sweep" not in scenario.read_text(encoding="utf-8")
    assert pipeline.plan(str(scenario)).run_id == again[0]
