"""Linux' power_allocator: a trace worked out by hand, and a second implementation in fractions from the law's text.

With e = T_control - T in millikelvin and k_po, k_pu, k_i in 1024ths (but k_d in whole mW ms / mK: the kernel divides
a number with ten binary places by one without), products rounded down to 1024ths and the quotient by the period
towards 0, at and above T_switch_on:

    P = (k_po if e < 0 else k_pu) e
    I = k_i S;  if e < cutoff and |I + k_i e| < P_max: S = S + e, I = I + k_i e
    D = k_d (e - e_before) / period in ms
    budget = clamp(P_sustainable + P + I + D, 0, P_max)

Below, S = e_before = 0 and nothing is limited.
"""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from math import floor, trunc

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwsim.errors import ConfigurationError
from hwsim.plant.throttling import Gains, PollPeriods, PowerAllocator, Reading

MILLISECOND = 10**9
CLOCKS = (1000, 800, 600, 400)
POWERS = (4000, 2800, 2000, 1200)


def law_of(gains: Gains | None = None, *, passive_milliseconds: int = 20, sustainable: int = 2100) -> PowerAllocator:
    """Make a law that switches on at 75 C and holds 85 C."""
    return PowerAllocator(
        switch_on_millicelsius=75_000,
        control_millicelsius=85_000,
        sustainable_milliwatts=sustainable,
        gains=gains or Gains.estimate(sustainable, 10_000),
        frequencies_hertz=CLOCKS,
        powers_milliwatts=POWERS,
        periods=PollPeriods(
            idle_picoseconds=1000 * MILLISECOND, passive_picoseconds=passive_milliseconds * MILLISECOND
        ),
    )


def busy(millicelsius: int, load: float = 1.0, point: int = 0) -> Reading:
    return Reading(
        millicelsius=millicelsius, point=point, busy_picoseconds=int(load * 10**9), elapsed_picoseconds=10**9
    )


def test_the_kernel_s_estimate_of_gains_by_hand() -> None:
    # RK3588's 2100 mW over 10 K: 2100 * 1024 / 10000 = 215.04, 4200 * 1024 / 10000 = 430.08, 430 / 10.
    assert Gains.estimate(2100, 10_000) == Gains(k_po=215, k_pu=430, k_i=43)
    assert Gains.estimate(10, 10_000) == Gains(k_po=1, k_pu=2, k_i=1)  # at least one 1024th


def test_a_trace_by_hand() -> None:
    """Full load; k_po 215, k_pu 430, k_i 43, no derivative."""
    by_hand: list[tuple[int, int | None, int | None, int]] = [
        # T, budget, cap, S in mK
        (74_000, None, None, 0),  # below switch-on
        (75_000, 4000, None, 0),  # P = 430 * 10000 / 1024 = 4199: 6299, at most 4000
        (83_000, 2939, 800, 0),  # P = 430 * 2000 / 1024 = 839.8
        (85_000, 2100, 600, 0),  # e = 0
        (86_000, 1848, 400, -1000),  # P = -215000, I = -43000; -258000 / 1024 = -251.95 -> -252
        (86_000, 1806, 400, -2000),  # P = -215000, I = -86000; -301000 / 1024 = -293.9 -> -294
        (84_000, 2435, 600, -2000),  # P = 430000, I = -86000; 344000 / 1024 = 335.9; e > 0 is not added
        (95_000, 0, 400, -12_000),  # P = -2150000, I = -516000: 2100 - 2604 < 0
        (74_999, None, None, 0),  # forgets
        (84_000, 2519, 600, 0),  # P = 430000 / 1024 = 419.9
    ]
    law = law_of()
    state = law.init()
    for temperature, budget, cap, integral in by_hand:
        if budget is not None:
            assert law.budget(temperature, state)[1] == budget
        state, verdict = law.poll(busy(temperature), state)
        assert (verdict.cap_hertz, state.error_integral) == (cap, integral * 1024), temperature
        period = 1000 if budget is None else 20
        assert verdict.next_poll_picoseconds == period * MILLISECOND
    assert [mark.temperature_celsius for mark in law.marks] == [75.0, 85.0]


def test_the_derivative_is_divided_as_in_c_towards_zero() -> None:
    """k_d 1, -2001 mK in 2000 ms: -2001 * 1024 / 2000 = -1024.5 1024ths: -1 mW, where rounding down had given -2."""
    law = law_of(Gains(k_po=0, k_pu=0, k_i=0, k_d=1), passive_milliseconds=2000)
    state, budget = law.budget(85_000, law.init())
    assert budget == 2100
    assert law.budget(87_001, state)[1] == 2099
    assert law.budget(82_999, state)[1] == 2101  # +1024.5 / 1024


def test_the_integral_stops_where_it_would_exceed_the_most_that_can_be_drawn() -> None:
    law = law_of(Gains(k_po=0, k_pu=0, k_i=1024))  # 1 mW per mK
    state, budget = law.budget(86_500, law.init())
    assert (state.error_integral, budget) == (-1500 * 1024, 600)
    state, budget = law.budget(87_500, state)  # I = -4000 mW: as much as 4000 mW, so not added
    assert (state.error_integral, budget) == (-1500 * 1024, 600)
    state, budget = law.budget(87_499, state)
    assert (state.error_integral, budget) == (-3999 * 1024, 0)


def test_the_cutoff_lets_small_positive_errors_in() -> None:
    law = law_of(Gains(k_po=0, k_pu=0, k_i=1024, integral_cutoff_millikelvin=1000))
    assert law.budget(84_000, law.init())[0].error_integral == 0
    state, budget = law.budget(84_001, law.init())
    assert (state.error_integral, budget) == (999 * 1024, 3099)


def test_a_half_idle_array_may_run_faster_on_the_same_budget() -> None:
    law = law_of()
    assert law.poll(busy(85_000, load=1.0), law.init())[1].cap_hertz == 600  # 2100 mW
    assert law.poll(busy(85_000, load=0.75), law.init())[1].cap_hertz == 800  # as if 2800 mW
    assert law.poll(busy(85_000, load=0.76), law.init())[1].cap_hertz == 600  # as if 2764 mW
    assert law.poll(busy(85_000, load=0.5), law.init())[1].cap_hertz is None
    assert law.poll(busy(95_000, load=0.0), law.init())[1].cap_hertz == 400  # no budget at all: 3 mW are requested


def test_who_requests_nothing_gets_all_that_it_could_draw() -> None:
    frugal = dataclasses.replace(law_of(), powers_milliwatts=(1000, 800, 600, 400))
    assert frugal.poll(busy(95_000, load=0.0), frugal.init())[1].cap_hertz is None  # 1000 / 1024 mW: 0
    assert frugal.poll(busy(95_000), frugal.init())[1].cap_hertz == 400


def reference(law: PowerAllocator, temperatures: list[int]) -> list[int | None]:
    """Return the budgets of the text, in fractions that are rounded where the text says."""

    def down(value: Fraction) -> Fraction:
        return Fraction(floor(value * 1024), 1024)

    k_po, k_pu, k_i = (Fraction(each, 1024) for each in (law.gains.k_po, law.gains.k_pu, law.gains.k_i))
    most, period = law.powers_milliwatts[0], law.periods.passive_picoseconds // MILLISECOND
    summed = before = 0
    budgets: list[int | None] = []
    for temperature in temperatures:
        if temperature < law.switch_on_millicelsius:
            summed = before = 0
            budgets.append(None)
            continue
        e = law.control_millicelsius - temperature
        proportional = down((k_po if e < 0 else k_pu) * e)
        integral = down(k_i * summed)
        if e < law.gains.integral_cutoff_millikelvin and abs(integral + down(k_i * e)) < most:
            summed, integral = summed + e, integral + down(k_i * e)
        derivative = Fraction(trunc(Fraction(1024 * law.gains.k_d * (e - before), period)), 1024)
        before = e
        wanted = law.sustainable_milliwatts + floor(proportional + integral + derivative)
        budgets.append(min(max(wanted, 0), most))
    return budgets


GAINS = st.builds(
    Gains,
    k_po=st.integers(0, 2000), k_pu=st.integers(0, 2000), k_i=st.integers(0, 300), k_d=st.integers(0, 5000),
    integral_cutoff_millikelvin=st.integers(0, 3000),
)  # fmt: skip
TEMPERATURES = st.lists(st.integers(70_000, 95_000), max_size=25)


@given(gains=GAINS, temperatures=TEMPERATURES, period=st.integers(1, 300))
@settings(deadline=None)
def test_it_is_the_law_of_the_text(gains: Gains, temperatures: list[int], period: int) -> None:
    law = law_of(gains, passive_milliseconds=period)
    state = law.init()
    for temperature, expected in zip(temperatures, reference(law, temperatures), strict=True):
        state = type(state)(**json.loads(json.dumps(dataclasses.asdict(state))))
        before = state
        state, verdict = law.poll(busy(temperature), state)
        if expected is None:
            assert (verdict.cap_hertz, state) == (None, law.init())
            continue
        assert law.budget(temperature, before) == (state, expected)
        shallowest = next((clock for clock, power in zip(CLOCKS, POWERS, strict=True) if power <= expected), CLOCKS[-1])
        assert (verdict.cap_hertz or CLOCKS[0]) == shallowest


@given(cooler=st.integers(70_000, 99_000), hotter=st.integers(70_000, 99_000), sustainable=st.integers(1, 4000))
@settings(deadline=None)
def test_hotter_is_never_granted_more(cooler: int, hotter: int, sustainable: int) -> None:
    assume(cooler < hotter)
    law = law_of(sustainable=sustainable)
    caps = [law.poll(busy(each), law.init())[1].cap_hertz or CLOCKS[0] for each in (cooler, hotter)]
    assert caps[0] >= caps[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"powers_milliwatts": (1, 2, 3, 4)}, "none larger"),
        ({"powers_milliwatts": (1,)}, "each of 4 clocks"),
        ({"powers_milliwatts": (1, 0, 0, -1)}, "none larger"),
        ({"switch_on_millicelsius": 85_000}, "switch on below"),
        ({"sustainable_milliwatts": -1}, "0 or more"),
        ({"periods": PollPeriods(idle_picoseconds=1, passive_picoseconds=MILLISECOND - 1)}, "1 ms"),
    ],
)
def test_impossible_laws_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        dataclasses.replace(law_of(), **changes)  # type: ignore[arg-type]


def test_negative_gains_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="gains of 0 or more"):
        Gains(k_po=1, k_pu=1, k_i=-1)
