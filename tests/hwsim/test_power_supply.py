"""A device on a battery: when it is cut off and connected again, what becomes of its frames, and its ledgers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bitmixer.graph import LayerGraph
from hwsim.controllers.base import Decision, Observation
from hwsim.device import DecisionCost
from hwsim.ledgers import Ledgers, close_ledgers
from hwsim.plant.ambient import Ambient
from hwsim.plant.battery import KineticBattery
from hwsim.plant.power import Leakage
from hwsim.plant.power_series import PowerSeries
from hwsim.plant.sensors import Sensor
from hwsim.plant.shutdown import Restart, Shutdown
from hwsim.plant.supply import BatteryPack, Gauge
from hwsim.plant.time_series import PiecewiseLinear
from hwsim.records.recorder import RecordedStream, Recorder
from hwsim.simulation.arrivals import PeriodicArrivals
from hwsim.simulation.power_supply import most_watts
from hwsim.simulation.setup import Setup
from hwsim.simulation.simulator import Simulator

MICROSECOND = 1_000_000
SITES = 10
NEVER = PeriodicArrivals(period=10**15, offset=10**14)


def pack(*, joules: float, valve: float = 100.0, cut_off: float = 0.1, restart: float = 0.5) -> BatteryPack:
    battery = KineticBattery(
        capacity_joules=joules, available_share=0.4, valve_per_second=valve, charging_efficiency=0.8
    )
    return BatteryPack(
        battery=battery, cut_off=cut_off, restart=restart, gauge=Gauge(period_picoseconds=20 * MICROSECOND, step=0.25)
    )


def sunrise(time: int, watts: float) -> PowerSeries:
    return PowerSeries(series=PiecewiseLinear(points=((time - 1, 0.0), (time, watts))))


def on_battery(joules: float, **changes: Any) -> dict[str, Any]:
    return {"device_changes": {"battery": pack(joules=joules, **changes)}, "initial_state_of_charge": 1.0}


def test_an_idle_device_is_cut_off_when_its_available_well_is_drawn_down(
    simulate: Any, scripted: Any, make_setup: Callable[..., Setup]
) -> None:
    idle_watts = math.fsum(make_setup(scripted()).device.constant_powers_watts)
    changes = on_battery(1e-3, valve=1e-9)
    changes["device_changes"]["leakage"] = Leakage(
        power_watts=0.0, reference_celsius=25.0, slope_per_kelvin=0.0, node="junction"
    )
    log = simulate(scripted(wakes_on=frozenset()), arrivals=NEVER, duration_picoseconds=10**9, **changes)
    (off,) = [row.time_picoseconds for row in log.telemetry if row.power_state == "brown_out"][:1]
    assert off == pytest.approx(1e12 * 0.9 * 0.4e-3 / idle_watts, abs=2000)
    assert log.plant.plant_energy_joules == pytest.approx(0.9 * 0.4e-3, abs=1e-8)
    last = log.telemetry[-1]
    assert (last.power_watts, last.leakage_watts, last.power_state) == (0, 0, "brown_out")
    assert last.battery.available_joules == pytest.approx(0.1 * 0.4e-3, abs=1e-8)


def test_power_that_fails_in_mid_layer_aborts_frames_and_keeps_what_was_spent(simulate: Any, scripted: Any) -> None:
    healthy = simulate(scripted(wakes_on=frozenset()), arrivals=PeriodicArrivals(period=20 * MICROSECOND))
    log = simulate(
        scripted(wakes_on=frozenset()), arrivals=PeriodicArrivals(period=20 * MICROSECOND), **on_battery(1e-3)
    )
    cut = next(frame for frame in log.frames if frame.status == "aborted")
    lost = [frame for frame in log.frames if frame.status == "dropped_queue"]
    assert [frame.frame for frame in log.frames] == list(range(len(healthy.frames)))
    assert {frame.status for frame in log.frames[: cut.frame]} == {"on_time"}
    assert len(lost) == len(log.frames) - cut.frame - 1
    rows, whole = log.of_frame(cut.frame), healthy.of_frame(cut.frame)
    assert 0 < len(rows) < SITES
    assert rows[:-1] == whole[: len(rows) - 1]
    assert rows[-1].finish_picoseconds == cut.finish_picoseconds < whole[len(rows) - 1].finish_picoseconds
    share = (rows[-1].finish_picoseconds - rows[-1].start_picoseconds) / (
        whole[len(rows) - 1].finish_picoseconds - rows[-1].start_picoseconds
    )
    assert rows[-1].dynamic_energy_scale == pytest.approx(share)
    assert rows[-1].cycles == pytest.approx(share * whole[len(rows) - 1].cycles, abs=1)
    assert 0 < cut.energy_joules < log.frames[0].energy_joules
    assert cut.widths == ()
    assert all(frame.start_picoseconds == -1 for frame in lost)


def test_a_device_comes_back_when_charged_and_fetches_its_norms_again(simulate: Any, scripted: Any) -> None:
    asked: list[int] = []

    def script(observation: Observation, generator: Any) -> None:
        asked.append(observation.time_picoseconds)

    changes = on_battery(3e-3)
    changes["device_changes"]["decision"] = DecisionCost(time_picoseconds=0, energy_joules=0.0, column=0)
    log = simulate(
        scripted(script=script, wakes_on=frozenset({"tick"}), tick_picoseconds=10 * MICROSECOND),
        duration_picoseconds=3000 * MICROSECOND,
        harvest=sunrise(700 * MICROSECOND, 1.0),
        **changes,
    )
    statuses = [frame.status for frame in log.frames]
    runs = [status for status, before in zip(statuses, ["", *statuses], strict=False) if status != before]
    assert runs[:3] == ["on_time", "dropped_queue", "on_time"]
    first = statuses.index("dropped_queue")
    back = statuses.index("on_time", first)
    assert log.frames[back].start_picoseconds > 700 * MICROSECOND
    reloads = [[layer.norm_reload for layer in log.of_frame(frame)] for frame in (0, 1, back, back + 1)]
    assert reloads == [[True] * SITES, [False] * SITES, [True] * SITES, [False] * SITES]
    assert not [time for time in asked if log.frames[first].finish_picoseconds < time < 700 * MICROSECOND]
    assert max(asked) > log.frames[back].start_picoseconds


def test_a_battery_that_starts_empty_runs_nothing(simulate: Any, scripted: Any) -> None:
    changes = {**on_battery(1e-3), "initial_state_of_charge": 0.05}
    log = simulate(scripted(wakes_on=frozenset()), **changes)
    assert {frame.status for frame in log.frames} == {"dropped_queue"}
    assert not log.layers
    assert log.plant.plant_energy_joules == 0


def test_controllers_read_the_gauge_and_nothing_finer(simulate: Any, scripted: Any) -> None:
    controller = scripted()
    log = simulate(controller, **on_battery(2.5e-3))
    readings = [seen.state_of_charge for seen in controller.seen]
    assert readings == sorted(readings, reverse=True)
    assert {1.0, 0.75} <= set(readings) <= {1.0, 0.75, 0.5, 0.25}
    assert log.telemetry[0].battery.reading == 1.0
    drawn = sum(
        row.battery.drawn_watts * (row.time_picoseconds - before.time_picoseconds) / 1e12
        for before, row in zip(log.telemetry, log.telemetry[1:], strict=False)
    )
    assert drawn == pytest.approx(2.5e-3 * (1 - log.telemetry[-1].battery.state_of_charge))
    mains = scripted()
    assert {row.battery for row in simulate(mains).telemetry} == {None}
    assert {seen.state_of_charge for seen in mains.seen} == {None}


def test_no_layer_draws_more_than_the_bound(make_setup: Callable[..., Setup], scripted: Any) -> None:
    setup = make_setup(scripted())
    device, costs = setup.device, setup.streams[0].costs
    constant = math.fsum(device.constant_powers_watts) + 2 * device.leakage.watts_at(device.maximum_junction_celsius)
    hertz = costs.frequencies_hertz[0]  # without scaled voltages the fastest clock is the hungriest
    layers = costs.energy_joules * hertz / costs.total_cycles[0]
    bound = most_watts(device, costs, values_save_cycles=False)
    assert bound == pytest.approx(constant + layers.max())
    assert most_watts(device, costs, values_save_cycles=True) > bound


def restless(scripted: Any, graph: LayerGraph) -> Any:
    """A controller that changes bits and clock at every look, 7.3 us apart."""

    def script(observation: Observation, generator: Any) -> Decision:
        turn = observation.time_picoseconds // 7_300_000
        clock = (200, 50, 125, 125)[turn % 4] * 10**6
        return Decision(widths=graph.uniform((8, 2, 4)[turn % 3]), frequency_hertz=clock, reason="restless")

    return scripted(script=script, wakes_on=frozenset({"tick"}), tick_picoseconds=7_300_000)


@example(joules=0.004, watts=2e-311, valve=1.0, step=1)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(2e-4, 4e-3), st.floats(0, 8), st.floats(1, 1e4), st.integers(1, 600))
def test_four_ledgers_close_and_every_frame_ends_once_however_often_power_fails(
    make_setup: Callable[..., Setup], scripted: Any, graph: LayerGraph, tmp_path: Path,
    joules: float, watts: float, valve: float, step: int,
) -> None:  # fmt: skip
    setup = make_setup(
        restless(scripted, graph),
        arrivals=PeriodicArrivals(period=20 * MICROSECOND),
        duration_picoseconds=1500 * MICROSECOND,
        harvest=sunrise(step * MICROSECOND, watts),
        **on_battery(joules, valve=valve),
    )
    ledgers, folder = recorded(setup, tmp_path)
    assert ledgers.battery_joules is not None
    ledgers.check()
    assert pq.read_table(folder / "frames.parquet")["frame"].to_pylist() == list(range(75))


def recorded(setup: Setup, folder: Path) -> tuple[Ledgers, Path]:
    recorder = Recorder(
        folder,
        [RecordedStream(name="camera", graph=setup.streams[0].graph, costs=setup.streams[0].costs)],
        setup.device.thermal_network.nodes,
        battery=True,
    )
    simulator = Simulator(setup, [recorder])
    simulator.run()
    recorder.close()
    recorder.write_frames({}, labelled=False)
    return close_ledgers(folder, setup.device, {"camera": setup.streams[0].costs}, simulator.plant), folder


def test_the_fourth_ledger_notices_charge_that_vanished(
    make_setup: Callable[..., Setup], scripted: Any, tmp_path: Path
) -> None:
    ledgers, _ = recorded(make_setup(scripted(wakes_on=frozenset()), **on_battery(1.0)), tmp_path)
    assert ledgers.battery_joules == pytest.approx(ledgers.plant_joules, rel=1e-9)
    assert set(ledgers.as_dict()) == {"records_joules", "plant_joules", "heat_joules", "battery_joules"}
    assert ledgers.battery_joules is not None
    with pytest.raises(Exception, match="disagree: battery"):
        replace(ledgers, battery_joules=ledgers.battery_joules * (1 + 1e-8)).check()


def hot(start: int, end: int) -> Ambient:
    """Air of 30 C, and of 90 C between two times in microseconds."""
    points = ((0, 30.0), (start - 1, 30.0), (start, 90.0), (end - 1, 90.0), (end, 30.0))
    return Ambient(series=PiecewiseLinear(points=tuple((time * MICROSECOND, celsius) for time, celsius in points)))


def protected(nimble: Any, **changes: Any) -> dict[str, Any]:
    """Return a device that shuts down at 60 C and boots for 20 us from 40 C on; its sensor samples every 7 us."""
    restart = Restart(temperature_celsius=40.0, boot_picoseconds=20 * MICROSECOND)
    shutdown = Shutdown(temperature_celsius=60.0, restart=restart)
    sensor = Sensor(period_picoseconds=7 * MICROSECOND)
    return {"thermal_network": nimble, "shutdown": shutdown, "sensor": sensor, **changes}


def states(log_or_rows: Any) -> list[tuple[int, str]]:
    """Return each state of power with the microsecond from which it holds."""
    rows = [(row.time_picoseconds, row.power_state) for row in log_or_rows]
    changes = zip([(0, "on"), *rows], rows, strict=False)
    return [(time // MICROSECOND, state) for (_, before), (time, state) in changes if before != state]


@pytest.mark.parametrize(
    ("sun", "expected"),
    [
        (3000, ["brown_out", "booting", "on", "shut_down", "brown_out", "booting", "on"]),
        (1500, ["brown_out", "booting", "on", "shut_down", "brown_out", "shut_down", "booting", "on"]),
    ],
)
def test_a_device_that_is_off_for_two_causes_comes_back_when_neither_is_left(
    simulate: Any, scripted: Any, make_setup: Callable[..., Setup], nimble: Any, tmp_path: Path,
    sun: int, expected: list[str],
) -> None:  # fmt: skip
    """A burst of sun fills the available well; off in the heat, it falls below the cut-off as the bound one fills."""
    light = ((0, 100.0), (40, 100.0), (41, 0.0), (sun - 1, 0.0), (sun, 100.0))
    arguments: dict[str, Any] = {
        "device_changes": protected(nimble, battery=pack(joules=1e-2, valve=480.0, cut_off=0.4, restart=0.5)),
        "initial_state_of_charge": 0.05,
        "harvest": PowerSeries(
            series=PiecewiseLinear(points=tuple((time * MICROSECOND, watts) for time, watts in light))
        ),
        "ambient": hot(150, 2000),
        "arrivals": PeriodicArrivals(period=40 * MICROSECOND),
        "duration_picoseconds": 4000 * MICROSECOND,
        "telemetry_picoseconds": 50 * MICROSECOND,
    }
    log = simulate(scripted(wakes_on=frozenset()), **arguments)
    found = states(log.telemetry)
    assert [state for _, state in found] == expected
    times = dict(zip(expected[3:], [time for time, _ in found][3:], strict=False))
    assert times["shut_down"] == 154 if sun == 3000 else 1500 < times["shut_down"] < 1540
    assert 900 < times["brown_out"] < 1400
    boots = [time for time, state in found if state == "booting"]
    assert sun < boots[1] < sun + 40 if sun == 3000 else 2000 <= boots[1] <= 2007
    assert [time for time, state in found if state == "on"] == pytest.approx([boot + 20 for boot in boots], abs=1)
    assert {frame.status for frame in log.frames} == {"on_time", "dropped_queue"}
    ledgers, _ = recorded(make_setup(scripted(wakes_on=frozenset()), **arguments), tmp_path)
    ledgers.check()


def test_a_device_back_from_heat_is_cut_off_in_time(simulate: Any, scripted: Any, nimble: Any) -> None:
    """While it was off nothing was drawn, and the cut-off not foreseen."""
    log = simulate(
        scripted(wakes_on=frozenset()),
        device_changes=protected(nimble, battery=pack(joules=3e-3)),
        initial_state_of_charge=1.0,
        ambient=hot(150, 2000),
        arrivals=PeriodicArrivals(period=20 * MICROSECOND),
        duration_picoseconds=3000 * MICROSECOND,
    )
    found = states(log.telemetry)
    assert [state for _, state in found] == ["shut_down", "booting", "on", "brown_out"]
    (cut,) = [row for row in log.telemetry if row.power_state == "brown_out"][:1]
    assert cut.battery.available_joules == pytest.approx(0.1 * 0.4 * 3e-3, abs=1e-8)
