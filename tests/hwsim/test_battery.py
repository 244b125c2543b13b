"""The kinetic battery: exact for constant power, held against an integration of its equations; conservation; limits."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from hwsim.errors import ConfigurationError, InvariantError
from hwsim.plant.battery import Charge, KineticBattery
from hwsim.plant.power_series import PowerSeries
from hwsim.plant.supply import BatteryPack, Gauge, Supply
from hwsim.plant.thermal import FloatArray
from hwsim.plant.time_series import PiecewiseLinear, Sine

SECOND = 10**12
BATTERY = KineticBattery(capacity_joules=1000.0, available_share=0.3, valve_per_second=2e-3, charging_efficiency=0.9)
PACK = BatteryPack(battery=BATTERY, cut_off=0.05, restart=0.3, gauge=Gauge(period_picoseconds=SECOND, step=0.01))


def integrated(battery: KineticBattery, charge: Charge, seconds: float, drain_watts: float) -> Charge:
    """Return the charge by numerical integration of the two wells, which must not get full."""
    share, valve, full = battery.available_share, battery.valve_per_second, battery.available_capacity_joules

    def slopes(_: float, wells: FloatArray) -> list[float]:
        flow = valve * (wells[1] / (1 - share) - wells[0] / share)
        return [-drain_watts + flow, -flow]

    done = solve_ivp(slopes, (0, seconds), list(charge), rtol=1e-11, atol=1e-9, method="DOP853")
    assert done.y[0].max() <= full + 1e-6
    return Charge(float(done.y[0, -1]), float(done.y[1, -1]))


def stepped(*steps: tuple[int, float]) -> PowerSeries:
    """Return a harvest that jumps, within a picosecond, to a power at each time."""
    before = [(time - 1, watts) for (_, watts), (time, _) in itertools.pairwise(steps)]
    return PowerSeries(series=PiecewiseLinear(points=tuple(sorted([*steps, *before]))))


def steps(*segments: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    return np.array([seconds for seconds, _ in segments]), np.array([watts for _, watts in segments])


BATTERIES = st.builds(
    KineticBattery,
    capacity_joules=st.floats(1, 1e5),
    available_share=st.floats(0.05, 0.95),
    valve_per_second=st.floats(1e-6, 1.0),
    charging_efficiency=st.floats(0.5, 1.0),
)
FILLINGS = st.floats(0, 1)


def charge_of(battery: KineticBattery, available: float, bound: float) -> Charge:
    full = battery.available_capacity_joules
    return Charge(available * full, bound * (battery.capacity_joules - full))


@settings(max_examples=40, deadline=None)
@given(
    BATTERIES, FILLINGS, FILLINGS, st.lists(st.tuples(st.floats(0.01, 300), st.floats(0, 1)), min_size=1, max_size=6)
)
def test_drained_segments_are_what_integration_gives(
    battery: KineticBattery, available: float, bound: float, segments: list[tuple[float, float]]
) -> None:
    charge = reference = charge_of(battery, available, bound)
    watts = [(seconds, share * battery.capacity_joules / 100) for seconds, share in segments]
    assume(max(seconds for seconds, _ in watts) * battery.relaxation_per_second < 1e4)
    for seconds, drain in watts:
        reference = integrated(battery, reference, seconds, drain)
    after, flow = battery.advance(charge, *steps(*watts))
    assert after == pytest.approx(reference, abs=1e-7 * battery.capacity_joules)
    assert flow == pytest.approx((sum(seconds * drain for seconds, drain in watts), 0, 0, 0))


def test_charging_arrives_at_its_efficiency() -> None:
    charge = BATTERY.at_rest(0.2)
    after, flow = BATTERY.advance(charge, *steps((10, -5.0), (10, 2.0)))
    assert after == pytest.approx(integrated(BATTERY, integrated(BATTERY, charge, 10, -4.5), 10, 2.0), rel=1e-8)
    assert flow == pytest.approx((20.0, 45.0, 5.0, 0.0))


@settings(max_examples=150, deadline=None)
@given(
    BATTERIES, FILLINGS, FILLINGS,
    st.lists(st.tuples(st.floats(1e-9, 1e4), st.floats(-1, 1)), min_size=1, max_size=8), st.integers(0, 8),
)  # fmt: skip
def test_energy_is_conserved_and_segments_may_be_told_in_any_portions(
    battery: KineticBattery, available: float, bound: float, segments: list[tuple[float, float]], split: int
) -> None:
    charge = charge_of(battery, available, bound)
    watts = [(seconds, share * battery.capacity_joules / 500) for seconds, share in segments]
    after, flow = battery.advance(charge, *steps(*watts))
    came = sum(-seconds * drain for seconds, drain in watts if drain < 0)
    went = sum(seconds * drain for seconds, drain in watts if drain > 0)
    scale = battery.capacity_joules + came + went
    assert after.joules - charge.joules == pytest.approx(came - flow.lost - flow.refused - went, abs=1e-12 * scale)
    assert after.joules - charge.joules == pytest.approx(flow.stored - flow.drawn, abs=1e-12 * scale)
    assert min(flow) >= -1e-12 * scale
    assert after.available_joules <= battery.available_capacity_joules * (1 + 1e-12)
    portions = [part for part in (watts[:split], watts[split:]) if part]
    again, refused = charge, 0.0
    for portion in portions:
        again, part = battery.advance(again, *steps(*portion))
        refused += part.refused
    assert again == pytest.approx(after, abs=1e-10 * scale)
    assert refused == pytest.approx(flow.refused, abs=1e-9 * scale)


def test_a_full_available_well_takes_only_what_flows_on() -> None:
    charge = Charge(BATTERY.available_capacity_joules, 200.0)
    after, flow = BATTERY.advance(charge, *steps((50, -10.0)))
    taken = 500.0 * (1 - math.exp(-BATTERY.valve_per_second / 0.7 * 50))
    assert after == pytest.approx((300.0, 200.0 + taken))
    assert flow == pytest.approx((0.0, taken, taken / 9, 500 - taken / 0.9))


def test_a_weak_surplus_lets_the_full_well_sink_and_fills_it_again() -> None:
    charge = Charge(BATTERY.available_capacity_joules, 200.0)
    sunk, flow = BATTERY.advance(charge, *steps((20, -0.5)))
    assert sunk == pytest.approx(integrated(BATTERY, charge, 20, -0.45), rel=1e-8)
    assert flow.refused == 0
    last, flow = BATTERY.advance(charge, *steps((1e5, -0.5)))
    assert last == pytest.approx((300.0, 700.0))
    assert flow.refused == pytest.approx(0.5e5 - 500 / 0.9)


@settings(max_examples=80, deadline=None)
@given(BATTERIES, FILLINGS, FILLINGS, st.floats(-1, 1), FILLINGS, st.booleans())
def test_a_mark_is_met_when_the_battery_says_and_not_before(
    battery: KineticBattery, available: float, bound: float, drain: float, mark: float, rising: bool
) -> None:
    charge, full = charge_of(battery, available, bound), battery.available_capacity_joules
    side = 1 if rising else -1
    watts = drain * battery.capacity_joules / 100
    seconds = battery.seconds_until(charge, watts, mark * full, rising=rising)

    def excess(after: float) -> float:
        share, rate = battery.available_share, battery.relaxation_per_second
        heads = charge.bound_joules / (1 - share) - charge.available_joules / share
        settled = watts / (share * rate)
        difference = settled + (heads - settled) * math.exp(-rate * after)
        return side * (share * (charge.joules - watts * after - (1 - share) * difference) - mark * full)

    tiny = 1e-9 * battery.capacity_joules
    for part in np.linspace(0, 1, 50):
        assert excess(part * min(seconds, 1e5)) <= tiny or seconds == 0
    if seconds == 0:
        assert excess(0) >= -tiny
    elif seconds < 1e7:
        assert excess(seconds) == pytest.approx(0, abs=tiny)


@pytest.mark.parametrize("watts", [-2e-311, -1e-20, 0.0, 2e-311])
def test_next_to_nothing_takes_for_ever_or_as_long_as_nothing(watts: float) -> None:
    charge = Charge(30.0, 100.0)
    assert BATTERY.seconds_until(charge, watts, 200.0, rising=True) == math.inf
    refilled = BATTERY.seconds_until(charge, watts, 35.0, rising=True)
    assert refilled == pytest.approx(BATTERY.seconds_until(charge, 0.0, 35.0, rising=True))
    assert BATTERY.seconds_until(Charge(90.0, 210.0), watts, 89.0, rising=False) == math.inf


def test_a_well_that_rises_and_falls_meets_marks_up_to_its_peak() -> None:
    charge, watts = Charge(10.0, 500.0), 0.3
    course = [BATTERY.advance(charge, *steps((seconds, watts)))[0].available_joules for seconds in np.arange(1, 900.0)]
    peak = max(course)
    assert course[0] < peak > course[-1]
    seconds = BATTERY.seconds_until(charge, watts, peak - 0.5, rising=True)
    assert 0 < seconds < 1 + course.index(peak)
    assert BATTERY.advance(charge, *steps((seconds, watts)))[0].available_joules == pytest.approx(peak - 0.5)
    assert BATTERY.seconds_until(charge, watts, peak + 0.5, rising=True) == math.inf


def test_bound_charge_that_flows_first_leaves_no_room_for_a_burst() -> None:
    small_well = replace(BATTERY, available_share=0.05)
    after, flow = small_well.advance(Charge(45.0, 950.0), *steps((1e5, 0.0), (1e-3, -4e3 / 0.9)))
    assert after.available_joules == pytest.approx(50.0)
    assert flow.stored == pytest.approx(50 - 0.05 * 995, rel=1e-3)
    assert flow.refused == pytest.approx((4 - flow.stored) / 0.9)


def test_drawn_hard_a_battery_gives_less_and_at_rest_it_recovers() -> None:
    charge = BATTERY.at_rest(1.0)
    given = {watts: watts * BATTERY.seconds_until(charge, watts, 0.0, rising=False) for watts in (1.0, 4.0, 16.0)}
    assert given[1.0] > given[4.0] > given[16.0]
    assert 300 < given[16.0] < 325  # little more than the available well
    empty = 16.0, given[16.0] / 16.0
    dry, _ = BATTERY.advance(charge, *steps(empty[::-1]))
    assert dry.available_joules == pytest.approx(0, abs=1e-9)
    rested, flow = BATTERY.advance(dry, *steps((60, 0.0)))
    assert rested.available_joules > 60
    assert rested.joules == pytest.approx(dry.joules, rel=1e-14)
    assert flow == (0, 0, 0, 0)
    long_rested, _ = BATTERY.advance(dry, *steps((1e5, 0.0)))
    assert long_rested == pytest.approx(BATTERY.at_rest(dry.joules / 1000))


def test_many_short_segments_are_one_long_one() -> None:
    charge = BATTERY.at_rest(0.9)
    once, _ = BATTERY.advance(charge, *steps((100, 3.0)))
    many, _ = BATTERY.advance(charge, np.full(10_000, 0.01), np.full(10_000, 3.0))
    assert many == pytest.approx(once, rel=1e-12)


def test_a_supply_feeds_the_load_first_and_keeps_its_account() -> None:
    supply = Supply(PACK, state_of_charge=0.5, harvest=stepped((0, 0.0), (10 * SECOND, 4.0)))
    supply.advance(0, *steps((10, 3.0)))
    assert (supply.drawn_joules, supply.harvested_joules, supply.lost_joules) == pytest.approx((30, 0, 0))
    supply.advance(10 * SECOND, *steps((10, 3.0), (5, 4.5)))
    assert (supply.drawn_joules, supply.harvested_joules, supply.lost_joules) == pytest.approx((32.5, 60, 1))
    assert supply.state_of_charge == pytest.approx((500 - 32.5 + 9) / 1000)
    assert supply.delivered_joules == pytest.approx(30 + 30 + 22.5, rel=1e-12)
    supply.check_balance()
    supply.charge = Charge(supply.charge.available_joules, supply.charge.bound_joules - 1e-6)
    with pytest.raises(InvariantError, match="battery balance broken"):
        supply.check_balance()


def test_a_full_supply_refuses_and_does_not_count_it_as_harvest() -> None:
    supply = Supply(PACK, state_of_charge=1.0, harvest=PowerSeries.constant(5.0))
    supply.advance(0, *steps((10, 2.0)))
    assert (supply.drawn_joules, supply.harvested_joules, supply.lost_joules) == pytest.approx((0, 20, 0))
    supply.check_balance()


def test_a_supply_foresees_cut_off_and_restart() -> None:
    supply = Supply(PACK, state_of_charge=0.3, harvest=stepped((0, 1.0), (7 * SECOND, 0.0)))
    seconds = supply.seconds_to_cut_off(0, 4.0)
    after, _ = BATTERY.advance(supply.charge, *steps((seconds, 3.0)))
    assert after.available_joules == pytest.approx(0.05 * 300)
    assert supply.seconds_to_step(0) == pytest.approx(7)
    assert supply.seconds_to_step(13 * SECOND // 2) == pytest.approx(0.5)
    draining = Charge(290.0, 100.0)
    supply.pack, supply.charge = replace(PACK, cut_off=0.95, restart=0.99), draining
    off, _ = BATTERY.advance(draining, *steps((supply.seconds_to_cut_off(0, 0.0), -1.0)))
    assert off.available_joules == pytest.approx(285.0)
    supply.pack, supply.charge = PACK, Charge(10.0, 100.0)
    assert supply.seconds_to_cut_off(0, 4.0) == 0
    seconds = supply.seconds_to_restart(0)
    after, _ = BATTERY.advance(supply.charge, *steps((seconds, -1.0)))
    assert after.available_joules == pytest.approx(0.3 * 300)


@settings(max_examples=100, deadline=None)
@given(
    available=st.floats(16, 300), bound=st.floats(0, 700), most=st.floats(0, 9), sun=st.floats(0, 9),
    rises=st.booleans(),
)  # fmt: skip
def test_between_two_looks_no_battery_is_drawn_down_whatever_is_harvested(
    available: float, bound: float, most: float, sun: float, rises: bool
) -> None:
    points = ((0, 0.0), (1000 * SECOND, sun)) if rises else ((0, sun), (1000 * SECOND, 0.0))
    supply = Supply(PACK, state_of_charge=0.3, harvest=PowerSeries(series=PiecewiseLinear(points=points)))
    supply.charge = Charge(available, bound)
    wait = supply.seconds_between_looks(0, most)
    assert wait >= min(supply.seconds_to_cut_off(0, most), 1.0)
    for second in range(int(min(wait, 1500))):
        supply.advance(second * SECOND, *steps((1.0, most)))
        assert supply.charge.available_joules >= 0.05 * 300 - 1e-6


def test_a_battery_that_lasts_is_seldom_looked_at() -> None:
    sunny = PowerSeries(series=PiecewiseLinear(points=((0, 0.0), (40_000 * SECOND, 5.0))))
    supply = Supply(PACK, state_of_charge=0.9, harvest=sunny)
    assert supply.seconds_between_looks(0, 0.5) > 1000


@pytest.mark.parametrize(("state", "step", "reading"), [(0.617, 0.01, 0.62), (0.617, 0.0, 0.617), (0.014, 0.05, 0.0)])
def test_a_gauge_reads_in_steps(state: float, step: float, reading: float) -> None:
    assert Gauge(period_picoseconds=1, step=step).reading(state) == pytest.approx(reading)


def test_a_harvest_has_its_steps() -> None:
    harvest = PowerSeries(series=PiecewiseLinear(points=((0, 1.0), (4 * SECOND, 1.0), (6 * SECOND, 2.0))))
    times = (0, 3 * SECOND, 4 * SECOND, 5 * SECOND - 1, 5 * SECOND, 6 * SECOND, 99 * SECOND)
    assert [harvest.watts_at(time) for time in times] == [1, 1, 1.25, 1.25, 1.75, 2, 2]
    uneven = PowerSeries(series=PiecewiseLinear(points=((0, 1.0), (SECOND // 2, 1.5), (3 * SECOND, 6.5))))
    assert [uneven.watts_at(part * SECOND // 4) for part in range(4)] == [1.25, 1.25, 2, 2]
    assert [*uneven.steps_between(0, 2 * SECOND)] == [SECOND // 2, SECOND]
    assert [*uneven.steps_between(0, SECOND + 1)] == [SECOND // 2, SECOND]
    assert [*uneven.steps_between(SECOND // 2, SECOND)] == []
    assert [uneven.next_step(time) for time in (0, SECOND // 2, 3 * SECOND // 2)] == [SECOND // 2, SECOND, 2 * SECOND]
    assert uneven.highest_watts == 6.5


def test_a_power_that_does_not_move_needs_no_steps() -> None:
    harvest = PowerSeries(series=PiecewiseLinear(points=((0, 1.0), (900 * SECOND, 1.0), (901 * SECOND, 2.0))))
    assert [*harvest.steps_between(0, 3000 * SECOND)] == [900 * SECOND, 901 * SECOND]
    assert harvest.next_step(1000 * SECOND) > 3000 * SECOND


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 5 * SECOND), min_size=1, max_size=6), st.data())
def test_a_harvest_gives_what_its_series_holds(gaps: list[int], data: st.DataObject) -> None:
    times = [0, *np.cumsum(gaps).tolist()]
    watts = data.draw(st.lists(st.floats(0, 9), min_size=len(times), max_size=len(times)))
    harvest = PowerSeries(series=PiecewiseLinear(points=tuple(zip(times, watts, strict=True))))
    cuts = [0, *harvest.steps_between(0, times[-1]), times[-1]]
    given = sum(harvest.watts_at(start) * (end - start) for start, end in itertools.pairwise(cuts))
    assert given == pytest.approx(np.trapezoid(watts, times), rel=1e-9, abs=1.0)
    for start, end in itertools.pairwise(cuts):
        assert harvest.next_step(start) >= end
        assert harvest.watts_at(start) == harvest.watts_at((start + end) // 2) == harvest.watts_at(end - 1)


def test_a_sun_that_has_set_takes_nothing_back() -> None:
    sine = Sine(mean=0.0, amplitude=2.0, period_picoseconds=40 * SECOND, peak_picoseconds=10 * SECOND, tolerance=1e-3)
    sun = PowerSeries(series=sine)
    assert [sun.watts_at(second * SECOND) for second in (21, 30, 39)] == [0, 0, 0]
    noon = sum(sun.watts_at(second * SECOND // 4) for second in range(80)) / 4
    assert noon == pytest.approx(2 * 40 / math.pi, rel=5e-3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"capacity_joules": 0.0}, {"capacity_joules": math.inf}, {"available_share": 0.0}, {"available_share": 1.0},
        {"valve_per_second": 0.0}, {"charging_efficiency": 0.0}, {"charging_efficiency": 1.1},
    ],
)  # fmt: skip
def test_impossible_batteries_are_refused(wrong: dict[str, float]) -> None:
    right = {"capacity_joules": 1.0, "available_share": 0.5, "valve_per_second": 1.0, "charging_efficiency": 1.0}
    with pytest.raises(ConfigurationError, match="battery: expected"):
        KineticBattery(**{**right, **wrong})


def test_impossible_packs_gauges_and_charges_are_refused() -> None:
    gauge = Gauge(period_picoseconds=1, step=0.0)
    for cut_off, restart in ((0.3, 0.3), (-0.1, 0.3), (0.3, 1.1)):
        with pytest.raises(ConfigurationError, match="cut-off < restart"):
            BatteryPack(battery=BATTERY, cut_off=cut_off, restart=restart, gauge=gauge)
    for period, step in ((0, 0.1), (1, -0.1)):
        with pytest.raises(ConfigurationError, match="gauge"):
            Gauge(period_picoseconds=period, step=step)
    with pytest.raises(ConfigurationError, match=r"state of charge of 1\.5"):
        Supply(PACK, state_of_charge=1.5, harvest=PowerSeries.constant(0.0))
