"""Runs a scenario under several controllers and seeds, each in a folder of its own, and compares them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bitmixer.errors import did_you_mean
from hwsim.comparison import Comparison
from hwsim.config.packaged import find
from hwsim.errors import ConfigurationError, RecordsError
from hwsim.sweeps.executors import build_executor
from hwsim.sweeps.pace import Pace
from hwsim.sweeps.tasks import Progress, Task, carry_out, execute

COMPARISON = "comparison.json"


def compare_controllers(
    scenario: str, controllers: Sequence[str], *, replications: int, jobs: int, folder: Path,
    sets: Sequence[str] = (), baseline: str | None = None, executor: str = "processes",
    progress: Progress = lambda stage, share: None,
) -> Comparison:  # fmt: skip
    """Run every controller under every seed, write tables and figures into ``folder``, return the comparison.

    The seeds are the scenario's and those that follow it, the same for all controllers, so that arrivals,
    inputs and sensor noise are common. Runs that are there and complete are not repeated. With a
    ``baseline`` the others are compared with that controller, seed by seed.

    Raises:
        ConfigurationError: No controller, one twice, or a part of the scenario is invalid.
    """
    from hwsim import pipeline

    if not controllers or len(set(controllers)) < len(controllers):
        raise ConfigurationError(f"controllers {', '.join(controllers) or 'none'}: give each once, one at least")
    if baseline is not None and baseline not in controllers:
        raise ConfigurationError(
            f"--baseline {baseline}: no such controller here: {did_you_mean(baseline, controllers)}"
        )
    plans = {name: pipeline.plan(scenario, controller=name, sets=sets) for name in controllers}
    first_seed = next(iter(plans.values())).scenario.seed
    seeds = range(first_seed, first_seed + replications)
    folders = {(name, seed): pipeline.run_folder(folder, name, seed) for seed in seeds for name in controllers}
    located = str(find("scenarios", scenario).resolve())  # as it is seen from other folders
    tasks = [
        Task(scenario=located, controller=name, seed=seed, sets=tuple(sets), parent=folder.resolve(), name=own.name)
        for (name, seed), own in folders.items()
    ]
    with build_executor(executor, jobs) as chosen:
        for _ in carry_out(execute, tasks, chosen, Pace(len(tasks)), progress):
            pass
    named = {name: [folders[name, seed].name for seed in seeds] for name in controllers}
    return write_comparison(folder, named, scenario=next(iter(plans.values())).scenario.name, baseline=baseline)


def write_comparison(
    folder: Path, runs: Mapping[str, Sequence[str]], *, scenario: str, baseline: str | None = None
) -> Comparison:
    """Write tables, figures and the page of runs that are there, and return the comparison.

    Args:
        folder: Where the runs' folders are, and the results go.
        runs: Controller -> names of its runs' folders.
        scenario: Name of the scenario.
        baseline: Controller that the others are compared with.

    Raises:
        RecordsError: A run is missing or damaged, or controllers ran with different seeds.
    """
    from hwsim.comparison import compare
    from hwsim.records.store import RunFolder
    from hwsim.report.comparison_figures import write_comparison_figures
    from hwsim.report.learning_figures import learning_of
    from hwsim.report.page import write_comparison_page

    found = {label: [RunFolder(folder / name) for name in names] for label, names in runs.items()}
    comparison = replace(compare(found, scenario=scenario, baseline=baseline), runs=runs)
    (folder / COMPARISON).write_text(comparison.to_json(), encoding="utf-8")
    (folder / "comparison.csv").write_text(comparison.to_csv(), encoding="utf-8")
    known = {label: learned for label, of_one in found.items() if (learned := learning_of(of_one[0])) is not None}
    write_comparison_figures(comparison, found, folder / "figures", known)
    write_comparison_page(comparison, found, folder, known)
    return comparison


def rewrite_comparison(folder: Path) -> Comparison:
    """Write a comparison's tables, figures and page anew from its runs.

    Raises:
        RecordsError: ``comparison.json`` is damaged or of another version, or a run is missing or damaged.
    """
    path = folder / COMPARISON
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        runs, scenario = told["runs"], told["scenario"]
    except (OSError, ValueError, KeyError, TypeError):
        raise RecordsError(
            f"{path}: damaged, or another version of hwsim wrote it: run 'python -m hwsim compare' again into {folder}"
        ) from None
    return write_comparison(folder, runs, scenario=scenario, baseline=told.get("baseline"))


def default_controllers(scenario: str, sets: Sequence[str] = ()) -> list[str]:
    """Return the baselines that any rule must beat, static at each width of all networks, and ``hysteresis``.

    Raises:
        DocumentError: The scenario is invalid.
    """
    from hwsim import pipeline

    networks = (set(stream.checkpoint.graph.uniform_bits) for stream in pipeline.plan(scenario, sets=sets).streams)
    widths = sorted(set.intersection(*networks), reverse=True)
    return ["static", *(f"static:bits={bits}" for bits in widths[1:]), "hysteresis"]
