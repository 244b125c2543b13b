"""Leakage, voltage, columns and the ledger."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import ConfigurationError, InvariantError
from hwsim.plant.power import EnergyLedger, Leakage, RunningSum, columns_watts, dynamic_energy_scale

ZYNQ = Leakage(power_watts=0.178, reference_celsius=52.6, slope_per_kelvin=0.0185, node="die")


def test_leakage_equals_its_reference_and_doubles_as_its_slope_says() -> None:
    assert ZYNQ.watts_at(52.6) == 0.178
    assert ZYNQ.watts_at(52.6 + math.log(2) / 0.0185) == pytest.approx(0.356)
    assert ZYNQ.watts_at(28.1) == pytest.approx(0.113, rel=1e-2)  # the other of the two points that k was derived from


@given(base=st.floats(-20, 80), kelvin_per_watt=st.floats(0, 30))
def test_steady_leakage_keeps_itself_up(base: float, kelvin_per_watt: float) -> None:
    watts = ZYNQ.steady_watts(base, kelvin_per_watt)
    assert ZYNQ.watts_at(base + kelvin_per_watt * watts) == pytest.approx(watts, rel=1e-12)
    assert ZYNQ.slope_per_kelvin * kelvin_per_watt * watts < 1  # the stable one of the two roots


@given(excess=st.floats(1.0001, 100))
def test_leakage_without_a_steady_state_is_refused(excess: float) -> None:
    """p = exp(k R p) has a root as long as k R <= 1/e."""
    leakage = Leakage(power_watts=1.0, reference_celsius=0.0, slope_per_kelvin=0.1, node="die")
    with pytest.raises(ConfigurationError, match="die"):
        leakage.steady_watts(0.0, excess / math.e / 0.1)


def test_from_the_critical_temperature_on_each_watt_brings_more_than_itself() -> None:
    critical = ZYNQ.critical_celsius(15.0)
    assert ZYNQ.slope_per_kelvin * 15.0 * ZYNQ.watts_at(critical) == pytest.approx(1.0)
    assert dataclasses.replace(ZYNQ, power_watts=0.0).critical_celsius(15.0) == math.inf


@given(mean=st.floats(20, 90), kelvin_per_watt=st.floats(1e-6, 30))
def test_mean_leakage_agrees_with_itself_or_there_is_none(mean: float, kelvin_per_watt: float) -> None:
    watts = ZYNQ.mean_watts(mean, kelvin_per_watt)
    assert watts is not None
    assert ZYNQ.watts_at(mean + kelvin_per_watt * watts) == pytest.approx(watts, rel=2e-3)
    assert ZYNQ.mean_watts(mean, 1e4) is None


def test_runaway_is_an_error_and_not_an_overflow() -> None:
    with pytest.raises(ConfigurationError, match="thermal runaway"):
        ZYNQ.watts_at(1e6)


def test_dynamic_energy_follows_the_square_of_the_voltage() -> None:
    assert dynamic_energy_scale(0.9, 0.9) == 1
    assert dynamic_energy_scale(0.80, 0.65) == pytest.approx(1.456, rel=0.05)  # GAP9: 40.356 / 27.711 uJ
    assert dynamic_energy_scale(1.1, 0.9) == pytest.approx(1.369, rel=0.10)  # NDP9120: 139.367 / 101.833 uJ


def test_columns_follow_the_nodes_and_end_elsewhere() -> None:
    assert columns_watts(("die", "board"), {"elsewhere": 0.3, "die": 1.1}).tolist() == [1.1, 0.0, 0.3]


def test_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"'borad'.*did you mean 'board'"):
        columns_watts(("die", "board"), {"borad": 1.0})


@given(st.lists(st.floats(-1e12, 1e12), max_size=60))
def test_running_sum_loses_nothing(terms: list[float]) -> None:
    total = RunningSum()
    for term in terms:
        total.add(term)
    exact = float(sum(map(Fraction, terms)))
    assert total.value == pytest.approx(exact, rel=1e-15, abs=1e-27 * math.fsum(map(abs, terms)))


def test_running_sum_of_many_small_terms() -> None:
    total = RunningSum()
    total.add(1e9)
    for _ in range(1000):
        total.add(1e-8)
    assert total.value - 1e9 == pytest.approx(1e-5, rel=1e-2)


@pytest.mark.parametrize(("error", "holds"), [(0.0, True), (0.9e-9, True), (1.2e-9, False), (math.nan, False)])
def test_ledger_tolerates_a_billionth(error: float, holds: bool) -> None:
    ledger = EnergyLedger()
    ledger.drawn.add(100.0)
    ledger.elsewhere.add(10.0)
    ledger.to_ambient.add(60.0 + 100 * error)
    if holds:
        ledger.check(heat_stored_joules=30.0, heat_held_joules=30.0)
    else:
        with pytest.raises(InvariantError, match="heat balance broken"):
            ledger.check(heat_stored_joules=30.0, heat_held_joules=30.0)
