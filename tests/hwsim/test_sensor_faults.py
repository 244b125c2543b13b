"""Sensors that fail: when, what their readers then see, and what a controller and the throttle make of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bitmixer.errors import DocumentError
from hwsim import pipeline
from hwsim.pipeline import Plan
from hwsim.plant.ambient import Ambient
from hwsim.plant.sensor_faults import FailAndRepair, FailureMode, FailureWindow, FaultState, SensorFault
from hwsim.plant.sensors import Sensor, SensorChannel
from hwsim.plant.time_series import PiecewiseLinear
from hwsim.records.store import RunFolder
from hwsim.simulation.arrivals import PeriodicArrivals

MICROSECOND = 1_000_000
SECOND = 10**12
WARMING = Ambient(series=PiecewiseLinear(points=((0, 30.0), (300 * MICROSECOND, 60.0))))


def window(mode: FailureMode, start: int, end: int, reaches: Any = "device") -> SensorFault:
    return SensorFault(mode=mode, reaches=reaches, times=FailureWindow(start=start, end=end))


def channel(*faults: SensorFault, delay: int = 0) -> SensorChannel:
    states = [FaultState(fault, np.random.default_rng(0)) for fault in faults]
    return SensorChannel(Sensor(period_picoseconds=10, delay_picoseconds=delay), states)


def readings(of: SensorChannel, times: Sequence[int]) -> list[tuple[float | None, int | None]]:
    """Sample every 10 ps a value that is the time, and read in between."""
    found, taken = [], 0
    for time in times:
        while taken <= time:
            of.sample(taken, float(taken), np.random.default_rng(0))
            taken += 10
        found.append((of.read(time), of.age_picoseconds(time)))
    return found


def test_a_stuck_sensor_repeats_its_last_value_and_seems_fresh() -> None:
    stuck = channel(window("stuck", 25, 50))
    assert readings(stuck, [20, 30, 45, 50, 65]) == [(20, 0), (20, 0), (20, 5), (50, 0), (60, 5)]


def test_a_silent_sensor_gives_nothing_and_its_last_value_ages() -> None:
    silent = channel(window("missing", 25, 50))
    assert readings(silent, [20, 29, 30, 45, 50]) == [(20, 0), (20, 9), (None, 10), (None, 25), (50, 0)]


def test_a_sensor_that_fails_from_the_start_is_stuck_at_its_first_value_or_has_no_age() -> None:
    assert readings(channel(window("stuck", 0, 40)), [0, 35, 41]) == [(0, 0), (0, 5), (40, 1)]
    assert readings(channel(window("missing", 0, 40)), [0, 35, 41]) == [(None, None), (None, None), (40, 1)]


def test_a_failure_is_as_late_as_its_samples() -> None:
    late = channel(window("missing", 25, 50), delay=20)
    assert readings(late, [49, 50, 69, 70]) == [(20, 29), (None, 30), (None, 49), (50, 20)]


def test_of_two_faults_silence_wins_and_stuck_goes_on_behind_it() -> None:
    both = channel(window("stuck", 5, 50), window("missing", 15, 35))
    assert [value for value, _ in readings(both, [0, 10, 20, 30, 40, 50])] == [0, 0, None, None, 0, 50]


@given(
    windows=st.lists(st.tuples(st.integers(0, 200), st.integers(1, 60)), max_size=3),
    mode=st.sampled_from(["stuck", "missing"]),
)
def test_outside_of_its_failures_a_sensor_works(windows: list[tuple[int, int]], mode: FailureMode) -> None:
    faults = [window(mode, start, start + length) for start, length in windows]
    for time, (value, age) in zip(range(0, 300, 10), readings(channel(*faults), range(0, 300, 10)), strict=True):
        failing = any(start <= time < start + length for start, length in windows)
        if not failing or (mode == "stuck" and time == 0):
            assert (value, age) == (time, 0)
        elif mode == "missing":
            assert value is None
        else:
            assert value is not None
            assert (value < time, age) == (True, 0)


def test_failures_at_random_have_their_mean_times() -> None:
    times = FailAndRepair(mean_time_to_failure=60 * SECOND, mean_time_to_repair=5 * SECOND)
    stream = times.failures(np.random.default_rng(8))
    failures = [next(stream) for _ in range(4000)]
    assert all(before.end < after.start for before, after in pairwise(failures))
    lasted = np.array([failure.end - failure.start for failure in failures]) / SECOND
    worked = np.array([after.start - before.end for before, after in pairwise(failures)]) / SECOND
    assert stats.kstest(lasted, stats.expon(scale=5).cdf).pvalue > 0.01
    assert stats.kstest(worked, stats.expon(scale=60).cdf).pvalue > 0.01


def polling(plan: Plan, picoseconds: int) -> Any:
    """Return the device's throttling law, which polls this often."""
    return replace(plan.device.throttling, poll_picoseconds=picoseconds)  # type: ignore[type-var]


def seen_by(controller: Any, *faults: SensorFault, simulate: Any, plan: Plan) -> Any:
    sensor = Sensor(period_picoseconds=20 * MICROSECOND, noise=0.1)
    return simulate(
        controller,
        device_changes={"sensor": sensor, "throttling": polling(plan, 20 * MICROSECOND)},
        ambient=WARMING,
        telemetry_picoseconds=20 * MICROSECOND,
        faults=faults,
    )


def test_a_fault_on_the_way_to_the_controller_leaves_the_throttle_s_view_alone(
    simulate: Any, scripted: Any, small_plan: Plan
) -> None:
    sound = seen_by(scripted(), simulate=simulate, plan=small_plan)
    controller = scripted(wakes_on=frozenset({"tick"}), tick_picoseconds=50 * MICROSECOND)
    fault = window("missing", 100 * MICROSECOND, SECOND, "controller")
    failed = seen_by(controller, fault, simulate=simulate, plan=small_plan)
    pairs = list(zip(sound.telemetry, failed.telemetry, strict=True))
    # Noise is drawn all the same.
    assert [row.throttle_reading_celsius for row, _ in pairs] == pytest.approx(
        [row.throttle_reading_celsius for _, row in pairs], abs=0.01
    )
    assert [row.die_reading_celsius is None for _, row in pairs] == [
        row.time_picoseconds >= 100 * MICROSECOND for _, row in pairs
    ]
    ages = [(seen.die_celsius is None, seen.die_age_picoseconds) for seen in controller.seen]
    # At 100 us it is asked just before the sample of that time.
    assert ages[:4] == [
        (False, 10 * MICROSECOND), (False, 20 * MICROSECOND), (True, 70 * MICROSECOND), (True, 120 * MICROSECOND)
    ]  # fmt: skip


def test_a_throttle_without_readings_keeps_the_cap_that_it_has(simulate: Any, scripted: Any, small_plan: Plan) -> None:
    """The air is hot, then cold; the device trips at once, and has cooled down after two minutes."""
    air = Ambient(series=PiecewiseLinear(points=((0, 88.0), (2 * SECOND, -20.0))))

    def caps(*faults: SensorFault) -> list[int]:
        log = simulate(
            scripted(wakes_on=frozenset()), ambient=air, faults=faults, telemetry_picoseconds=10 * SECOND,
            arrivals=PeriodicArrivals(period=10 * SECOND), duration_picoseconds=150 * SECOND,
            device_changes={
                "sensor": Sensor(period_picoseconds=SECOND), "throttling": polling(small_plan, SECOND)
            },
        )  # fmt: skip
        return [log.telemetry[row].throttle_cap_hertz // 10**6 for row in (1, 12, 15)]

    hot = caps()[0]
    assert hot < 200
    assert caps() == [hot, 200, 200]
    assert caps(window("missing", 5 * SECOND, 200 * SECOND)) == [hot, hot, hot]
    assert caps(window("stuck", 5 * SECOND, 130 * SECOND)) == [hot, hot, 200]
    assert caps(window("missing", 5 * SECOND, 200 * SECOND, "controller")) == [hot, 200, 200]


FAULTS = "environment:"


def test_silence_is_null_in_the_records_and_its_cause_is_part_of_the_identity(
    write_scenario: Callable[..., str], tmp_path: Path
) -> None:
    text = (
        "faults:\n  - {kind: fail_and_repair, sensor: die_temperature, mode: missing, reaches: controller, "
        "mean_time_to_failure: 100 ms, mean_time_to_repair: 200 ms}\nenvironment:"
    )
    changes = [("duration: 60 ms", "duration: 3 s"), ("period: 3 ms", "period: 50 ms")]
    planned = pipeline.plan(write_scenario((FAULTS, text), *changes))
    pipeline.run(planned, tmp_path / "run")
    assert (tmp_path / "run" / "figures" / "timeline.svg").is_file()
    column = RunFolder(tmp_path / "run").table("telemetry", ["die_reading_celsius"]).column(0)
    assert 0 < column.null_count < len(column)
    assert planned.run_id != pipeline.plan(write_scenario(*changes, name="sound.yaml")).run_id


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "{kind: window, mode: stuck, reaches: device, from: 1 s}",
            "faults.0.sensor: missing: expected die_temp",
        ),
        (
            "{kind: window, sensor: die_temperature, mode: stuk, reaches: device, from: 1 s}",
            "faults.0.mode: unknown value 'stuk': did you mean 'stuck'?",
        ),
        (
            "{kind: window, sensor: die_temperature, mode: stuck, reaches: device, from: 1 s, until: 1 s}",
            "faults.0.until: is not later than 'from'",
        ),
        ("{kind: windows, sensor: die_temperature}", "faults.0.kind: unknown value 'windows': did you mean 'window'?"),
    ],
)
def test_wrong_faults_are_explained(write_scenario: Callable[..., str], fault: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        pipeline.plan(write_scenario((FAULTS, f"faults:\n  - {fault}\nenvironment:")))
    assert message in str(caught.value)
