"""A whole sweep: the runs of its points are made, unless they are there, and put into a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hwsim.comparison import metrics_of
from hwsim.config.sweep import Nsga2
from hwsim.errors import ConfigurationError
from hwsim.records.store import RunFolder
from hwsim.sweeps.executors import Executor
from hwsim.sweeps.pace import Pace
from hwsim.sweeps.points import Point, points_of
from hwsim.sweeps.reading import SweepPlan
from hwsim.sweeps.results import RUNS, JudgedPoint, SweepResult
from hwsim.sweeps.search import search
from hwsim.sweeps.shards import Shard
from hwsim.sweeps.table import FinishedRun, runs_table
from hwsim.sweeps.tasks import Outcome, Progress, Task, Work, attempt, carry_out, look_up


def run_sweep(
    plan: SweepPlan, executor: Executor, *, folder: Path, shard: Shard | None = None, collect: bool = False,
    progress: Progress = lambda stage, share: None,
) -> SweepResult:  # fmt: skip
    """Make the runs that are not there, and write tables, figures and ``sweep.json`` into ``folder``.

    Interrupted, it writes what is finished before the interruption goes on; called again, it makes the rest.

    Args:
        plan: The sweep.
        executor: Who carries out the runs; ended before anything is written.
        folder: Where they lie, and where the results go.
        shard: Part of the runs that is to be made; nothing but these runs is written then.
        collect: Make no runs; take those that are there.
        progress: Told how far it is.

    Raises:
        ConfigurationError: A search was asked for a part of its runs.
        ExecutorError: Processes died again and again.
    """
    runs = _Runs(plan, executor, folder.resolve(), look_up if collect else attempt, progress)
    try:
        with executor:
            _make(runs, plan, shard)
    except KeyboardInterrupt:
        if shard is None:
            runs.result().write()
        raise
    result = runs.result()
    if shard is None:
        result.write()
    return result


def _make(runs: _Runs, plan: SweepPlan, shard: Shard | None) -> None:
    parameters, method = plan.sweep.parameters, plan.sweep.method
    if not isinstance(method, Nsga2):
        tasks = runs.tasks(points_of(parameters, method))
        tasks = tasks if shard is None else shard.of(tasks)
        runs.pace = Pace(len(tasks))
        runs.make(tasks)
        return
    if shard is not None:
        raise ConfigurationError("--shard: nsga2 must know all results before it goes on: use --executor ray")
    runs.pace = Pace(method.trials * len(plan.seeds))
    search(parameters, tuple(plan.objectives.values()), method, runs.judge)


@dataclass(eq=False)
class _Runs:
    """The runs of a sweep as they are made.

    Attributes:
        plan: The sweep.
        executor: Who carries them out.
        folder: Folder of the sweep.
        work: What is done for each.
        progress: Told how far it is.
        pace: How far that is.
        points: The points that were asked for, by what they set.
        outcomes: What became of each run.
    """

    plan: SweepPlan
    executor: Executor
    folder: Path
    work: Work
    progress: Progress
    pace: Pace = field(default_factory=lambda: Pace(0))
    points: dict[tuple[str, ...], Point] = field(default_factory=dict)
    outcomes: dict[Task, Outcome] = field(default_factory=dict)

    def tasks(self, points: Sequence[Point]) -> list[Task]:
        """Return the runs of points, each once."""
        self.points |= {point.sets: point for point in points if point.sets not in self.points}
        return list(dict.fromkeys(task for point in points for task in self._of(point)))

    def make(self, tasks: Sequence[Task]) -> None:
        """Carry out runs."""
        for task, outcome in carry_out(self.work, tasks, self.executor, self.pace, self.progress):
            self.outcomes[task] = outcome

    def judge(self, points: Sequence[Point]) -> list[tuple[float, ...] | None]:
        """Return the objectives of each point, once the runs are made that are not known yet."""
        new = [task for task in self.tasks(points) if task not in self.outcomes]
        self.make(new)
        for _ in range(len(points) * len(self.plan.seeds) - len(new)):
            self.pace.count(is_new=False)
        judged = map(self._judged, points)
        return [None if each is None else each.values for each in judged]

    def result(self) -> SweepResult:
        """Return what the points came to so far."""
        points = self.points.values()
        ended = [(point, task, self.outcomes.get(task, Outcome())) for point in points for task in self._of(point)]
        finished = [
            FinishedRun(point=point, folder=outcome.folder) for point, _, outcome in ended if outcome.folder is not None
        ]
        failed = tuple(
            {"parameters": dict(point.values), "seed": task.seed, "error": outcome.error}
            for point, task, outcome in ended
            if outcome.error is not None
        )
        return SweepResult(
            plan=self.plan, folder=self.folder, table=runs_table(finished, tuple(self.plan.sweep.parameters)),
            points=tuple(each for each in map(self._judged, points) if each is not None),
            failed=failed, missing=len(ended) - len(finished) - len(failed),
        )  # fmt: skip

    def _judged(self, point: Point) -> JudgedPoint | None:
        """Return a point whose runs are all there."""
        folders = [self.outcomes.get(task, Outcome()).folder for task in self._of(point)]
        summaries = [RunFolder(folder).summary for folder in folders if folder is not None]
        if len(summaries) < len(folders):
            return None
        metrics = list(map(metrics_of, summaries))
        return JudgedPoint(
            point=point, run_ids=tuple(summary["run_id"] for summary in summaries),
            objectives={name: _mean([of_one.get(name) for of_one in metrics]) for name in self.plan.objectives},
        )  # fmt: skip

    def _of(self, point: Point) -> Iterator[Task]:
        for seed in self.plan.seeds:
            yield Task(
                scenario=self.plan.scenario, seed=seed, sets=(*self.plan.sets, *point.sets), parent=self.folder / RUNS
            )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None
