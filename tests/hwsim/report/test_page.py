"""The page of a run says what the records say, and works in a browser without a network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from hwsim import pipeline
from hwsim.records.store import RunFolder, numbers
from hwsim.records.streams import streams_of
from hwsim.report.page import write_page
from hwsim.report.page.findings import assignments, energy_parts, latencies, layer_rows, misses
from hwsim.report.terminal import verdict

CHANGES = ("streams.0.inputs_per_frame=200", "streams.0.deadline='9 ms'", "outputs=lazy", "duration=200 ms")


@pytest.fixture(scope="module")
def run(bursty: str, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("runs") / "page"
    pipeline.run(pipeline.plan(bursty, sets=CHANGES), folder, figures=False)
    return RunFolder(folder)


@pytest.fixture(scope="module")
def page(run: RunFolder) -> str:
    return write_page(run).read_text(encoding="utf-8")


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    outside = r"""(?:src|href)\s*=\s*["'](?!#|data:)|@import|url\((?!data:)|fetch\(|XMLHttpRequest"""
    assert re.findall(outside, page) == []


def test_the_page_tells_verdict_numbers_sources_and_how_to_repeat(run: RunFolder, page: str) -> None:
    assert verdict(run.summary) in page
    assert "python -m hwsim run scenario.yaml" in page
    assert run.manifest["run_id"] in page
    assert "thermal.nodes.junction" in page
    for layer in run.graph.index:
        assert f"<td>{layer}</td>" in page


def test_every_missed_frame_has_one_cause(run: RunFolder) -> None:
    (stream,) = streams_of(run)
    causes = misses(stream, run)
    frames = run.summary["frames_arrived"]
    assert sum(each["frames"] for each in causes) == round(run.summary["deadline_miss_rate"] * frames) > 0
    assert len({each["cause"] for each in causes}) == len(causes)


def test_the_parts_of_the_energy_add_up(run: RunFolder) -> None:
    assert sum(joules for _, joules in energy_parts(run)) == pytest.approx(run.summary["energy_joules"], rel=1e-12)
    assert all(joules > 0 for _, joules in energy_parts(run))


def test_layers_and_latencies_add_up(run: RunFolder) -> None:
    (stream,) = streams_of(run)
    rows, layers = layer_rows(stream), run.table("layers", ["cycles", "array_cycles"])
    stalled = pc.sum(pc.subtract(layers.column("cycles"), layers.column("array_cycles"))).as_py()
    assert sum(row["stalled"] for row in rows) == stalled
    assert all(0 < row["utilisation"] <= 1 for row in rows)
    assert sum(latencies(stream)["counts"]) == run.summary["frames_completed"]


def test_answers_by_assignment_add_up_to_the_accuracy(run: RunFolder) -> None:
    (stream,) = streams_of(run)
    found = assignments(stream)
    frames = np.array([each["frames"] for each in found])
    assert frames.sum() == run.summary["frames_completed"]
    weighted = frames @ np.array([each["accuracy"] for each in found]) / frames.sum()
    assert weighted == pytest.approx(run.summary["accuracy"])
    assert len(found) > 1


def test_curves_keep_every_peak(run: RunFolder, page: str) -> None:
    drawn = json.loads(re.findall(r'id="drawn">(.*?)</script>', page, re.DOTALL)[0])
    lines = {panel["title"]: panel["lines"] for panel in drawn["panels"]}
    junction = numbers(run.table("telemetry", ["junction_celsius"]).column(0))
    drawn_peak = max(next(line for line in lines["Temperature"] if line["name"] == "junction")["values"])
    assert drawn_peak == pytest.approx(junction.max(), rel=1e-5)
    assert max(lines["Queue"][0]["values"]) == run.manifest["scenario"]["queue"]["capacity"]
    assert {len(row) for row in drawn["maps"][0]["rows"]} == {300}


def test_a_run_in_which_nothing_arrives_has_a_page(bursty: str, tmp_path: Path) -> None:
    never = ["streams.0.arrivals.offset='50 ms'", "streams.0.arrivals.bursts=null", "duration=20 ms"]
    pipeline.run(pipeline.plan(bursty, sets=never), tmp_path / "run", figures=False)
    assert "No frame arrived" in write_page(RunFolder(tmp_path / "run")).read_text(encoding="utf-8")


def test_several_streams_are_told_apart(tmp_path: Path) -> None:
    pipeline.run(
        pipeline.plan("two_streams", sets=["outputs=none", "duration=400 ms"]), tmp_path / "run", figures=False
    )
    run = RunFolder(tmp_path / "run")
    page = write_page(run).read_text(encoding="utf-8")
    for stream in streams_of(run):
        assert f"<h3>{stream.name}</h3>" in page
        assert f"Queue of {stream.name}" in page


def test_report_writes_all_anew(hwsim: Callable[..., Any], run: RunFolder) -> None:
    answer = hwsim("report", run.path)
    assert answer.code == 0
    assert {Path(line).name for line in answer.out.split()} >= {"report.html", "timeline.pftrace", "bits.svg"}
    hwsim("report", run.path / "nowhere").refused("no such run folder")


def test_a_browser_draws_reads_and_zooms_it(page: str, run: RunFolder, browser: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    assert page
    browser.get((run.path / "report.html").as_uri())
    panels = browser.find_elements("css selector", "#panels svg")
    assert len(panels) == 6
    assert len(browser.find_elements("css selector", "#maps rect")) >= len(run.graph.layers)
    legends = "return [...document.querySelectorAll('#panels .legend')].map(each => each.textContent)"
    before = browser.execute_script(legends)
    ActionChains(browser).move_to_element(panels[0]).perform()
    assert all(new != old for new, old in zip(browser.execute_script(legends), before, strict=True))  # linked axes
    assert len(browser.find_elements("css selector", "#panels .cursor")) == 6
    ActionChains(browser).click_and_hold(panels[0]).move_by_offset(120, 0).release().perform()
    span = "return view.to - view.from"
    assert 0 < browser.execute_script(span) < 0.5 * run.summary["simulated_seconds"]
    ActionChains(browser).double_click(panels[0]).perform()
    assert browser.execute_script(span) == run.summary["simulated_seconds"]
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(colour)
    browser.find_element("id", "theme").click()
    assert browser.execute_script(colour) != light
    assert browser.get_log("browser") == []


def test_everything_fits_on_printed_paper(page: str, run: RunFolder, browser: Any) -> None:
    paper = {"width": 703, "height": 1032, "deviceScaleFactor": 1, "mobile": False}  # A4 less 12 mm, at 96 to the inch
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.get((run.path / "report.html").as_uri())
    edges = browser.execute_script(
        "return [...document.querySelectorAll('table, pre, svg, p')].map(each => each.getBoundingClientRect().right)"
    )
    assert len(edges) > 10
    assert max(edges) <= 703
    hidden = browser.execute_script(
        "return [...document.querySelectorAll('button, nav')].map(each => each.offsetHeight)"
    )
    assert set(hidden) == {0}
    texts = browser.execute_script(
        "return [...document.querySelectorAll('td')].map(each => getComputedStyle(each).color)"
    )
    assert set(texts) == {"rgb(0, 0, 0)"}
