"""One run among many: a pure function of its task, so that it is not repeated where its result is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bitmixer.errors import BitmixerError
from hwsim.errors import HwsimError
from hwsim.sweeps.executors import Executor
from hwsim.sweeps.pace import Pace

if TYPE_CHECKING:
    from hwsim.planning import Plan

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one run is made from.

    Attributes:
        scenario: Packaged name or path.
        controller: Instead of the scenario's.
        seed: Instead of the scenario's.
        sets: ``path=value`` changes.
        parent: Folder of all runs.
        name: Name of the run's folder; none: its hash, so that equal runs are one.
    """

    scenario: str
    controller: str | None = None
    seed: int | None = None
    sets: tuple[str, ...]
    parent: Path
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a task.

    Attributes:
        folder: The run's folder; none where it was refused or failed, or does not exist and is not to be made.
        is_new: Whether it was made for this task.
        error: Why there is no run.
    """

    folder: Path | None = None
    is_new: bool = False
    error: str | None = None


Work = Callable[[Task], Outcome]


def execute(task: Task, progress: Progress = lambda stage, share: None) -> Outcome:
    """Carry out one run, unless its folder already holds it whole.

    Args:
        task: The run.
        progress: Told how far it is.

    Raises:
        HwsimError: The run is refused, or failed.
        KeyboardInterrupt: It was interrupted.
    """
    from hwsim import pipeline

    planned, folder = _planned(task)
    if is_done(folder, planned.run_id):
        return Outcome(folder=folder)
    if pipeline.run(planned, folder, figures=False, progress=progress).get("interrupted"):
        raise KeyboardInterrupt
    return Outcome(folder=folder, is_new=True)


def attempt(task: Task) -> Outcome:
    """Carry out one run; say why where it is refused or fails, so that others go on."""
    try:
        return execute(task)
    except (HwsimError, BitmixerError) as error:
        return Outcome(error=str(error))


def look_up(task: Task) -> Outcome:
    """Return the run if it is there; make none."""
    planned, folder = _planned(task)
    return Outcome(folder=folder if is_done(folder, planned.run_id) else None)


def _planned(task: Task) -> tuple[Plan, Path]:
    """Return a run ready to start, and its folder."""
    from hwsim import pipeline

    planned = pipeline.plan(task.scenario, controller=task.controller, seed=task.seed, sets=task.sets)
    return planned, task.parent / (task.name or planned.run_id)


def is_done(folder: Path, run_id: str) -> bool:
    """Whether a folder holds a complete run of this identity; the summary is written last."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return summary.get("run_id") == run_id and not summary.keys() & {"interrupted", "failed"}


def carry_out(
    work: Work, tasks: Sequence[Task], executor: Executor, pace: Pace, progress: Progress
) -> Iterator[tuple[Task, Outcome]]:
    """Yield each task with its outcome as it ends, and say how far it is and how long the rest will take."""
    progress(pace.told, pace.share)
    for position, outcome in executor.map(work, tasks):
        pace.count(is_new=outcome.is_new)
        progress(pace.told, pace.share)
        yield tasks[position], outcome
