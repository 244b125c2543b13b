"""Runs a scenario under several controllers and seeds, each in a folder of its own, and compares them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from bitmixer.errors import did_you_mean
from hwsim.comparison import Comparison
from hwsim.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run: a pure function of its fields, so that it can be skipped where its result is there."""

    scenario: str
    controller: str
    seed: int
    sets: tuple[str, ...]
    folder: Path


def compare_controllers(
    scenario: str, controllers: Sequence[str], *, replications: int, jobs: int, folder: Path,
    sets: Sequence[str] = (), baseline: str | None = None,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> Comparison:  # fmt: skip
    """Run every controller under every seed, write tables and figures into ``folder``, return the comparison.

    The seeds are the scenario's and those that follow it, the same for all controllers, so that arrivals,
    inputs and sensor noise are common. Runs that are there and complete are not repeated. With a
    ``baseline`` the others are compared with that controller, seed by seed.

    Raises:
        ConfigurationError: No controller, one twice, or a part of the scenario is invalid.
    """
    from hwsim import pipeline
    from hwsim.comparison import compare
    from hwsim.records.store import RunFolder
    from hwsim.report.comparison_figures import write_comparison_figures

    if not controllers or len(set(controllers)) < len(controllers):
        raise ConfigurationError(f"controllers {', '.join(controllers) or 'none'}: give each once, one at least")
    if baseline is not None and baseline not in controllers:
        raise ConfigurationError(
            f"--baseline {baseline}: no such controller here: {did_you_mean(baseline, controllers)}"
        )
    plans = {name: pipeline.plan(scenario, controller=name, sets=sets) for name in controllers}
    first_seed = next(iter(plans.values())).scenario.seed
    tasks = [
        Task(
            scenario=scenario,
            controller=name,
            seed=first_seed + replication,
            sets=tuple(sets),
            folder=pipeline.run_folder(folder, name, first_seed + replication),
        )
        for replication in range(replications)
        for name in controllers
    ]
    _run_all(tasks, jobs, progress)
    runs = {name: [RunFolder(task.folder) for task in tasks if task.controller == name] for name in controllers}
    comparison = compare(runs, scenario=next(iter(plans.values())).scenario.name, baseline=baseline)
    (folder / "comparison.json").write_text(comparison.to_json(), encoding="utf-8")
    (folder / "comparison.csv").write_text(comparison.to_csv(), encoding="utf-8")
    write_comparison_figures(comparison, runs, folder / "figures")
    return comparison


def default_controllers(scenario: str, sets: Sequence[str] = ()) -> list[str]:
    """Return the baselines that any rule must beat, static at each width of all networks, and ``hysteresis``.

    Raises:
        DocumentError: The scenario is invalid.
    """
    from hwsim import pipeline

    networks = (set(stream.checkpoint.graph.uniform_bits) for stream in pipeline.plan(scenario, sets=sets).streams)
    widths = sorted(set.intersection(*networks), reverse=True)
    return ["static", *(f"static:bits={bits}" for bits in widths[1:]), "hysteresis"]


def execute(task: Task) -> None:
    """Carry out one run, unless its folder already holds it whole."""
    from hwsim import pipeline

    planned = pipeline.plan(task.scenario, controller=task.controller, seed=task.seed, sets=task.sets)
    if _is_done(task.folder, planned.run_id):
        return
    summary = pipeline.run(planned, task.folder, figures=False)
    if summary.get("interrupted"):
        raise KeyboardInterrupt


def _run_all(tasks: Sequence[Task], jobs: int, progress: Callable[[str, float], None]) -> None:
    if jobs == 1:
        for done, task in enumerate(tasks):
            progress(f"{task.controller}, seed {task.seed}", done / len(tasks))
            execute(task)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        pending = {pool.submit(execute, task) for task in tasks}
        try:
            while pending:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                progress(f"{len(tasks) - len(pending)} of {len(tasks)} runs", 1 - len(pending) / len(tasks))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _is_done(folder: Path, run_id: str) -> bool:
    """Whether a folder holds a complete run of this identity; the summary is written last."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return summary.get("run_id") == run_id and not summary.keys() & {"interrupted", "failed"}
