"""The plant: exact accounting, leakage feedback within a stated bound, laws of heat."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from hwsim.errors import ConfigurationError, InvariantError
from hwsim.plant.ambient import Ambient
from hwsim.plant.parameters import PlantParameters
from hwsim.plant.plant import Plant
from hwsim.plant.power import Leakage
from hwsim.plant.thermal import FloatArray, ThermalNetwork
from hwsim.plant.time_series import PiecewiseLinear

SECOND = 10**12
MILLISECOND = 10**9
DIE, BOARD, ELSEWHERE = 0, 1, 2

# Assumed, not measured: a fanless XC7Z020 board, 15 K/W in all (11.5 to 18.2), 35 % of it from die to board
# (30 to 45), R C of 3 s (1 to 10) and 300 s (120 to 600).
NETWORK = ThermalNetwork(
    nodes=("die", "board"),
    capacities_joules_per_kelvin=np.array([0.57, 30.8]),
    conductances_watts_per_kelvin=np.array([[0.0, 1 / 5.25], [1 / 5.25, 0.0]]),
    ambient_conductances_watts_per_kelvin=np.array([0.0, 1 / 9.75]),
)
NO_LEAKAGE = Leakage(power_watts=0.0, reference_celsius=25.0, slope_per_kelvin=0.0, node="die")
# Assumed: 2.5 times (1 to 3) the typical 0.178 W; the slope from two tool estimates, +-30 %.
WORST_LEAKAGE = Leakage(power_watts=0.45, reference_celsius=52.6, slope_per_kelvin=0.0185, node="die")
ROWS = np.array([[0.0, 0.0, 0.0], [0.02, 0.001, 0.005], [0.05, 0.0, 0.0], [0.4, 0.1, 0.02]])
CONSTANT = np.array([0.9, 0.1, 0.3])


def parameters(
    *, ambient: Ambient | None = None, leakage: Leakage = WORST_LEAKAGE, constant: FloatArray = CONSTANT
) -> PlantParameters:
    return PlantParameters(
        network=NETWORK,
        ambient=ambient or Ambient.constant(25.0),
        leakage=leakage,
        constant_powers_watts=constant,
        energy_rows_joules=ROWS,
    )


def run_segments(plant: Plant, segments: list[tuple[int, int, float]], *, every: int) -> None:
    """Record (row, duration, share) and advance after every so many."""
    time = plant.time_picoseconds
    for count, (row, duration, share) in enumerate(segments, start=1):
        plant.record(row, duration, share)
        time += duration
        if count % every == 0:
            plant.advance_to(time)
    plant.advance_to(time)


SEGMENTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.one_of(st.integers(1, 1000), st.integers(MILLISECOND, SECOND)),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=25,
)
# Powers of a nanosecond-long segment would be megawatts: a share in proportion keeps them physical.
PHYSICAL_SEGMENTS = SEGMENTS.map(
    lambda segments: [(row, duration, share * duration / SECOND * 5) for row, duration, share in segments]
)
DRIFTING = Ambient(
    series=PiecewiseLinear(points=((0, 25.0), (SECOND // 3, 25.5), (2 * SECOND, 24.0), (9 * SECOND, 30.0)))
)


@settings(max_examples=60, deadline=None)
@given(segments=PHYSICAL_SEGMENTS, every=st.integers(1, 30), ambient=st.sampled_from([None, DRIFTING]))
def test_energy_is_conserved(segments: list[tuple[int, int, float]], every: int, ambient: Ambient | None) -> None:
    plant = Plant(parameters(ambient=ambient))
    run_segments(plant, segments, every=every)
    plant.check_heat_balance()
    drawn = plant.heat_stored_joules + plant.heat_to_ambient_joules + plant.elsewhere_joules
    assert drawn == pytest.approx(plant.plant_energy_joules, rel=1e-9, abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(segments=PHYSICAL_SEGMENTS)
def test_ledger_equals_what_was_recorded(segments: list[tuple[int, int, float]]) -> None:
    plant = Plant(parameters(leakage=NO_LEAKAGE))
    run_segments(plant, segments, every=4)
    seconds = plant.time_picoseconds / SECOND
    dynamic = sum((share * ROWS[row] for row, _, share in segments), start=np.zeros(3))
    expected = dynamic + CONSTANT * seconds
    assert plant.plant_energy_joules == pytest.approx(expected.sum(), rel=1e-12)
    assert plant.elsewhere_joules == pytest.approx(expected[ELSEWHERE], rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(segments=PHYSICAL_SEGMENTS, every=st.integers(1, 30))
def test_temperatures_stay_between_ambient_and_the_hottest_steady_state(
    segments: list[tuple[int, int, float]], every: int
) -> None:
    hottest = CONSTANT + 5 * ROWS.max(axis=0)
    bound = parameters(constant=hottest).steady_idle_rise() + 25.0
    plant = Plant(parameters())
    time = 0
    for row, duration, share in segments:
        plant.record(row, duration, share)
        time += duration
        plant.advance_to(time)
        assert np.all(plant.temperatures_celsius() >= 25.0 - 1e-9)
        assert np.all(plant.temperatures_celsius() <= bound + 1e-9)


@settings(max_examples=30, deadline=None)
@given(segments=PHYSICAL_SEGMENTS, every=st.integers(1, 30))
def test_when_the_plant_is_asked_does_not_matter_without_leakage(
    segments: list[tuple[int, int, float]], every: int
) -> None:
    often, once = (Plant(parameters(ambient=DRIFTING, leakage=NO_LEAKAGE)) for _ in range(2))
    run_segments(often, segments, every=every)
    run_segments(once, segments, every=len(segments))
    np.testing.assert_allclose(often.rise_kelvin, once.rise_kelvin, atol=1e-10)
    assert often.heat_to_ambient_joules == pytest.approx(once.heat_to_ambient_joules, rel=1e-9, abs=1e-12)


def reference_celsius(seconds: float, die_watts: float, ambient: Ambient) -> FloatArray:
    """Integrate the non-linear equation, leakage inside, by a tight multistep solver."""
    powers = CONSTANT[:2] + np.array([die_watts, 0.0])
    between = NETWORK.conductances_watts_per_kelvin[DIE, BOARD]

    def derivative(time: float, celsius: FloatArray) -> FloatArray:
        air = ambient.temperature_celsius(round(time * SECOND))
        across = between * (celsius[DIE] - celsius[BOARD])
        flow = powers - NETWORK.ambient_conductances_watts_per_kelvin * (celsius - air)
        flow += np.array([WORST_LEAKAGE.watts_at(float(celsius[DIE])) - across, across])
        return np.asarray(flow / NETWORK.capacities_joules_per_kelvin)

    start = np.full(2, ambient.temperature_celsius(0))
    solution = solve_ivp(derivative, (0, seconds), start, method="LSODA", rtol=1e-10, atol=1e-10, max_step=0.2)
    return np.asarray(solution.y[:, -1])


@pytest.mark.parametrize("seconds", [0.25, 2.0, 8.0, 40.0])
@pytest.mark.parametrize("ambient", [Ambient.constant(50.0), DRIFTING], ids=["hot", "drifting"])
def test_leakage_feedback_is_within_a_tenth_of_a_millikelvin(seconds: float, ambient: Ambient) -> None:
    """A load step of 4 W told in one segment: the plant itself renews leakage every 100 ms."""
    plant = Plant(parameters(ambient=ambient))
    plant.record(2, round(seconds * SECOND), share=4.0 * seconds / ROWS[2, DIE])
    plant.advance_to(round(seconds * SECOND))
    expected = reference_celsius(seconds, 4.0, ambient)
    assert expected[DIE] > ambient.temperature_celsius(0) + 2  # the step is felt
    np.testing.assert_allclose(plant.temperatures_celsius(), expected, rtol=0, atol=1e-4)
    plant.check_heat_balance()


def test_a_long_rest_may_be_told_at_once() -> None:
    """After a load, an hour of rest in one segment, or looked at ten times a second: the same to a tenth of a mK."""
    plants = [Plant(parameters(ambient=Ambient.constant(50.0))) for _ in range(2)]
    for plant in plants:
        plant.record(2, 100 * SECOND, share=4.0 * 100 / ROWS[2, DIE])
        plant.advance_to(100 * SECOND)
    plants[0].record(0, 3600 * SECOND)
    plants[0].advance_to(3700 * SECOND)
    for look in range(1, 36_001):
        plants[1].record(0, SECOND // 10)
        plants[1].advance_to(100 * SECOND + look * (SECOND // 10))
    np.testing.assert_allclose(plants[0].rise_kelvin, plants[1].rise_kelvin, rtol=0, atol=1e-4)
    assert plants[0].plant_energy_joules == pytest.approx(plants[1].plant_energy_joules, rel=1e-6)
    plants[0].check_heat_balance()


def test_leakage_error_is_of_second_order_in_the_step() -> None:
    expected = reference_celsius(1.6, 4.0, Ambient.constant(50.0))
    errors = []
    for milliseconds in (100, 50):
        plant = Plant(parameters(ambient=Ambient.constant(50.0)))
        step = milliseconds * MILLISECOND
        segments = [(2, step, 4.0 * step / SECOND / ROWS[2, DIE])] * (1600 // milliseconds)
        run_segments(plant, segments, every=1)
        errors.append(np.abs(plant.temperatures_celsius() - expected).max())
    assert errors[1] < errors[0] / 3


def test_an_hour_keeps_the_balance() -> None:
    plant = Plant(parameters(ambient=DRIFTING))
    second = [(1, 300 * MILLISECOND, 30.0), (2, 200 * MILLISECOND, 15.0), (0, 500 * MILLISECOND, 1.0)]
    run_segments(plant, second * 3600, every=30)
    assert plant.time_picoseconds == 3600 * SECOND
    plant.check_heat_balance()


def test_a_device_that_idled_for_long_stays_as_it_is() -> None:
    physics = parameters()
    rise = physics.steady_idle_rise()
    plant = Plant(physics, initial_rise_kelvin=rise)
    plant.record(0, 100 * SECOND)
    plant.advance_to(100 * SECOND)
    np.testing.assert_allclose(plant.rise_kelvin, rise, atol=1e-9)
    assert plant.heat_stored_joules == pytest.approx(0, abs=1e-7)
    assert plant.plant_energy_joules == pytest.approx(plant.heat_to_ambient_joules + plant.elsewhere_joules)


def test_mean_power_names_every_column_by_hand() -> None:
    plant = Plant(parameters())
    plant.record(1, 100 * MILLISECOND)
    plant.record(0, 250 * MILLISECOND)
    plant.record_energy(BOARD, 0.01)
    plant.record(1, 50 * MILLISECOND, share=0.5)
    plant.advance_to(400 * MILLISECOND)
    dynamic = 1.5 * ROWS[1] + np.array([0.0, 0.01, 0.0])
    leakage = np.array([plant.leakage_watts, 0.0, 0.0])
    np.testing.assert_allclose(plant.mean_power_watts, CONSTANT + dynamic / 0.4 + leakage, rtol=1e-12)
    cool, warm = 25.0, float(plant.temperatures_celsius()[DIE])
    assert WORST_LEAKAGE.watts_at(cool) < plant.leakage_watts < WORST_LEAKAGE.watts_at(warm)
    assert plant.elsewhere_joules == pytest.approx(1.5 * 0.005 + 0.3 * 0.4)


def test_extra_energy_waits_for_the_next_segment() -> None:
    plant = Plant(parameters(leakage=NO_LEAKAGE))
    plant.record(0, SECOND)
    plant.record_energy(DIE, 0.25)
    plant.advance_to(SECOND)
    assert plant.plant_energy_joules == pytest.approx(1.3)
    plant.record(0, SECOND)
    plant.advance_to(2 * SECOND)
    assert plant.plant_energy_joules == pytest.approx(2.6 + 0.25)


def test_a_segment_of_nothing_leaves_no_trace() -> None:
    plant = Plant(parameters())
    plant.record(0, 0)
    plant.record(2, 0, share=0.0)
    plant.advance_to(0)
    assert plant.plant_energy_joules == 0
    assert plant.temperatures_celsius().tolist() == [25.0, 25.0]


@pytest.mark.parametrize("target", [SECOND - 1, SECOND + 1, 0])
def test_time_without_a_record_is_refused(target: int) -> None:
    plant = Plant(parameters())
    plant.record(0, SECOND)
    with pytest.raises(InvariantError, match="record every segment"):
        plant.advance_to(target)


@pytest.mark.parametrize(
    ("row", "duration", "share"), [(4, 1, 1.0), (-1, 1, 1.0), (1, 0, 1.0), (0, -1, 1.0), (1, 1, -0.1)]
)
def test_impossible_segments_are_refused(row: int, duration: int, share: float) -> None:
    with pytest.raises(InvariantError, match="expected a row that exists"):
        Plant(parameters()).record(row, duration, share)


@pytest.mark.parametrize(("column", "joules"), [(3, 1.0), (-1, 1.0), (0, -1.0)])
def test_impossible_energies_are_refused(column: int, joules: float) -> None:
    with pytest.raises(InvariantError, match="a column that exists"):
        Plant(parameters()).record_energy(column, joules)


def test_a_lost_joule_breaks_the_balance(monkeypatch: pytest.MonkeyPatch) -> None:
    plant = Plant(parameters())
    plant.record(1, SECOND)
    plant.advance_to(SECOND)
    monkeypatch.setattr(plant, "rise_kelvin", plant.rise_kelvin + np.array([1e-6, 0.0]))
    with pytest.raises(InvariantError, match="heat balance broken"):
        plant.check_heat_balance()


def test_thermal_runaway_is_told_as_such() -> None:
    wild = Leakage(power_watts=2.0, reference_celsius=25.0, slope_per_kelvin=0.07, node="die")
    with pytest.raises(ConfigurationError, match="no steady state"):
        parameters(leakage=wild).steady_idle_rise()
    plant = Plant(parameters(leakage=wild))
    plant.record(0, 600 * SECOND)
    plant.advance_to(600 * SECOND)
    assert plant.is_burnt
    assert plant.temperatures_celsius().max() < 250  # nothing leaks from 200 C on
    plant.check_heat_balance()


def test_parameters_that_do_not_fit_are_refused() -> None:
    lost = Leakage(power_watts=0.1, reference_celsius=25.0, slope_per_kelvin=0.02, node="dye")
    with pytest.raises(ConfigurationError, match=r"'dye'.*did you mean 'die'"):
        parameters(leakage=lost)
    with pytest.raises(ConfigurationError, match="expected 3 constant powers"):
        parameters(constant=np.zeros(2))
    with pytest.raises(ConfigurationError, match="0 or more"):
        parameters(constant=np.array([1.0, -1.0, 0.0]))
