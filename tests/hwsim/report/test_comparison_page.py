"""The page of a comparison says what its figures say, and works in a browser without a network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.comparison import Comparison
from hwsim.records.store import RunFolder
from hwsim.regret import worths
from hwsim.replications import compare_controllers
from hwsim.report.learning_figures import PARTS, learning_of
from hwsim.report.page import COMPARISON_FILE

CONTROLLERS = ("static", "static:bits=2", "linucb_probe")
CHANGES = (
    "streams.0.inputs_per_frame=20", "streams.0.deadline='9 ms'", "outputs=lazy", "duration=200 ms",
    "streams.0.drift=[{at: 100 ms, data: digits+noise0.5@1}]",
)  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """A comparison and where it lies."""

    folder: Path
    comparison: Comparison

    @property
    def page(self) -> str:
        return (self.folder / COMPARISON_FILE).read_text(encoding="utf-8")

    @property
    def drawn(self) -> Any:
        return json.loads(re.findall(r'id="drawn">(.*?)</script>', self.page, re.DOTALL)[0])


@pytest.fixture(scope="module")
def compared(bursty: str, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    folder = tmp_path_factory.mktemp("compared") / "out"
    comparison = compare_controllers(
        bursty, CONTROLLERS, replications=2, jobs=1, folder=folder, sets=CHANGES, baseline="static"
    )
    return Compared(folder, comparison)


def test_the_page_needs_nothing_but_itself(compared: Compared) -> None:
    outside = r"""(?:src|href)\s*=\s*["'](?!#|data:)|@import|url\((?!data:)|fetch\(|XMLHttpRequest"""
    assert re.findall(outside, compared.page) == []


def test_the_page_shows_every_controller_its_differences_and_the_command(compared: Compared) -> None:
    drawn = compared.drawn
    assert [point["label"] for point in drawn["points"]] == list(CONTROLLERS)
    energy = compared.comparison.controllers["static"]["energy_per_input_joules"].mean
    assert energy is not None
    assert drawn["points"][0]["energy"][0] == pytest.approx(1e3 * energy, rel=1e-5)
    front = {point["label"] for point in drawn["points"] if point["front"]}
    assert compared.comparison.pareto is not None
    assert front == set(compared.comparison.pareto.front)
    assert {row["label"] for each in drawn["differences"] for row in each["rows"]} == {"static:bits=2", "linucb_probe"}
    assert "--baseline &#39;static&#39; --replications 2" in compared.page
    for label in CONTROLLERS:
        assert f"{label}: temperature" in compared.page


def test_regret_and_probes_over_time_add_up_to_those_of_the_run(compared: Compared) -> None:
    run = RunFolder(compared.folder / compared.comparison.runs["linucb_probe"][0])
    found = learning_of(run)
    assert found is not None
    (whole,) = worths(run.path)
    assert found.regret[-1] == pytest.approx(whole.regret[-1])
    assert found.changes_seconds == (0.1,)
    part = run.summary["simulated_seconds"] / PARTS
    assert (
        np.sum(found.probes_per_second) * part <= run.summary["probes"] + 1e-9
    )  # some of the average lies beyond the ends
    assert bool(found.probes_per_second.any()) == bool(run.summary["probes"])


def test_report_writes_a_comparison_anew(hwsim: Callable[..., Any], compared: Compared) -> None:
    before = {path.name: path.read_bytes() for path in compared.folder.iterdir() if path.is_file()}
    answer = hwsim("report", compared.folder)
    assert answer.code == 0
    assert {Path(line).name for line in answer.out.split()} == {
        "comparison.html", "tradeoff.svg", "timeseries.svg", "multiples.svg", "regret.svg",
    }  # fmt: skip
    assert {name: (compared.folder / name).read_bytes() for name in before} == before


def test_a_damaged_comparison_is_refused(hwsim: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "comparison.json").write_text("{}", encoding="utf-8")
    hwsim("report", tmp_path).refused("another version of hwsim wrote it")


def test_a_browser_draws_it_and_reads_a_point(compared: Compared, browser: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    browser.get((compared.folder / COMPARISON_FILE).as_uri())
    points = browser.find_elements("css selector", "#points .point")
    assert len(points) == len(CONTROLLERS)
    shape = points[1].find_element("css selector", "circle,rect")
    ActionChains(browser).move_to_element(shape).perform()
    assert browser.find_element("id", "told").text.startswith("static:bits=2: ")
    assert len(browser.find_elements("css selector", "#differences svg")) == len(compared.drawn["differences"]) > 0
    assert len(browser.find_elements("css selector", "#panels svg")) == len(compared.drawn["panels"])
    theme = "return document.documentElement.dataset.theme"
    before = browser.execute_script(theme)
    browser.find_element("id", "theme").click()
    assert browser.execute_script(theme) != before
    assert browser.get_log("browser") == []
