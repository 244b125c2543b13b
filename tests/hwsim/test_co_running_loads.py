"""What runs beside the accelerator: it warms the device, is in every ledger, and ends with the device's power."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim import pipeline
from hwsim.plant.parameters import CoRunningLoad
from hwsim.plant.power_series import PowerSeries
from hwsim.plant.time_series import PiecewiseLinear
from hwsim.records.store import RunFolder
from hwsim.simulation.arrivals.recorded import RecordedArrivals

SECOND = 10**12
LOADS = (
    "environment.co_running_loads={cpu: {heats: junction, power: {kind: ramp, start: 1 s, end: 3 s, start_value: 0 W, "
    "end_value: 2 W}}, display: {heats: elsewhere, power: {kind: constant, power: 300 mW}}}"
)
QUIET = [
    "streams.0.arrivals.period=100 s",
    "streams.0.arrivals.bursts=null",
    "duration=5 s",
    "controller={name: static}",
]


def load(column: int, *points: tuple[int, float]) -> CoRunningLoad:
    series = PiecewiseLinear(points=tuple((time * SECOND, watts) for time, watts in points))
    return CoRunningLoad(column=column, power=PowerSeries(series=series))


@pytest.fixture
def rest(simulate: Any, scripted: Any) -> Callable[..., Any]:
    """Return a function that simulates 10 s without a frame."""

    def run(*loads: CoRunningLoad, **changes: Any) -> Any:
        given = {"arrivals": RecordedArrivals(recorded=()), "duration_picoseconds": 10 * SECOND, "loads": loads}
        return simulate(scripted(), **({"telemetry_picoseconds": SECOND} | given | changes))

    return run


def test_its_energy_is_the_integral_of_its_series(rest: Any) -> None:
    with_load, without = rest(load(0, (0, 0.0), (2, 3.0), (4, 0.0)), load(2, (0, 0.5))), rest()
    co_running = [row.co_running_watts for row in with_load.telemetry[1:]]
    assert co_running == pytest.approx([0.75 + 0.5, 2.25 + 0.5, 2.25 + 0.5, 0.75 + 0.5, *[0.5] * 7])
    leaked = [sum(row.leakage_watts for row in log.telemetry[1:]) for log in (with_load, without)]
    extra = with_load.plant.plant_energy_joules - without.plant.plant_energy_joules
    assert extra == pytest.approx(6 + 0.5 * 11 + leaked[0] - leaked[1], rel=1e-9)
    assert with_load.plant.elsewhere_joules - without.plant.elsewhere_joules == pytest.approx(5.5)


def test_it_warms_what_it_heats(rest: Any) -> None:
    hot, warm, cool = rest(load(0, (0, 2.0))), rest(load(1, (0, 2.0))), rest(load(2, (0, 2.0)))
    ends = [log.telemetry[-1].node_celsius for log in (hot, warm, cool)]
    assert ends[0][0] > ends[1][0] + 0.5 > ends[2][0] + 0.5
    assert ends[1][1] > ends[2][1]


def test_a_device_that_has_long_idled_has_long_fed_it(rest: Any) -> None:
    log = rest(load(0, (0, 1.5)), initial_state="steady_idle")
    temperatures = np.array([row.node_celsius for row in log.telemetry])
    assert np.ptp(temperatures, axis=0).max() < 1e-3


def test_a_run_has_it_in_every_ledger(bursty: str, tmp_path: Path) -> None:
    summary = pipeline.run(pipeline.plan(bursty, sets=[LOADS, *QUIET]), tmp_path, figures=False)  # checks its ledgers
    assert summary["co_running_joules"] == pytest.approx(2 * 1 + 2 * 2.01 + 0.3 * 5.01, rel=1e-9)
    assert summary["simulated_seconds"] == pytest.approx(5.01)
    telemetry = RunFolder(tmp_path).table("telemetry")
    assert telemetry["co_running_watts"].to_numpy()[-1] == pytest.approx(2.3)


def test_a_device_that_is_off_feeds_nothing(tmp_path: Path) -> None:
    load = "environment.co_running_loads={cpu: {heats: junction, power: {kind: constant, power: 1.5 W}}}"
    planned = pipeline.plan("brown_out", controller="static:bits=2", sets=[load, "outputs=none", "duration=120 s"])
    summary = pipeline.run(planned, tmp_path, figures=False)
    assert summary["battery_empty_seconds"] > 1
    on = summary["simulated_seconds"] - summary["off_seconds"]
    assert summary["co_running_joules"] == pytest.approx(1.5 * on, rel=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("heats: junction", "heats: junktion", "no thermal node 'junktion': did you mean 'junction'"),
        ("2 W", "2 V", "expected a power"),
        ("kind: ramp", "kind: rampe", "ramp"),
        ("300 mW", "-300 mW", "must be at least 0"),
        ("heats: elsewhere, ", "", "heats"),
    ],
)
def test_wrong_loads_are_explained(
    hwsim: Callable[..., Any], bursty: str, tmp_path: Path, old: str, new: str, message: str
) -> None:
    hwsim("run", bursty, "--set", LOADS.replace(old, new), "--out", tmp_path / "run").refused(message)


def test_its_file_is_read_and_copied(
    hwsim: Callable[..., Any], write_scenario: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "cpu.csv").write_text("time [ms],cpu [mW]\n0,0\n20,1000\n40,0\n", encoding="utf-8")
    ambient = "ambient: {kind: constant, temperature: 30 degC}"
    cpu = "{kind: file, path: cpu.csv, column: cpu}"
    path = write_scenario((ambient, f"{ambient}\n  co_running_loads: {{cpu: {{heats: board, power: {cpu}}}}}"))
    assert hwsim("run", path, "--out", tmp_path / "run", "--quiet").code == 0
    assert (tmp_path / "run" / "inputs" / "cpu.csv").is_file()
    assert RunFolder(tmp_path / "run").summary["co_running_joules"] == pytest.approx(0.02)
