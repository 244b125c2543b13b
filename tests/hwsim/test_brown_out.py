"""The story that ``scenarios/brown_out.yaml`` tells in its head, and what a battery adds to documents and records."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim import pipeline
from hwsim.config.packaged import find
from hwsim.config.scenario import load_scenario
from hwsim.records.store import RunFolder
from hwsim.report.run_figures import draw_timeline
from hwsim.setting_up import simulation_setup

SECOND = 10**12
CELLS = "profile.battery."


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunFolder]:
    def simulated(controller: str) -> RunFolder:
        folder = tmp_path_factory.mktemp("run")
        pipeline.run(pipeline.plan("brown_out", controller=controller, sets=["outputs=none"]), folder, figures=False)
        return RunFolder(folder)

    return simulated


@pytest.fixture(scope="module")
def hungry(run: Callable[[str], RunFolder]) -> RunFolder:
    return run("static")


def test_at_8_bits_the_device_browns_out_and_recovers_and_browns_out_again(hungry: RunFolder) -> None:
    summary = hungry.summary
    assert 60 < summary["battery_life_seconds"] < 120
    status = hungry.table("frames", ["status"]).column("status").to_pylist()
    assert [what for what, _ in itertools.groupby(status)] == ["on_time", "aborted", "dropped_queue"] * 2
    telemetry = hungry.table("telemetry")
    charge, available, state, harvested = (
        np.array(telemetry.column(name))
        for name in ("battery_state_of_charge", "battery_available_joules", "power_state", "harvested_watts")
    )
    off = np.flatnonzero(state == "brown_out")
    assert charge[off[0]] > 1 / 3
    cloudy = off[np.isclose(harvested[off], 0.2)]
    assert available[cloudy[-1]] > available[cloudy[0]] + 10
    assert summary["battery_empty_seconds"] == pytest.approx(len(off) * 0.1, abs=0.5)
    assert summary["energy_ledgers"]["battery_joules"] == pytest.approx(summary["energy_joules"], rel=1e-9)


def test_at_2_bits_the_same_pack_lasts(run: Callable[[str], RunFolder]) -> None:
    summary = run("static:bits=2").summary
    assert (summary["battery_life_seconds"], summary["battery_empty_seconds"]) == (None, 0)
    assert summary["frames_completed"] == summary["frames_arrived"]
    assert summary["battery_end_state_of_charge"] > 0.2


def test_the_summary_adds_up(hungry: RunFolder) -> None:
    summary, limits = hungry.summary, hungry.manifest["limits"]["battery"]
    gone = summary["battery_start_state_of_charge"] - summary["battery_end_state_of_charge"]
    got = gone * limits["capacity_joules"] + summary["harvested_joules"] - summary["battery_joules_lost"]
    assert got == pytest.approx(summary["energy_joules"], rel=1e-9)
    assert summary["harvested_joules"] == pytest.approx(60 * 1.2 + 58 * 0.2 + 2 * 2 * 0.7 + 118.1 * 1.2, rel=1e-9)
    assert summary["battery_joules_lost"] > 0
    assert 0 < summary["battery_joules_drawn"] < summary["energy_joules"]


def test_the_timeline_shows_the_battery(hungry: RunFolder) -> None:
    figure = draw_timeline(hungry)
    assert len(figure.axes) == 6
    written = {text.get_text() for text in figure.axes[0].texts}
    assert {"all charge", "available well", "cut-off 5 %"} <= written


def test_a_run_on_a_battery_with_outputs_has_none_for_aborted_frames(
    hwsim: Callable[..., Any], write_scenario: Callable[..., str], tmp_path: Path
) -> None:
    battery = (
        "{capacity: {value: 0.03 mAh, assumption: a, range: [0.01 mAh, 1 mAh]}, "
        "nominal_voltage: {value: 3.7 V, assumption: a, range: [3 V, 4 V]}, "
        "available_share: {value: 0.3, assumption: a, range: [0.1, 0.5]}, "
        "valve_rate: {value: 1 1/h, assumption: a, range: [0.1 1/h, 10 1/h]}, "
        "charging_efficiency: {value: 0.9, assumption: a, range: [0.8, 1]}, "
        "cut_off: {value: 0, assumption: a, range: [0, 0.1]}, restart: {value: 1, assumption: a, range: [0.5, 1]}, "
        "gauge: {period: {value: 1 ms, assumption: a, range: [1 ms, 1 s]}, step: {value: 0, assumption: a, "
        "range: [0, 0.1]}}}"
    )
    for outputs in ("lazy", "in_step"):
        path = write_scenario(
            (
                "outputs: none",
                f"outputs: {outputs}\ninitial_state_of_charge: 1\nprofile_overrides: {{battery: {battery}}}",
            ),
            name=f"{outputs}.yaml",
        )
        assert hwsim("run", path, "--out", tmp_path / outputs, "--quiet").code == 0
        frames = (
            RunFolder(tmp_path / outputs).table("frames", ["status", "start_picoseconds", "predictions"]).to_pylist()
        )
        assert {"on_time", "aborted"} <= {frame["status"] for frame in frames}
        assert any(frame["status"] == "aborted" and frame["start_picoseconds"] >= 0 for frame in frames)
        for frame in frames:
            assert bool(frame["predictions"]) == (frame["status"] in ("on_time", "late"))
        assert hwsim("replay", tmp_path / outputs).code == 0


def test_scenario_and_device_must_agree_on_a_battery(
    hwsim: Callable[..., Any], write_scenario: Callable[..., str], tmp_path: Path
) -> None:
    ambient = "ambient: {kind: constant, temperature: 30 degC}"
    charged = write_scenario(("seed: 3", "seed: 3\ninitial_state_of_charge: 0.5"))
    hwsim("run", charged, "--out", tmp_path / "a").refused("s.yaml:6:26", "bismo_pynq_z1 has no battery")
    sunny = write_scenario((ambient, f"{ambient}\n  harvest: {{kind: constant, power: 1 W}}"))
    hwsim("run", sunny, "--out", tmp_path / "b").refused("environment.harvest", "no battery to charge")
    packaged, _, _ = load_scenario("brown_out")
    assert packaged.initial_state_of_charge == 0.6
    text = find("scenarios", "brown_out").read_text(encoding="utf-8")
    silent = tmp_path / "silent.yaml"
    silent.write_text(text.replace("initial_state_of_charge: 0.6\n", ""), encoding="utf-8")
    hwsim("run", silent, "--out", tmp_path / "c").refused("initial_state_of_charge", "missing", "0.8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (f"{CELLS}cut_off={{value: 0.4, source: a}}", "0.3 is not above the cut-off at 0.4"),
        (f"{CELLS}available_share={{value: 1, source: a}}", "leaves no bound well"),
        (f"{CELLS}capacity.value=100 mWh", "unknown unit 'mWh': expected a charge"),
        (f"{CELLS}capacity.value=100 mV", "measures something else: expected a charge in mAh, Ah"),
        (f"{CELLS}valve_rate.value=0.002", "has no unit: a rate needs one"),
        ("initial_state_of_charge=1.2", "must be at most 1"),
        ("environment.harvest.points=[[1 s, 1 W]]", "must begin at 0 s: write the first point as [0 s, 1.1 W]"),
        ("environment.harvest.points=[[0 s, 1 W], [0 s, 2 W]]", "is not later than the point before it"),
    ],
)
def test_wrong_batteries_and_harvests_are_explained(
    hwsim: Callable[..., Any], tmp_path: Path, change: str, message: str
) -> None:
    hwsim("run", "brown_out", "--set", change, "--out", tmp_path / "run").refused(message)


def test_a_constant_harvest_is_understood(tmp_path: Path) -> None:
    sets = ["environment.harvest={kind: constant, power: 500 mW}", "duration=300 ms", "outputs=none"]
    summary = pipeline.run(pipeline.plan("brown_out", sets=sets), tmp_path / "run", figures=False)
    assert summary["harvested_joules"] == pytest.approx(0.5 * summary["simulated_seconds"])


def test_a_harvest_moves_like_any_series(tmp_path: Path) -> None:
    (tmp_path / "day.csv").write_text("time [h],panel [mW]\n0,500\n1,1500\n", encoding="utf-8")
    text = find("scenarios", "brown_out").read_text(encoding="utf-8")
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")

    def watts(harvest: str, *seconds: int) -> list[float]:
        planned = pipeline.plan(str(tmp_path / "s.yaml"), sets=[f"environment.harvest={harvest}"])
        held = simulation_setup(planned, 10).harvest
        return [held.watts_at(second * SECOND) for second in seconds]

    file = "{kind: file, path: day.csv, column: panel, start: 30 min}"
    assert watts(file, 0, 900, 5000) == pytest.approx([1.0, 1.25, 1.5], abs=2e-4)
    ramp = "{kind: ramp, start: 10 s, end: 20 s, start_value: 0 W, end_value: 2 W}"
    assert watts(ramp, 9, 14, 20) == pytest.approx([0, 0.9, 2])
    sun = "{kind: sine, mean: 0 W, amplitude: 2 W, period: 24 h, peak: 12 h}"
    assert watts(sun, 3 * 3600, 8 * 3600, 12 * 3600) == pytest.approx([0, 1, 2], abs=2e-3)
    assert watts("{kind: sine, mean: 1 W, amplitude: 0 W, period: 24 h, peak: 12 h}", 0, 99) == [1, 1]
