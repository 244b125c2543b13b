"""The power sensor, and faults of it, of the battery's gauge and of the bandwidth counter, as controllers see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim import pipeline
from hwsim.plant.bandwidth import SharedDram, SteppedTraffic
from hwsim.plant.battery import KineticBattery
from hwsim.plant.parameters import CoRunningLoad
from hwsim.plant.power_series import PowerSeries
from hwsim.plant.sensor_faults import FailureMode, FailureWindow, SensorFault, SensorName
from hwsim.plant.sensors import Sensor
from hwsim.plant.supply import BatteryPack, Gauge
from hwsim.plant.time_series import PiecewiseLinear
from hwsim.records.store import RunFolder
from hwsim.simulation.arrivals.recorded import RecordedArrivals

SECOND = 10**12
RISING = PowerSeries(series=PiecewiseLinear(points=((0, 0.0), (2 * SECOND, 0.0), (6 * SECOND, 8.0))))
PACK = BatteryPack(
    battery=KineticBattery(
        capacity_joules=1000.0, available_share=0.5, valve_per_second=0.01, charging_efficiency=0.9
    ),
    cut_off=0.1, restart=0.5, gauge=Gauge(period_picoseconds=SECOND, step=0.0),
)  # fmt: skip
ONE_A_SECOND = Sensor(period_picoseconds=SECOND)


@pytest.fixture
def seen(simulate: Any, scripted: Any) -> Callable[..., list[Any]]:
    """Return a function that returns what a controller sees at half past each of ten seconds without a frame."""

    def observe(*faults: SensorFault, sensor: Sensor | None = ONE_A_SECOND, **changes: Any) -> list[Any]:
        controller = scripted(wakes_on=frozenset({"tick"}), tick_picoseconds=SECOND // 2)
        of_device = {"power_sensor": sensor, "battery": PACK, "bandwidth_counter_picoseconds": SECOND}
        log = simulate(
            controller, device_changes=of_device, faults=faults, arrivals=RecordedArrivals(recorded=()),
            duration_picoseconds=10 * SECOND, telemetry_picoseconds=SECOND, initial_state_of_charge=1.0,
            loads=(CoRunningLoad(column=2, power=RISING),), **changes,
        )  # fmt: skip
        observe.log = log  # type: ignore[attr-defined]
        return [each for each in controller.seen if each.time_picoseconds % SECOND]

    return observe


def fault(sensor: SensorName, mode: FailureMode, reaches: Any = "controller") -> SensorFault:
    times = FailureWindow(start=3 * SECOND + 1, end=6 * SECOND + 1)
    return SensorFault(sensor=sensor, mode=mode, reaches=reaches, times=times)


def test_it_reads_the_mean_power_of_its_last_period(seen: Any) -> None:
    readings = [each.power_watts for each in seen()]
    powers = [row.power_watts for row in seen.log.telemetry]
    assert readings[1:] == pytest.approx(powers[1:10], rel=1e-9)
    assert readings[6] - readings[1] == pytest.approx(7.0, abs=0.01)  # what the load rose by


def test_it_is_quantised_late_and_noisy(seen: Any) -> None:
    exact = np.array([each.power_watts for each in seen()])
    coarse = [each.power_watts for each in seen(sensor=Sensor(period_picoseconds=SECOND, step=0.25))]
    assert coarse == [round(watts / 0.25) * 0.25 for watts in exact]
    late = [each.power_watts for each in seen(sensor=Sensor(period_picoseconds=SECOND, delay_picoseconds=2 * SECOND))]
    assert late[3:] == exact[1:-2].tolist()
    noise = np.array([each.power_watts for each in seen(sensor=Sensor(period_picoseconds=SECOND, noise=0.1))]) - exact
    assert 0.02 < noise.std() < 0.3


def test_a_device_without_one_says_nothing_and_is_otherwise_the_same(seen: Any) -> None:
    with_sensor = [each.die_celsius for each in seen(sensor=Sensor(period_picoseconds=SECOND, noise=0.1))]
    without = seen(sensor=None)
    assert {each.power_watts for each in without} == {None}
    assert [each.die_celsius for each in without] == with_sensor
    assert {row.power_reading_watts for row in seen.log.telemetry} == {None}


SEEN_AS = {"power": "power_watts", "battery_gauge": "state_of_charge", "memory_bandwidth": "free_bandwidth_share"}
BUSY = SharedDram(
    bandwidth_bits_per_second=1e9, accelerator_share=0.1,
    traffic=SteppedTraffic(steps=tuple((second * SECOND, 5e7 * second) for second in range(10))),
)  # fmt: skip


@pytest.mark.parametrize("reaches", ["controller", "device"])
@pytest.mark.parametrize("sensor", sorted(SEEN_AS))
def test_it_fails_like_the_others_and_alone(seen: Any, sensor: Any, reaches: Any) -> None:
    sound = seen(shared_dram=BUSY)
    stuck = seen(fault(sensor, "stuck", reaches), shared_dram=BUSY)
    missing = seen(fault(sensor, "missing", reaches), shared_dram=BUSY)
    for name, field in SEEN_AS.items():
        healthy = [getattr(each, field) for each in sound]
        assert len(set(healthy)) > 3
        held, silent = ([getattr(each, field) for each in run] for run in (stuck, missing))
        if name == sensor:  # from the sample at 4 s to that at 6 s
            assert held == [*healthy[:4], *[healthy[3]] * 3, *healthy[7:]]
            assert silent == [*healthy[:4], None, None, None, *healthy[7:]]
        else:
            assert held == silent == healthy
    assert [each.die_celsius for each in stuck] == [each.die_celsius for each in sound]


def test_silence_is_null_in_the_records(tmp_path: Path) -> None:
    faults = ", ".join(
        f"{{kind: window, sensor: {name}, mode: missing, reaches: controller, from: 1 s}}"
        for name in ("power", "battery_gauge")
    )
    sets = [f"faults=[{faults}]", "duration=4 s", "telemetry_period=500 ms"]
    pipeline.run(pipeline.plan("battery_day", sets=sets), tmp_path / "run")
    telemetry = RunFolder(tmp_path / "run").table("telemetry")
    for name in ("power_reading_watts", "battery_reading"):
        assert 0 < telemetry.column(name).null_count < len(telemetry)


@pytest.mark.parametrize("sensor", ["power", "battery_gauge"])
def test_a_fault_of_a_sensor_that_the_device_has_not_is_refused(
    hwsim: Callable[..., Any], tmp_path: Path, sensor: str
) -> None:
    change = f"faults=[{{kind: window, sensor: {sensor}, mode: stuck, reaches: device, from: 0 s}}]"
    answer = hwsim("run", "thermal_throttle", "--set", change, "--out", tmp_path / "run")
    answer.refused("faults.0.sensor", "bismo_pynq_z1 has no such sensor", "die_temperature")
