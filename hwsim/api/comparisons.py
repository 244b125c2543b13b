"""Controllers side by side, in a program or a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic

import pyarrow as pa

from hwsim.api.frames import Frame, PandasFrame, to_pandas, to_polars
from hwsim.api.html import card, table
from hwsim.api.runs import Result
from hwsim.api.settings import RUNS, Changes, sets_of
from hwsim.comparison import Comparison, Interval
from hwsim.progress import progress_bar
from hwsim.records.store import RunFolder
from hwsim.report.metric_texts import value_text, what_is
from hwsim.report.terminal import COMPARED

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure


def compare(
    scenario: str | Path, controllers: Sequence[str] | None = None, *, replications: int = 20,
    baseline: str | None = None, changes: Changes | None = None, executor: str = "processes", jobs: int = 1,
    folder: str | Path | None = None, quiet: bool = False,
) -> ComparedRuns:  # fmt: skip
    """Run a scenario under several controllers and seeds; runs that are there are not repeated.

    Args:
        scenario: Packaged name or path.
        controllers: Each ``NAME`` or ``NAME:option=value``; by default static at every width of the network, and
            hysteresis.
        replications: Seeds per controller.
        baseline: One of the controllers that the others are compared with, seed by seed and input by input.
        changes: Dotted path -> value, as ``run`` takes them.
        executor: Who carries out the runs: ``serial``, ``processes`` or ``ray``.
        jobs: Processes; with several, a script must start its work under ``if __name__ == "__main__":``.
        folder: Where the runs go; ``runs/compare-SCENARIO`` by default.
        quiet: No progress, which otherwise stands on a terminal.

    Raises:
        DocumentError: A document is invalid.
        ConfigurationError: No controller, one twice, or a part of the scenario is invalid.
    """
    from hwsim import pipeline
    from hwsim.replications import compare_controllers, default_controllers

    name, sets = str(scenario), sets_of(changes)
    place = RUNS / f"compare-{Path(name).stem}" if folder is None else Path(folder)
    labels = default_controllers(name, sets) if controllers is None else list(controllers)
    with progress_bar(quiet=quiet, estimates=False) as progress:
        comparison = compare_controllers(
            name, labels, replications=replications, jobs=jobs, folder=place, sets=sets, baseline=baseline,
            executor=executor, progress=progress,
        )  # fmt: skip
    first = pipeline.plan(name, sets=sets).scenario.seed
    runs = {
        label: tuple(Result(pipeline.run_folder(place, label, first + number)) for number in range(replications))
        for label in labels
    }
    return ComparedRuns(comparison, runs, place)


class ComparisonTables(Generic[Frame]):
    """The statistics as data frames."""

    def __init__(self, comparison: Comparison, convert: Callable[[pa.Table], Frame]) -> None:
        self.statistics = comparison
        self._convert = convert

    def table(self) -> Frame:
        """Return a row per controller and metric: its mean, and the ends of its 95 % interval."""
        return self._convert(_rows(self.statistics.controllers))

    def differences(self) -> Frame:
        """Return the same of what each controller has more than the baseline; no rows without one."""
        return self._convert(_rows(self.statistics.differences))


class ComparedRuns(ComparisonTables[PandasFrame]):
    """What a comparison came to.

    Attributes:
        statistics: Means and 95 % intervals of every metric, by controller.
        runs: Controller -> its runs, seed by seed.
        folder: Where they lie.
    """

    def __init__(self, comparison: Comparison, runs: Mapping[str, tuple[Result, ...]], folder: Path) -> None:
        super().__init__(comparison, to_pandas)
        self.runs = runs
        self.folder = folder

    @property
    def polars(self) -> ComparisonTables[pl.DataFrame]:
        """The same tables as data frames of polars."""
        return ComparisonTables(self.statistics, to_polars)

    @property
    def plot(self) -> ComparisonPlots:
        """The figures of the comparison."""
        return ComparisonPlots(self.statistics, self.runs)

    def __repr__(self) -> str:
        names = ", ".join(self.runs)
        return f"ComparedRuns({str(self.folder)!r}): {self.statistics.scenario} under {names}"

    def _repr_html_(self) -> str:
        rows = [
            (name, *(_told(metric, metrics[metric]) for metric in COMPARED))
            for name, metrics in self.statistics.controllers.items()
        ]
        told = f"Means of {self.statistics.replications} runs of each controller, with 95 % intervals."
        headings = ["controller", *map(what_is, COMPARED)]
        return card(self.statistics.scenario, [told], table(headings, rows), folder=self.folder)


class ComparisonPlots:
    """Figures of a comparison; a notebook shows what a method returns."""

    def __init__(self, comparison: Comparison, runs: Mapping[str, tuple[Result, ...]]) -> None:
        self._comparison = comparison
        self._runs = runs

    def tradeoff(self) -> Figure:
        """Return energy against what is right and on time, with intervals."""
        from hwsim.report.comparison_figures import draw_tradeoff
        from hwsim.report.style import styled

        with styled():
            return draw_tradeoff(self._comparison)

    def timeseries(self) -> Figure:
        """Return heat, clock, bits and misses of the first run of each controller, side by side."""
        from hwsim.report.comparison_figures import draw_timeseries
        from hwsim.report.style import styled

        with styled():
            return draw_timeseries({name: RunFolder(runs[0].folder) for name, runs in self._runs.items()})


def _rows(controllers: Mapping[str, Mapping[str, Interval]]) -> pa.Table:
    rows = [
        {"controller": name, "metric": metric, "mean": interval.mean, "low": interval.low, "high": interval.high}
        for name, metrics in controllers.items()
        for metric, interval in metrics.items()
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


_SCHEMA = pa.schema(
    [("controller", pa.string()), ("metric", pa.string()), *((end, pa.float64()) for end in ("mean", "low", "high"))]
)


def _told(metric: str, interval: Interval) -> str:
    """Return a mean, with its interval where that has a width that shows."""
    mean, low, high = (value_text(metric, value) for value in (interval.mean, interval.low, interval.high))
    return mean if low == high else f"{mean} ({low} to {high})"
