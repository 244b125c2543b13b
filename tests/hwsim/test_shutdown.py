"""A device that switches itself off: what becomes of frames, clock, controller and power, and how it comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hwsim.controllers.base import Decision, Observation
from hwsim.errors import ConfigurationError, InvariantError
from hwsim.pipeline import Plan, plan, run
from hwsim.plant.ambient import Ambient
from hwsim.plant.plant import Plant
from hwsim.plant.sensors import Sensor
from hwsim.plant.shutdown import Restart, Shutdown
from hwsim.plant.time_series import PiecewiseLinear
from hwsim.records.store import RunFolder
from hwsim.simulation.arrivals import PeriodicArrivals

MICROSECOND = 10**6
MILLISECOND = 10**9
SECOND = 10**12
AIR = ((0, 30.0), (150, 30.0), (151, 90.0), (200, 90.0), (201, 30.0))
"""Microseconds and degrees: a gust of hot air, which the die without a heat capacity follows at once."""
COMES_BACK = Shutdown(
    temperature_celsius=60.0, restart=Restart(temperature_celsius=40.0, boot_picoseconds=20 * MICROSECOND)
)


@pytest.fixture
def gust(simulate: Any, nimble: Any) -> Callable[..., Any]:
    """Return a function that simulates ten frames of 4 inputs, one every 40 us, of which each takes about 50 us.

    The sensor samples every 7 us: it is hot first at 154 us, and cool again at 203 us.
    """

    def make(controller: Any, shutdown: Shutdown = COMES_BACK, **changes: Any) -> Any:
        device = {"sensor": Sensor(period_picoseconds=7 * MICROSECOND), "shutdown": shutdown, "thermal_network": nimble}
        arguments: dict[str, Any] = {
            "arrivals": PeriodicArrivals(period=40 * MICROSECOND),
            "duration_picoseconds": 400 * MICROSECOND,
            "inputs_per_frame": 4,
            "ambient": Ambient(
                series=PiecewiseLinear(points=tuple((time * MICROSECOND, celsius) for time, celsius in AIR))
            ),
        }
        return simulate(controller, device_changes=device | changes.pop("device_changes", {}), **arguments | changes)

    return make


def test_frames_that_it_held_are_aborted_and_those_that_come_are_dropped(gust: Any, scripted: Any) -> None:
    log = gust(scripted(wakes_on=frozenset()), Shutdown(temperature_celsius=60.0))
    statuses = {frame.frame: (frame.status, frame.finish_picoseconds) for frame in log.frames}
    assert len(statuses) == 10
    off = 154 * MICROSECOND
    held = [frame for frame in log.frames if frame.arrival_picoseconds < off and frame.status == "aborted"]
    assert {frame.finish_picoseconds for frame in held} == {off}
    ran = [frame for frame in held if frame.start_picoseconds >= 0]
    waited = [frame for frame in held if frame.start_picoseconds < 0]
    assert len(ran) == 1
    assert waited
    assert all(frame.widths == () for frame in held)
    assert all(frame.energy_joules == 0.0 for frame in waited)
    late = [frame for frame in log.frames if frame.arrival_picoseconds > off]
    assert len(late) == 6
    assert {frame.status for frame in late} == {"dropped_queue"}
    # What the aborted frame did is on record, to the layer that was cut off.
    done = log.of_frame(ran[0].frame)
    assert done[-1].finish_picoseconds == off
    assert 0 < done[-1].dynamic_energy_scale < 1
    assert ran[0].energy_joules > 0


def test_off_it_draws_nothing_and_its_controller_sleeps(gust: Any, scripted: Any) -> None:
    controller = scripted(wakes_on=frozenset({"tick"}), tick_picoseconds=10 * MICROSECOND)
    log = gust(controller, Shutdown(temperature_celsius=60.0), telemetry_picoseconds=50 * MICROSECOND)
    rows = [row for row in log.telemetry if row.time_picoseconds > 154 * MICROSECOND]
    assert {row.power_state for row in rows} == {"shut_down"}
    assert all(row.power_watts == row.leakage_watts == row.busy_share == 0.0 for row in rows[1:])
    assert all((row.frequency_hertz, sum(row.queued)) == (0, 0) for row in rows)
    (switched,) = (row for row in log.telemetry if row.time_picoseconds == 154 * MICROSECOND)
    assert switched.power_watts > 1.0  # the mean of the time before
    assert max(seen.time_picoseconds for seen in controller.seen) == 150 * MICROSECOND


def test_it_boots_and_begins_anew(gust: Any, scripted: Any) -> None:
    """Cool again at 203 us, booted at 223 us: it drops what comes before, and takes the frame of 240 us."""
    controller = scripted(wakes_on=frozenset({"frame"}), start_hertz=100_000_000, start=4)
    log = gust(controller)
    states = [(row.time_picoseconds // MICROSECOND, row.power_state) for row in log.telemetry]
    for expected in ((154, "shut_down"), (203, "booting"), (223, "on")):
        assert expected in states
    assert [frame.status for frame in log.frames if 154 < frame.arrival_picoseconds // MICROSECOND < 223] == [
        "dropped_queue"
    ] * 2
    first = next(frame for frame in log.frames if frame.arrival_picoseconds == 240 * MICROSECOND)
    assert first.status in ("on_time", "late")
    assert all(layer.norm_reload for layer in log.of_frame(first.frame))
    # The controller begins anew: its first decision is on record twice, and its clock is asked for again.
    started = [decision.time_picoseconds for decision in log.decisions if decision.reason == "start"]
    assert started == [0, 223 * MICROSECOND]
    assert next(row for row in log.telemetry if row.power_state == "on" and row.time_picoseconds > 223 * MICROSECOND)
    assert log.telemetry[-1].frequency_hertz == 100_000_000
    booting = next(
        row for row in log.telemetry if row.power_state == "on" and row.time_picoseconds == 223 * MICROSECOND
    )
    assert booting.power_watts > 1.0
    assert booting.busy_share == 0.0


def test_a_decision_on_its_way_is_lost_with_the_power(gust: Any, scripted: Any, small_plan: Plan) -> None:
    def script(observation: Observation, generator: Any) -> Decision | None:
        if observation.time_picoseconds != 150 * MICROSECOND:
            return None
        return Decision(widths={}, frequency_hertz=25_000_000, reason="too late")

    slow = small_plan.device.decision.__class__(time_picoseconds=100 * MICROSECOND, energy_joules=0.0, column=0)
    controller = scripted(script=script, wakes_on=frozenset({"tick"}), tick_picoseconds=50 * MICROSECOND)
    log = gust(controller, device_changes={"decision": slow})
    assert [decision.reason for decision in log.decisions] == ["start", "start"]


@pytest.mark.parametrize(("boot", "ready"), [(20, 321), (100, 401)])
def test_it_goes_off_again_while_it_boots(gust: Any, scripted: Any, boot: int, ready: int) -> None:
    """Also where the first boot would have been over amid the second."""
    restart = Restart(temperature_celsius=40.0, boot_picoseconds=boot * MICROSECOND)
    air = (*AIR, (210, 30.0), (211, 90.0), (300, 90.0), (301, 30.0))
    log = gust(
        scripted(wakes_on=frozenset()),
        Shutdown(temperature_celsius=60.0, restart=restart),
        ambient=Ambient(series=PiecewiseLinear(points=tuple((time * MICROSECOND, celsius) for time, celsius in air))),
    )
    changes = [
        (after.time_picoseconds // MICROSECOND, after.power_state)
        for before, after in zip(log.telemetry, log.telemetry[1:], strict=False)
        if before.power_state != after.power_state
    ]
    assert changes == [(154, "shut_down"), (203, "booting"), (217, "shut_down"), (301, "booting"), (ready, "on")]


def test_a_frame_that_comes_as_the_device_goes_off_is_lost(gust: Any, scripted: Any) -> None:
    """It arrives at the very time of the hot sample, at an idle array that has not begun with it."""
    log = gust(scripted(wakes_on=frozenset()), arrivals=PeriodicArrivals(period=154 * MICROSECOND))
    fates = [(frame.status, frame.start_picoseconds) for frame in log.frames]
    assert fates == [("on_time", 0), ("aborted", -1), ("on_time", 308 * MICROSECOND)]


def test_an_idle_device_goes_off_too(simulate: Any, scripted: Any) -> None:
    log = simulate(
        scripted(),
        arrivals=PeriodicArrivals(period=200 * MICROSECOND),
        ambient=Ambient.constant(90.0),
        device_changes={"shutdown": Shutdown(temperature_celsius=60.0)},
    )
    assert [frame.status for frame in log.frames] == ["dropped_queue"] * len(log.frames)
    assert not log.layers


def test_the_reading_counts_not_the_truth_and_the_limit_itself_is_too_hot(simulate: Any, scripted: Any) -> None:
    for celsius, state in ((60.0, "shut_down"), (59.99, "on")):
        log = simulate(
            scripted(),
            ambient=Ambient.constant(celsius),
            device_changes={
                "shutdown": Shutdown(temperature_celsius=60.0),
                "sensor": Sensor(period_picoseconds=SECOND, delay_picoseconds=0),
            },
        )
        assert log.telemetry[-1].power_state == state


SETS = (
    (
        "environment.ambient={kind: piecewise_linear, points: [[0 s, 30 degC], [20 ms, 30 degC], [21 ms, 40 degC], "
        "[40 ms, 40 degC], [41 ms, 30 degC]]}"
    ),
    "profile.sensors.die_temperature.period={value: 1 ms, source: test}",
    "profile.limits.maximum_junction_temperature.value=20 degC",
    "profile.limits.shutdown_temperature={value: 36 degC, source: test}",
    "profile.thermal.nodes.junction={value: 0.001 mJ/K, source: test}",
    "profile.thermal.nodes.board={value: 0.001 mJ/K, source: test}",
    "profile.thermal.links.0.resistance={value: 0.1 K/W, source: test}",
    "profile.thermal.links.1.resistance={value: 0.1 K/W, source: test}",
)
RESTART = "profile.limits.restart={temperature: {value: 33 degC, source: t}, boot_time: {value: 3 ms, source: t}}"


def test_records_are_complete_and_the_summary_says_when(bursty: str, tmp_path: Any) -> None:
    """The ledgers are checked in every run."""
    summary = run(plan(bursty, sets=[*SETS, RESTART]), tmp_path / "back", figures=True)
    assert 0.020 < summary["shutdown_seconds"] < 0.022
    assert 0.018 < summary["off_seconds"] < 0.021
    stays = run(plan(bursty, sets=SETS), tmp_path / "off", figures=False)
    assert stays["shutdown_seconds"] == summary["shutdown_seconds"]
    assert stays["off_seconds"] == pytest.approx(stays["simulated_seconds"] - stays["shutdown_seconds"])
    assert stays["frames_completed"] < summary["frames_completed"]
    frames = RunFolder(tmp_path / "off").table("frames", ["frame", "status"])
    assert frames["frame"].to_pylist() == list(range(summary["frames_arrived"]))
    assert set(frames["status"].to_pylist()) <= {"on_time", "late", "aborted", "dropped_queue", "dropped_deadline"}
    assert "aborted" in frames["status"].to_pylist()


def test_what_was_on_chip_is_fetched_again(bursty: str, tmp_path: Any) -> None:
    run(plan(bursty, sets=[*SETS, RESTART, "profile=bismo_pynq_z1_buffered"]), tmp_path / "run", figures=False)
    layers = RunFolder(tmp_path / "run").table("layers", ["layer", "planes_fetched"]).to_pylist()
    stem = [row["planes_fetched"] for row in layers if row["layer"] == "stem"]
    assert stem[0] > 0
    assert [fetched for fetched in stem if fetched] == [stem[0]] * 2


def test_a_device_that_never_goes_off_says_so(bursty: str, tmp_path: Any) -> None:
    summary = run(plan(bursty), tmp_path / "run", figures=False)
    assert (summary["shutdown_seconds"], summary["off_seconds"]) == (None, 0.0)


LEAKY = (
    "profile.leakage.power={value: 3 W, source: test}",
    "profile.leakage.slope={value: 0.05 1/K, source: test}",
    "profile.thermal.nodes.junction={value: 1 mJ/K, source: test}",
    "profile.thermal.nodes.board={value: 0.3 mJ/K, source: test}",
    "profile.limits.shutdown_temperature={value: 125 degC, source: test}",
    "profile.sensors.die_temperature.period={value: 100 us, source: test}",
    "profile.thermal.links.1.resistance={value: 15 K/W, source: test}",
)
BLIND = "faults=[{kind: window, sensor: die_temperature, mode: missing, reaches: device, from: 0 s}]"
COOLS = "profile.limits.restart={temperature: {value: 60 degC, source: t}, boot_time: {value: 1 ms, source: t}}"


def test_a_device_whose_leakage_runs_away_is_switched_off_under_that_name(bursty: str, tmp_path: Any) -> None:
    summary = run(plan(bursty, sets=LEAKY), tmp_path / "off", figures=False)
    assert summary["runaway_seconds"] == summary["shutdown_seconds"] is not None
    assert 125 <= summary["peak_die_temperature_celsius"] < 160
    states = RunFolder(tmp_path / "off").table("telemetry", ["power_state"])["power_state"].to_pylist()
    assert states[-1] == "thermal_runaway"
    comes_back = run(plan(bursty, sets=[*LEAKY, COOLS]), tmp_path / "back", figures=False)
    assert comes_back["runaway_seconds"] == summary["runaway_seconds"]
    states = RunFolder(tmp_path / "back").table("telemetry", ["power_state"])["power_state"].to_pylist()
    assert "booting" in states[states.index("thermal_runaway") :]


def test_without_a_sensor_it_burns_out_and_its_records_are_complete(bursty: str, tmp_path: Any) -> None:
    """The ledgers are checked in every run."""
    summary = run(plan(bursty, sets=[*LEAKY, COOLS, BLIND]), tmp_path / "run", figures=True)
    assert summary["runaway_seconds"] is not None
    assert summary["off_seconds"] == pytest.approx(summary["simulated_seconds"] - summary["runaway_seconds"])
    assert summary["peak_die_temperature_celsius"] > 150
    states = RunFolder(tmp_path / "run").table("telemetry", ["power_state"])["power_state"].to_pylist()
    assert "booting" not in states
    frames = RunFolder(tmp_path / "run").table("frames", ["frame", "status"])
    assert frames["frame"].to_pylist() == list(range(summary["frames_arrived"]))
    assert {"aborted", "dropped_queue"} & set(frames["status"].to_pylist())


@pytest.mark.parametrize(
    "restart",
    [Restart(temperature_celsius=60.0, boot_picoseconds=1), Restart(temperature_celsius=1.0, boot_picoseconds=-1)],
)
def test_an_impossible_restart_is_refused(restart: Restart) -> None:
    with pytest.raises(ConfigurationError, match=r"shutdown at 60\.0 C: expected a restart below it"):
        Shutdown(temperature_celsius=60.0, restart=restart)


def test_the_plant_is_only_switched_when_it_is_up_to_date(small_plan: Plan) -> None:
    plant = Plant(small_plan.device.plant_parameters([small_plan.streams[0].costs], Ambient.constant(30.0)))
    plant.record(0, MILLISECOND)
    with pytest.raises(InvariantError, match="amid recorded segments"):
        plant.switch(powered=False)
    plant.advance_to(MILLISECOND)
    drawn = plant.plant_energy_joules
    plant.switch(powered=False)
    plant.record(0, MILLISECOND)
    plant.advance_to(2 * MILLISECOND)
    assert plant.plant_energy_joules == drawn > 0
    plant.check_heat_balance()
