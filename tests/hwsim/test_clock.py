"""Changes of the clock: the time of a layer that they hit, worked out to the picosecond, and throttling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.controllers.base import Decision, Observation
from hwsim.pipeline import Plan
from hwsim.plant.ambient import Ambient
from hwsim.plant.operating_points import OperatingPoint, OperatingPoints
from hwsim.plant.shutdown import Shutdown
from hwsim.plant.time_series import PiecewiseLinear
from hwsim.simulation.arrivals import PeriodicArrivals
from hwsim.simulation.clock import Clock

MEGAHERTZ = 10**6
MICROSECOND = 10**6
SECOND = 10**12
TICK = 1_001_700
"""Picoseconds; no whole number of cycles at any clock."""


@pytest.fixture
def clocked(scripted: Any) -> Callable[..., Any]:
    """Return a function that makes a controller request clocks (MHz) at given ticks, numbered from 1."""

    def make(requests: Mapping[int, int], tick: int = TICK) -> Any:
        def script(observation: Observation, generator: Any) -> Decision | None:
            megahertz = requests.get(observation.time_picoseconds // tick)
            return (
                None
                if megahertz is None
                else Decision(widths={}, frequency_hertz=megahertz * MEGAHERTZ, reason="clock")
            )

        return scripted(script=script, wakes_on=frozenset({"tick"}), tick_picoseconds=tick)

    return make


def test_a_layer_hit_by_a_change_goes_on_after_the_pause_at_the_new_clock(simulate: Any, clocked: Any) -> None:
    stem, second = simulate(clocked({1: 100})).of_frame(0)[:2]
    # 1.0017 us at 200 MHz are 200.34 cycles: 200. The other 312 take 3.12 us at 100 MHz, after 10 us of pause.
    assert (stem.start_picoseconds, stem.cycles) == (0, 512)
    assert stem.finish_picoseconds == 1_001_700 + 10_000_000 + 3_120_000
    assert stem.dynamic_energy_scale == pytest.approx(1.0, abs=1e-15)
    assert second.finish_picoseconds - second.start_picoseconds == 5_120_000


def test_two_changes_within_one_layer(simulate: Any, clocked: Any) -> None:
    stem = simulate(clocked({1: 125, 20: 50}), inputs_per_frame=4).of_frame(0)[0]
    # 200 of 2048 cycles at 200 MHz; from 11.0017 us on at 125 MHz; until 20.034 us 1129.04 cycles: 1129;
    # the other 719 take 14.38 us at 50 MHz, from 30.034 us on.
    assert stem.cycles == 2048
    assert stem.finish_picoseconds == 20_034_000 + 10_000_000 + 14_380_000
    assert stem.dynamic_energy_scale == pytest.approx(1.0, abs=1e-15)


def test_a_change_during_the_pause_begins_a_pause_of_its_own(simulate: Any, clocked: Any) -> None:
    stem = simulate(clocked({1: 125, 5: 50}), inputs_per_frame=4).of_frame(0)[0]
    # 200 cycles at 200 MHz, none at 125 MHz, 1848 at 50 MHz from 5.0085 us + 10 us on.
    assert stem.cycles == 2048
    assert stem.finish_picoseconds == 5_008_500 + 10_000_000 + 36_960_000
    assert stem.dynamic_energy_scale == pytest.approx(1.0, abs=1e-15)


def test_a_change_while_idle_delays_only_what_comes_within_the_pause(simulate: Any, clocked: Any) -> None:
    log = simulate(clocked({1: 100}, tick=95 * MICROSECOND))
    frame, stem = log.frames[1], log.of_frame(1)[0]
    assert frame.start_picoseconds == stem.start_picoseconds == 100 * MICROSECOND
    assert stem.finish_picoseconds == 105 * MICROSECOND + 5_120_000
    assert log.of_frame(2)[0].finish_picoseconds == 200 * MICROSECOND + 5_120_000


def test_a_change_at_the_very_end_of_a_layer_leaves_it_alone_whichever_is_noticed_first(
    simulate: Any, scripted: Any, clocked: Any, small_plan: Plan
) -> None:
    end_of_stem = 12_560_000
    arrivals = PeriodicArrivals(period=100 * MICROSECOND, offset=10 * MICROSECOND)
    decision = Decision(widths={}, frequency_hertz=100 * MEGAHERTZ, reason="clock")
    # Decided at 12.56 us, without delay: noticed after the end of the layer at the same time.
    after = simulate(clocked({1: 100}, tick=end_of_stem), arrivals=arrivals)

    # Decided at 1 us, to take effect at 12.56 us: noticed before the end of the layer, which began at 10 us.
    def script(observation: Observation, generator: Any) -> Decision | None:
        return decision if observation.time_picoseconds == MICROSECOND else None

    cost = small_plan.device.decision.__class__(time_picoseconds=11_560_000, energy_joules=0.0, column=0)
    early = scripted(script=script, wakes_on=frozenset({"tick"}), tick_picoseconds=MICROSECOND)
    before = simulate(early, arrivals=arrivals, device_changes={"decision": cost})
    for log in (after, before):
        stem, second = log.of_frame(0)[:2]
        assert (stem.finish_picoseconds, stem.cycles, stem.dynamic_energy_scale) == (end_of_stem, 512, 1.0)
        assert second.start_picoseconds == end_of_stem
        assert second.finish_picoseconds == end_of_stem + 10_000_000 + 5_120_000
    assert after.layers == before.layers


def test_a_layer_bound_by_memory_needs_other_cycles_at_another_clock(simulate: Any, clocked: Any) -> None:
    layer = simulate(clocked({1: 100}, tick=117 * MICROSECOND)).of_frame(1)[7]
    # 1203 cycles at 200 MHz, 1168 at 100 MHz. Issued at 115.2 us: 360 cycles by 117 us; of the 843 that remain,
    # 843 * 1168 / 1203 = 818.5: 819 are needed at 100 MHz.
    assert layer.start_picoseconds == 115_200_000
    assert layer.cycles == 360 + 819
    assert layer.finish_picoseconds == 117_000_000 + 10_000_000 + 8_190_000


def test_what_is_left_of_a_layer_costs_the_energy_of_the_new_voltage(simulate: Any, clocked: Any) -> None:
    points = OperatingPoints(
        points=(
            OperatingPoint(frequency_hertz=200 * MEGAHERTZ, voltage_volts=1.0),
            OperatingPoint(frequency_hertz=100 * MEGAHERTZ, voltage_volts=0.8),
        )
    )
    log = simulate(clocked({1: 100}), device_changes={"operating_points": points})
    stem, second = log.of_frame(0)[:2]
    share = 1_001_700 / 2_560_000
    assert stem.dynamic_energy_scale == pytest.approx(share + (1 - share) * 0.8**2, rel=1e-12)
    assert second.dynamic_energy_scale == pytest.approx(0.64, rel=1e-12)


@given(changes=st.dictionaries(st.integers(1, 60), st.sampled_from([200, 125, 100, 62, 50, 25]), max_size=8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_change_of_the_clock_creates_or_destroys_work(
    simulate: Any, clocked: Any, changes: dict[int, int], small_plan: Plan
) -> None:
    log = simulate(clocked(changes), queue_capacity=10, drop_expired=False)
    bound_by_compute = {0, 1, 2, 5, 8, 9}
    assert len(log.frames) == 3
    for layer in log.layers:
        assert layer.dynamic_energy_scale == pytest.approx(1.0, abs=1e-12)
        if layer.position in bound_by_compute:
            assert layer.cycles == small_plan.streams[0].costs.compute_cycles[layer.position, -1, -1]
    whole = sum(frame.energy_joules for frame in simulate(clocked({}), queue_capacity=10, drop_expired=False).frames)
    assert sum(frame.energy_joules for frame in log.frames) == pytest.approx(whole, rel=1e-12)


def test_the_clock_is_the_lower_of_request_and_cap(small_plan: Plan) -> None:
    changes: list[int] = []
    clock = Clock(small_plan.device, lambda: changes.append(clock.frequency_hertz // MEGAHERTZ))
    clock.request(125 * MEGAHERTZ, 0)
    clock.cap(100 * MEGAHERTZ, 5)
    clock.request(200 * MEGAHERTZ, 6)  # the cap holds: no change
    clock.request(50 * MEGAHERTZ, 7)
    clock.cap(None, 8)  # the request holds: no change
    clock.request(10**12, 9)
    assert changes == [125, 100, 50, 200]
    assert clock.ready_picoseconds == 9 + 10 * MICROSECOND
    clock.request(3 * 10**7, 10)  # between two points: the slower one
    assert changes[-1] == 25


def test_a_hot_device_throttles_at_its_polls_with_hysteresis(simulate: Any, scripted: Any, small_plan: Plan) -> None:
    """The air is cold at first, then hot; the device trips at 80 and 85 degC, each until it is 5 K cooler."""
    air = Ambient(
        series=PiecewiseLinear(points=((0, 88.0), (2 * SECOND, -20.0), (150 * SECOND, -20.0), (155 * SECOND, 160.0)))
    )
    log = simulate(
        scripted(wakes_on=frozenset()),
        ambient=air,
        arrivals=PeriodicArrivals(period=2 * SECOND, offset=SECOND // 20),
        duration_picoseconds=300 * SECOND,
        telemetry_picoseconds=SECOND // 10,
        device_changes={
            "throttling": replace(small_plan.device.throttling, poll_picoseconds=SECOND),  # type: ignore[type-var]
            "shutdown": Shutdown(temperature_celsius=1000.0),
        },
    )
    hot, very_hot, expected = False, False, []
    for row in log.telemetry[:-1]:
        if row.time_picoseconds % SECOND == 0:
            hot = row.die_reading_celsius >= (75 if hot else 80)
            very_hot = row.die_reading_celsius >= (80 if very_hot else 85)
        expected.append((50 if very_hot else 100 if hot else 200) * MEGAHERTZ)
    assert [row.throttle_cap_hertz for row in log.telemetry[:-1]] == expected
    assert [row.frequency_hertz for row in log.telemetry[:-1]] == expected
    stages = [cap // MEGAHERTZ for cap, _ in groupby(expected)]
    assert stages == [50, 100, 200, 100, 50]
    for frame in log.frames:
        cap = expected[frame.start_picoseconds * 10 // SECOND]
        stem = log.of_frame(frame.frame)[0]
        assert stem.finish_picoseconds - stem.start_picoseconds == 512 * SECOND // cap
