"""Runs, comparisons and sweeps from a program: tables, figures, and what a notebook shows."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from matplotlib.figure import Figure

import hwsim
from hwsim.errors import ConfigurationError, RecordsError

SHORT = {"duration": "12 ms"}


@pytest.fixture(scope="module")
def result(bursty: str, tmp_path_factory: pytest.TempPathFactory) -> hwsim.Result:
    return hwsim.run(bursty, changes=SHORT, folder=tmp_path_factory.mktemp("api") / "run")


@pytest.fixture(scope="module")
def compared(bursty: str, tmp_path_factory: pytest.TempPathFactory) -> hwsim.ComparedRuns:
    return hwsim.compare(
        bursty, ["static", "static:bits=2"], replications=2, baseline="static", changes=SHORT,
        folder=tmp_path_factory.mktemp("compared"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def swept(bursty: str, tmp_path_factory: pytest.TempPathFactory) -> hwsim.SweptRuns:
    return hwsim.sweep(
        bursty, {"controller.name": ["static", "hysteresis"], "streams.0.inputs_per_frame": [40, 120]},
        objectives={"energy_joules": "minimise", "deadline_miss_rate": "minimise"},
        changes={**SHORT, "controller.options": {}}, folder=tmp_path_factory.mktemp("swept"),
    )  # fmt: skip


class Cells(HTMLParser):
    """Checks that tags are closed, and collects what table cells say."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def cells(shown: Any) -> list[str]:
    parser = Cells()
    parser.feed(shown._repr_html_())
    assert parser.open == []
    return parser.cells


def test_a_run_has_its_summary_and_its_tables(result: hwsim.Result) -> None:
    frames = result.frames()
    assert isinstance(frames, pd.DataFrame)
    assert len(frames) == result.summary["frames_arrived"]
    completed = frames[frames.status.isin(["on_time", "late"])]
    assert completed.input_indices.map(len).sum() == result.summary["inputs_completed"]
    inference = result.layers(["frame", "energy_joules"])
    assert list(inference.columns) == ["frame", "energy_joules"]
    assert inference.groupby("frame").energy_joules.sum().max() > 0
    assert result.telemetry().junction_celsius.max() <= result.summary["peak_die_temperature_celsius"] + 1e-9
    assert len(result.decisions()) >= 1
    assert result.manifest["run_id"] == result.summary["run_id"]


def test_the_same_tables_are_there_for_polars(result: hwsim.Result) -> None:
    frames = result.polars.frames()
    assert isinstance(frames, pl.DataFrame)
    assert frames.height == len(result.frames())
    assert frames["energy_joules"].sum() == pytest.approx(result.frames().energy_joules.sum())


def test_without_polars_it_is_named(result: hwsim.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ConfigurationError, match=r"polars is not installed: pip install 'bitmixer-hwsim\[frames\]'"):
        result.polars.frames()


def test_a_run_shows_itself(result: hwsim.Result) -> None:
    assert repr(result).startswith(f"Result({str(result.folder)!r}): bursty under hysteresis:")
    shown = cells(result)
    assert "Frames: late or dropped" in shown
    assert f"{result.summary['energy_joules']:,.2f} J" in shown
    assert result.verdict in result._repr_html_()


@pytest.mark.parametrize("figure", ["timeline", "layers", "bits"])
def test_a_run_draws_its_figures(result: hwsim.Result, figure: str) -> None:
    drawn = getattr(result.plot, figure)()
    assert isinstance(drawn, Figure)
    assert drawn._repr_svg_().lstrip().startswith("<?xml")


def test_the_page_is_written_on_demand(result: hwsim.Result) -> None:
    assert result.report() == result.folder / "report.html"
    assert result.report().is_file()


def test_a_run_that_is_there_is_not_repeated(
    bursty: str, result: hwsim.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwsim.pipeline.run", None)
    again = hwsim.run(bursty, changes=SHORT, folder=result.folder)
    assert again.summary == result.summary == hwsim.Result(str(result.folder)).summary


def test_a_run_without_a_folder_is_named_by_its_hash(
    bursty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changed = hwsim.run(bursty, controller="static:bits=2", seed=5, changes=SHORT)
    assert changed.folder == Path("runs") / changed.summary["run_id"]
    assert (changed.manifest["seed"], changed.summary["controller"]) == (5, "static:bits=2")


def test_errors_are_those_of_the_command_line(bursty: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'hysteresis'"):
        hwsim.run(bursty, controller="histeresis")
    with pytest.raises(RecordsError, match="no such run folder"):
        hwsim.Result(tmp_path / "nothing")
    with pytest.raises(AttributeError, match="no attribute 'rnu'"):
        _ = hwsim.rnu


@pytest.mark.parametrize("seed", ["x", 1.5, -1, True])
def test_a_seed_is_a_whole_number(bursty: str, seed: Any) -> None:
    with pytest.raises(ConfigurationError, match="seed: expected a whole number from 0; got"):
        hwsim.run(bursty, seed=seed)


def test_a_comparison_has_rows_of_means_and_intervals(compared: hwsim.ComparedRuns) -> None:
    table = compared.table()
    assert list(table.columns) == ["controller", "metric", "mean", "low", "high"]
    energy = table[table.metric == "energy_joules"].set_index("controller")["mean"]
    runs = compared.runs["static:bits=2"]
    assert energy["static:bits=2"] == pytest.approx(sum(run.summary["energy_joules"] for run in runs) / 2)
    less = compared.polars.differences().filter(pl.col("metric") == "energy_joules")
    assert less["controller"].to_list() == ["static:bits=2"]
    assert less["mean"][0] == pytest.approx(energy["static:bits=2"] - energy["static"])
    assert [run.manifest["seed"] for run in runs] == [3, 4]


def test_a_comparison_shows_itself_and_draws(compared: hwsim.ComparedRuns) -> None:
    assert "static:bits=2" in cells(compared)
    assert "bursty under static, static:bits=2" in repr(compared)
    for drawn in (compared.plot.tradeoff(), compared.plot.timeseries()):
        assert isinstance(drawn, Figure)


def test_a_sweep_has_a_row_per_run(swept: hwsim.SweptRuns) -> None:
    table = swept.table()
    assert list(zip(table["controller.name"], table["streams.0.inputs_per_frame"], strict=True)) == [
        ("static", 40), ("static", 120), ("hysteresis", 40), ("hysteresis", 120),
    ]  # fmt: skip
    assert [run.summary["run_id"] for run in swept.runs] == list(table.run_id)
    front = swept.front()
    assert set(front.columns) == {
        "controller.name", "streams.0.inputs_per_frame", "energy_joules", "deadline_miss_rate",
    }  # fmt: skip
    assert swept.polars.front().height == len(front) >= 1
    assert front.energy_joules.min() == table.energy_joules.min()


def test_a_sweep_shows_itself_and_draws(swept: hwsim.SweptRuns) -> None:
    assert "controller.name" in cells(swept)
    assert "bursty: of 4 points, " in repr(swept)
    for drawn in (swept.plot.pareto(), swept.plot.effects()):
        assert isinstance(drawn, Figure)


def test_the_page_s_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(hwsim.__file__).parent.parent / "docs" / "python_api.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block.replace('"duration": "2 s"', '"duration": "200 ms"'), names)
    assert (tmp_path / "timeline.pdf").is_file()
    assert list(names["by_layer"].columns) == ["energy_joules"]
    assert len(names["late"]) < len(names["frames"])
    assert set(names["energy"].controller) == {"static", "static:bits=2", "hysteresis"}
    assert set(names["saved"].controller) == {"static:bits=2", "hysteresis"}
    assert len(names["runs"]) == 4
