"""A space of settings explored, in a program or a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import pyarrow as pa

from hwsim.api.frames import Frame, PandasFrame, to_pandas, to_polars
from hwsim.api.html import card, table
from hwsim.api.runs import Result
from hwsim.api.settings import RUNS, Changes, sets_of
from hwsim.progress import progress_bar
from hwsim.report.metric_texts import value_text, what_is
from hwsim.sweeps.results import SweepResult
from hwsim.sweeps.table import column_of, short_names, shown

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure


def sweep(
    scenario: str | Path, parameters: Mapping[str, Any] | None = None, *, method: Mapping[str, Any] | None = None,
    objectives: Mapping[str, str] | None = None, replications: int | None = None, changes: Changes | None = None,
    executor: str = "serial", jobs: int | None = None, folder: str | Path | None = None, quiet: bool = False,
) -> SweptRuns:  # fmt: skip
    """Run a scenario at many points of a space of settings; runs that are there are not repeated.

    Args:
        scenario: Packaged name or path; what it has under ``sweep:`` holds where nothing else is given here.
        parameters: Dotted path -> a list of values, or a range such as ``{"low": "1 ms", "high": "1 s", "points": 4}``.
        method: Such as ``{"kind": "random", "samples": 50}``.
        objectives: Metric -> ``"minimise"`` or ``"maximise"``.
        replications: Runs of each point, under seeds that follow one another.
        changes: Dotted path -> value, for all runs, as ``run`` takes them.
        executor: Who carries out the runs: ``serial``, ``processes`` or ``ray``; with processes, a script must start
            its work under ``if __name__ == "__main__":``.
        jobs: Processes; one per core by default.
        folder: Where the runs go; ``runs/sweep-SCENARIO`` by default.
        quiet: No progress, which otherwise stands on a terminal.

    Raises:
        DocumentError: A document is invalid.
        ConfigurationError: Nothing is varied, a value is not allowed, or a name does not exist.
    """
    from hwsim.sweeps.executors import build_executor, usable_cores
    from hwsim.sweeps.reading import read_sweep
    from hwsim.sweeps.sweep import run_sweep

    block = {"parameters": parameters, "method": method, "objectives": objectives, "replications": replications}
    given = {f"sweep.{key}": value for key, value in block.items() if value is not None}
    plan = read_sweep(str(scenario), sets=sets_of({**(changes or {}), **given}))
    place = RUNS / f"sweep-{plan.name}" if folder is None else Path(folder)
    with progress_bar(quiet=quiet, estimates=False) as progress:
        outcome = run_sweep(plan, build_executor(executor, jobs or usable_cores()), folder=place, progress=progress)
    return SweptRuns(outcome)


class SweepTables(Generic[Frame]):
    """A sweep as data frames."""

    def __init__(self, outcome: SweepResult, convert: Callable[[pa.Table], Frame]) -> None:
        self.outcome = outcome
        self._convert = convert

    def table(self) -> Frame:
        """Return a row per run: what was set, and every metric."""
        return self._convert(self.outcome.table)

    def front(self) -> Frame:
        """Return a row per point that no other beats: what was set, and the objectives."""
        points, plan = self.outcome.front, self.outcome.plan
        settings = {path: column_of([each.point.values[path] for each in points]) for path in plan.sweep.parameters}
        judged = {
            metric: pa.array([each.objectives[metric] for each in points], pa.float64()) for metric in plan.objectives
        }
        return self._convert(pa.table(settings | judged))


class SweptRuns(SweepTables[PandasFrame]):
    """What a sweep came to.

    Attributes:
        outcome: Points, the front, what failed.
        folder: Where its runs and files lie.
    """

    def __init__(self, outcome: SweepResult) -> None:
        super().__init__(outcome, to_pandas)
        self.folder = outcome.folder

    @property
    def runs(self) -> tuple[Result, ...]:
        """The runs, in the order of the table."""
        return tuple(Result(folder) for folder in self.outcome.run_folders)

    @property
    def polars(self) -> SweepTables[pl.DataFrame]:
        """The same tables as data frames of polars."""
        return SweepTables(self.outcome, to_polars)

    @property
    def plot(self) -> SweepPlots:
        """The figures of the sweep."""
        return SweepPlots(self.outcome)

    def __repr__(self) -> str:
        return f"SweptRuns({str(self.folder)!r}): {self._told}"

    @property
    def _told(self) -> str:
        found, failed = self.outcome, len(self.outcome.failed)
        told = f"{found.plan.name}: of {len(found.points)} points, {len(found.front)} that no other beats"
        return f"{told}; {failed} runs failed" if failed else told

    def _repr_html_(self) -> str:
        metrics: Sequence[str] = list(self.outcome.plan.objectives)
        rows = [
            (
                *map(shown, each.point.values.values()),
                *(value_text(metric, each.objectives[metric]) for metric in metrics),
            )
            for each in self.outcome.front
        ]
        headings = [*short_names(tuple(self.outcome.plan.sweep.parameters)).values(), *map(what_is, metrics)]
        return card(self.outcome.plan.name, [self._told], table(headings, rows), folder=self.folder)


class SweepPlots:
    """Figures of a sweep; a notebook shows what a method returns."""

    def __init__(self, outcome: SweepResult) -> None:
        self._outcome = outcome

    def pareto(self) -> Figure:
        """Return the points in the plane of the first two objectives, and those that no other beats."""
        from hwsim.report.style import styled
        from hwsim.report.sweep_figures import draw_pareto

        with styled():
            return draw_pareto(self._outcome)

    def effects(self) -> Figure:
        """Return each objective against each parameter."""
        from hwsim.report.style import styled
        from hwsim.report.sweep_figures import draw_effects

        with styled():
            return draw_effects(self._outcome)
