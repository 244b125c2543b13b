"""Idle states: when they are entered and left, what that costs, and that resting pays within a known factor."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim import pipeline
from hwsim.config.profile import load_profile
from hwsim.device import IdleState, TransitionCost
from hwsim.plant.ambient import Ambient
from hwsim.plant.power import Leakage
from hwsim.plant.sensors import Sensor
from hwsim.plant.shutdown import Restart, Shutdown
from hwsim.plant.time_series import PiecewiseLinear
from hwsim.records.store import RunFolder
from hwsim.simulation.arrivals.recorded import RecordedArrivals
from hwsim.simulation.setup import Setup

MICROSECOND = 1_000_000
NO_LEAKAGE = Leakage(power_watts=0.0, reference_celsius=25.0, slope_per_kelvin=0.0, node="junction")
AWAKE_WATTS = 1.0


def state(name: str, watts: float, after: int, *, entry: tuple[int, float], leave: tuple[int, float]) -> IdleState:
    """Return an idle state; times in microseconds, energies in microjoules."""
    ways = [
        TransitionCost(time_picoseconds=time * MICROSECOND, energy_joules=energy * 1e-6, column=0)
        for time, energy in (entry, leave)
    ]
    return IdleState(
        name=name, constant_powers_watts=(watts, 0.0, 0.0), leakage_share=watts,
        min_residency_picoseconds=after * MICROSECOND, entry=ways[0], exit=ways[1],
    )  # fmt: skip


DOZE = state("doze", 0.4, 100, entry=(10, 3.0), leave=(20, 5.0))
SLEEP = state("sleep", 0.1, 400, entry=(50, 7.0), leave=(200, 11.0))


@pytest.fixture
def rest(simulate: Any, scripted: Any) -> Callable[..., Any]:
    """Return a function that simulates frames at given microseconds on a device that draws 1 W awake."""

    def run(arrivals: list[float], *states: IdleState, device: dict[str, Any] | None = None, **changes: Any) -> Any:
        given = {
            "arrivals": RecordedArrivals(recorded=tuple(round(at * MICROSECOND) for at in arrivals)),
            "duration_picoseconds": 3099 * MICROSECOND,
            "deadline_picoseconds": 1000 * MICROSECOND,
            "telemetry_picoseconds": 3100 * MICROSECOND,
        }
        of_device = {
            "constant_powers_watts": (AWAKE_WATTS, 0.0, 0.0), "leakage": NO_LEAKAGE, "idle_states": states,
        }  # fmt: skip
        return simulate(scripted(), device_changes=of_device | (device or {}), **(given | changes))

    return run


def test_states_are_entered_after_their_residency_and_left_at_their_cost(rest: Any) -> None:
    log = rest([1000], DOZE, SLEEP)
    (frame,) = log.frames
    assert frame.start_picoseconds == 1200 * MICROSECOND
    doze, sleep = log.telemetry[-1].idle_states
    took = (frame.finish_picoseconds - frame.start_picoseconds) / MICROSECOND
    # Idle from 0: doze from 110 to 450, sleep to 1000; and after the frame, until the end at 3100.
    again = 3100 - 1200 - took
    assert (doze.entries, sleep.entries, doze.exits, sleep.exits) == (2, 2, 0, 1)
    assert doze.share * 3100 == pytest.approx(340 * 2, rel=1e-12)
    assert sleep.share * 3100 == pytest.approx(550 + again - 450, rel=1e-12)


def test_an_entry_is_finished_before_the_device_wakes(rest: Any) -> None:
    log = rest([104, 2000], DOZE)
    assert log.frames[0].start_picoseconds == (110 + 20) * MICROSECOND
    assert log.telemetry[-1].idle_states[0].exits == 2


def test_without_work_for_less_than_the_residency_it_stays_awake(rest: Any) -> None:
    log = rest([99], DOZE)
    assert log.frames[0].start_picoseconds == 99 * MICROSECOND


def test_a_residency_of_nothing_is_a_race_to_sleep(rest: Any) -> None:
    log = rest([50, 51, 500], state("nap", 0.0, 0, entry=(0, 0.0), leave=(0, 0.0)))
    starts = [frame.start_picoseconds / MICROSECOND for frame in log.frames]
    took = [(frame.finish_picoseconds - frame.start_picoseconds) / MICROSECOND for frame in log.frames]
    assert starts == pytest.approx([50, 50 + took[0], 500])  # a frame that waits keeps it awake
    (nap,) = log.telemetry[-1].idle_states
    assert (nap.entries, nap.exits) == (3, 2)
    assert nap.share * 3100 == pytest.approx(3100 - sum(took), rel=1e-9)
    dynamic = sum(layer.energy_joules for layer in log.layers)
    decided = sum(row.decisions for row in log.telemetry) * 6e-5
    assert log.plant.plant_energy_joules == pytest.approx(dynamic + decided + sum(took) * 1e-6 * AWAKE_WATTS)


@pytest.mark.parametrize("gap", [10, 90, 101, 112, 150, 300, 800, 2500])
def test_resting_costs_at_most_twice_what_a_device_would_that_knew_when_work_comes(rest: Any, gap: int) -> None:
    """Irani, Shukla & Gupta (2003): where a state is entered as soon as it would have paid for itself."""
    watts, exit_microjoules, latency = 0.2, 40.0, 30
    pays_after = round((exit_microjoules + latency * AWAKE_WATTS) / (AWAKE_WATTS - watts))
    lazy = rest([gap], state("lazy", watts, pays_after, entry=(0, 0.0), leave=(latency, exit_microjoules)))
    awake = rest([gap])

    def microjoules(idle: float, after: float) -> float:
        """Energy of a rest that begins after some time of being idle, but for the way out."""
        return min(idle, after) * AWAKE_WATTS + max(idle - after, 0.0) * watts

    (frame,) = lazy.frames
    last = (lazy.end - frame.finish_picoseconds) / MICROSECOND
    worked = (frame.finish_picoseconds - frame.start_picoseconds) / MICROSECOND * AWAKE_WATTS
    dynamic = awake.plant.plant_energy_joules * 1e6 - awake.end / MICROSECOND * AWAKE_WATTS
    spent = lazy.plant.plant_energy_joules * 1e6 - dynamic - worked - microjoules(last, pays_after)
    knowing = min(gap * AWAKE_WATTS, gap * watts + exit_microjoules + latency * AWAKE_WATTS)
    assert knowing * (1 - 1e-9) <= spent <= 2 * knowing


def test_leakage_is_left_at_its_share(rest: Any) -> None:
    leaky = {"leakage": dataclasses.replace(NO_LEAKAGE, power_watts=0.5)}
    half = dataclasses.replace(DOZE, leakage_share=0.5, min_residency_picoseconds=0, entry=SLEEP.entry)
    log = rest([], half, device=leaky)
    # 50 us of entry at all of it, then half.
    assert log.telemetry[-1].leakage_watts == pytest.approx(0.5 * (50 + 3050 / 2) / 3100, rel=1e-9)


def test_a_device_that_goes_off_rests_in_no_state_and_comes_back_awake(rest: Any, nimble: Any) -> None:
    air = ((0, 30.0), (700, 30.0), (701, 90.0), (1200, 90.0), (1201, 30.0))
    device = {
        "sensor": Sensor(period_picoseconds=7 * MICROSECOND),
        "thermal_network": nimble,
        "shutdown": Shutdown(
            temperature_celsius=60.0, restart=Restart(temperature_celsius=40.0, boot_picoseconds=20 * MICROSECOND)
        ),
    }
    ambient = Ambient(series=PiecewiseLinear(points=tuple((time * MICROSECOND, celsius) for time, celsius in air)))
    log = rest([2000], DOZE, SLEEP, device=device, ambient=ambient)
    off, booting = (
        next(row.time_picoseconds for row in log.telemetry if row.power_state == what)
        for what in ("shut_down", "booting")
    )
    on = next(row.time_picoseconds for row in log.telemetry if row.power_state == "on" and row.time_picoseconds > off)
    during = [row for row in log.telemetry if off < row.time_picoseconds <= on]
    assert during
    assert booting < on
    assert all(each.share == 0 for row in during for each in row.idle_states)
    sleeps = [row.idle_states[1] for row in log.telemetry]
    # Before it went off, after it came back, and after the frame.
    assert (sum(each.entries for each in sleeps), sum(each.exits for each in sleeps)) == (3, 1)
    assert log.frames[0].start_picoseconds == (2000 + 200) * MICROSECOND
    log.plant.check_heat_balance()


def test_telemetry_cuts_make_no_difference(rest: Any) -> None:
    coarse = rest([800, 1700], DOZE, SLEEP)
    fine = rest([800, 1700], DOZE, SLEEP, telemetry_picoseconds=25 * MICROSECOND)
    assert fine.end == coarse.end
    assert fine.plant.plant_energy_joules == pytest.approx(coarse.plant.plant_energy_joules, rel=1e-12)
    for at in range(2):
        for name in ("entries", "exits"):
            assert sum(getattr(row.idle_states[at], name) for row in fine.telemetry) == getattr(
                coarse.telemetry[-1].idle_states[at], name
            )


STATES = (
    "profile.idle_states={doze: {power: {POWER: {value: 0.2 W, source: a}}, leakage_share: {value: 0.5, source: a}, "
    "min_residency: {value: 200 us, source: a}, heats: junction, "
    "entry: {latency: {value: 20 us, source: a}, energy: {value: 4 uJ, source: a}}, "
    "exit: {latency: {value: 50 us, source: a}, energy: {value: 9 uJ, source: a}}}}"
)


@pytest.fixture(scope="module")
def power_name() -> str:
    return next(iter(load_profile("bismo_pynq_z1").power))


def test_a_run_pays_for_them_in_every_ledger_and_says_so(bursty: str, power_name: str, tmp_path: Path) -> None:
    planned = pipeline.plan(bursty, sets=[STATES.replace("POWER", power_name)])
    summary = pipeline.run(planned, tmp_path / "rests", figures=False)  # checks its ledgers
    awake = pipeline.run(pipeline.plan(bursty), tmp_path / "awake", figures=False)
    assert summary["wakeups"] == summary["idle_states"]["doze"]["exits"] > 5
    assert 0.005 < summary["resting_seconds"] < summary["simulated_seconds"]
    assert summary["energy_joules"] < awake["energy_joules"]
    assert "wakeups" not in awake
    telemetry = RunFolder(tmp_path / "rests").table("telemetry")
    assert int(np.sum(telemetry["idle_doze_exits"].to_numpy())) == summary["wakeups"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.2 W", "900 W", "is more than the"),
        ("POWER", "bord", "unknown power 'bord'"),
        ("value: 0.5", "value: 1.5", "must be at most 1"),
        ("heats: junction", "heats: junktion", "unknown node 'junktion'"),
    ],
)
def test_wrong_states_are_explained(
    hwsim: Callable[..., Any], bursty: str, power_name: str, tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = STATES.replace(old, new).replace("POWER", power_name)
    hwsim("run", bursty, "--set", text, "--out", tmp_path / "run").refused(message)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("min_residency", "0.5 ms", "is shorter than that of 'light_sleep'"),
        ("leakage_share", "0.6", "is above that of 'light_sleep'"),
        ("power.always_on", "0.15 mW", "deeper states draw no more"),
    ],
)
def test_states_out_of_order_are_explained(
    hwsim: Callable[..., Any], tmp_path: Path, key: str, value: str, message: str
) -> None:
    change = f"profile.idle_states.deep_sleep.{key}={{value: {value}, source: a}}"
    hwsim("run", "thermal_throttle", "--set", "profile=gap9", "--set", change, "--out", tmp_path / "run").refused(
        message
    )


def test_a_device_that_starts_settled_starts_as_it_rests(make_setup: Callable[..., Setup], scripted: Any) -> None:
    awake = make_setup(scripted()).device
    asleep = dataclasses.replace(awake, idle_states=(dataclasses.replace(SLEEP, leakage_share=0.0),))
    setups = [make_setup(scripted(), device_changes={"idle_states": each.idle_states}) for each in (awake, asleep)]
    warm, cool = (
        setup.device.plant_parameters([setup.streams[0].costs], setup.ambient).steady_idle_rise() for setup in setups
    )
    assert np.all(cool < warm)
    assert cool[1] == pytest.approx(0.1 / setups[1].device.thermal_network.ambient_conductances_watts_per_kelvin[1])
