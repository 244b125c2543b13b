"""One run, in a program or a notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from hwsim.api.frames import Frame, PandasFrame, to_pandas, to_polars
from hwsim.api.html import card, table
from hwsim.api.settings import RUNS, Changes, sets_of
from hwsim.progress import progress_bar
from hwsim.records.store import RunFolder, TableName
from hwsim.records.streams import streams_of
from hwsim.report.metric_texts import value_text, what_is
from hwsim.report.terminal import SECTIONS, verdict
from hwsim.sweeps.tasks import Task, execute

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from matplotlib.figure import Figure


def run(
    scenario: str | Path, *, controller: str | None = None, seed: int | None = None, changes: Changes | None = None,
    folder: str | Path | None = None, quiet: bool = False,
) -> Result:  # fmt: skip
    """Run a scenario, unless that very run is there already.

    Args:
        scenario: Packaged name or path.
        controller: ``NAME`` or ``NAME:option=value``, instead of the scenario's.
        seed: Instead of the scenario's.
        changes: Dotted path -> value, as ``--set`` takes them: ``{"duration": "10 s", "profile.leakage.power.value":
            "0.4 W"}``.
        folder: Where the records go; ``runs`` and the run's hash by default.
        quiet: No progress, which otherwise stands on a terminal.

    Raises:
        DocumentError: A document is invalid.
        ConfigurationError: The parts do not fit together, or one that is named does not exist.
        InvariantError: A law that must always hold was broken, or the controller failed.
        KeyboardInterrupt: It was interrupted; the folder has the frames that were finished.
    """
    place = None if folder is None else Path(folder)
    task = Task(
        scenario=str(scenario), controller=controller, seed=seed, sets=sets_of(changes),
        parent=RUNS if place is None else place.parent, name=None if place is None else place.name,
    )  # fmt: skip
    with progress_bar(quiet=quiet) as progress:
        outcome = execute(task, progress)
    assert outcome.folder is not None, "what was carried out has a folder"
    return Result(outcome.folder)


class RunTables(Generic[Frame]):
    """The records of a run as data frames; columns have their units in their names."""

    def __init__(self, run: RunFolder, convert: Callable[[pa.Table], Frame]) -> None:
        self._run = run
        self._convert = convert

    def frames(self, columns: Sequence[str] | None = None) -> Frame:
        """Return a row per frame: when it came and ended, under which status, what was answered."""
        return self._table("frames", columns)

    def layers(self, columns: Sequence[str] | None = None) -> Frame:
        """Return a row per layer that ran: its bits, time, cycles, traffic and energy."""
        return self._table("layers", columns)

    def telemetry(self, columns: Sequence[str] | None = None) -> Frame:
        """Return a row per sample of sensors and of the plant's state."""
        return self._table("telemetry", columns)

    def decisions(self, columns: Sequence[str] | None = None) -> Frame:
        """Return a row per decision of the controller."""
        return self._table("decisions", columns)

    def _table(self, name: TableName, columns: Sequence[str] | None) -> Frame:
        return self._convert(self._run.table(name, columns))


class Result(RunTables[PandasFrame]):
    """What one run came to.

    Args:
        folder: Its folder, which may have been made by the command line.

    Raises:
        RecordsError: There is no such folder; later, when something is asked for that is missing or damaged in it.

    Attributes:
        folder: Its folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        super().__init__(RunFolder(self.folder), to_pandas)

    @property
    def summary(self) -> Mapping[str, Any]:
        """Every metric of the run, by name; units are in the names."""
        return self._run.summary

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What ran: the resolved scenario, profile, versions."""
        return self._run.manifest

    @property
    def verdict(self) -> str:
        """One or two sentences on what the run came to."""
        return verdict(self.summary)

    @property
    def polars(self) -> RunTables[pl.DataFrame]:
        """The same tables as data frames of polars."""
        return RunTables(self._run, to_polars)

    @property
    def plot(self) -> RunPlots:
        """The figures of the run."""
        return RunPlots(self._run)

    def report(self) -> Path:
        """Write ``report.html``, the interactive page on the run, and return its path."""
        from hwsim.report.page import write_page

        return write_page(self._run)

    def __repr__(self) -> str:
        ran = f"{self.manifest['scenario_name']} under {self.summary['controller']}"
        return f"Result({str(self.folder)!r}): {ran}. {self.verdict}"

    def _repr_html_(self) -> str:
        summary, manifest = self.summary, self.manifest
        rows = [
            (f"{heading}: {what_is(name)}", value_text(name, summary[name]))
            for heading, metrics in SECTIONS.items()
            for name in metrics
            if name in summary
        ]
        title = f"{manifest['scenario_name']} under {summary['controller']}, seed {manifest['seed']}"
        return card(title, [self.verdict], table(["", "value"], rows), folder=self.folder)


class RunPlots:
    """Figures of a run; a notebook shows what a method returns."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run

    def timeline(self) -> Figure:
        """Return heat, clock, bits, queue and misses over one axis of time."""
        from hwsim.report.run_figures import draw_timeline
        from hwsim.report.style import styled

        with styled():
            return draw_timeline(self._run)

    def layers(self, stream: int = 0) -> Figure:
        """Return mean bits, energy and time of every layer of a stream's network."""
        from hwsim.report.run_figures import draw_layers
        from hwsim.report.style import styled

        with styled():
            return draw_layers(streams_of(self._run)[stream])

    def bits(self, stream: int = 0) -> Figure:
        """Return the bits of every layer of a stream's network over time."""
        from hwsim.report.bits_figure import draw_bit_map
        from hwsim.report.style import styled

        with styled():
            return draw_bit_map(streams_of(self._run)[stream])
