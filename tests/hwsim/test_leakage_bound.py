"""Leakage that feeds back on temperature, against a stiff solver on random networks, and thermal runaway."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from hwsim.errors import ConfigurationError
from hwsim.plant.ambient import Ambient
from hwsim.plant.parameters import PlantParameters, RestingDraw
from hwsim.plant.plant import Plant
from hwsim.plant.power import Leakage
from hwsim.plant.thermal import ThermalNetwork
from hwsim.plant.time_series import PiecewiseLinear

SECOND = 10**12
BOUND_KELVIN = 2e-3
"""As docs/thermal.md states it."""
SHARES = (1.0, 0.3, 0.05)
"""Of the leakage, awake and in two idle states."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, its leakage and a load: durations in picoseconds, powers [segment, node], levels of rest."""

    network: ThermalNetwork
    leakage: Leakage
    ambient: Ambient
    durations: list[int]
    powers: FloatArray
    levels: tuple[int, ...] = (0,) * 12


def case(seed: int) -> Case:
    """Return nodes of 10 uJ/K to 30 J/K, time constants of microseconds to minutes, loop gains up to 0.6."""
    draw = np.random.default_rng(seed)
    size = int(draw.integers(2, 7))
    capacities = 10 ** draw.uniform(-5, 1.5, size)
    between = np.zeros((size, size))
    for node in range(1, size):  # a tree, and a few links more
        for other in {int(draw.integers(0, node)), int(draw.integers(0, node))}:
            between[node, other] = between[other, node] = 10 ** draw.uniform(-1.3, 0.7)
    to_ambient = np.where(draw.random(size) < 0.3, 10 ** draw.uniform(-1.5, -0.5, size), 0.0)
    to_ambient[int(np.argmax(capacities))] = 10 ** draw.uniform(-1.3, -0.5)
    network = ThermalNetwork(
        nodes=tuple(f"n{node}" for node in range(size)),
        capacities_joules_per_kelvin=capacities,
        conductances_watts_per_kelvin=between,
        ambient_conductances_watts_per_kelvin=to_ambient,
    )
    leaking = int(np.argmin(capacities)) if draw.random() < 0.7 else int(draw.integers(0, size))
    durations = [round(SECOND * 10 ** draw.uniform(-5, 0.3)) for _ in range(12)]
    powers = draw.uniform(0, 1, (12, size)) * (draw.random((12, size)) < 0.5)
    hottest = np.array([network.steady(np.eye(size)[node]) for node in range(size)]).T @ powers.max(axis=0)
    powers *= 60 / max(hottest)  # a steady state 60 K above ambient at most
    slope = float(draw.uniform(0.02, 0.07))
    gain_at_60 = float(draw.uniform(0.1, 0.6))
    per_watt = float(network.steady(np.eye(size)[leaking])[leaking])
    leakage = Leakage(
        power_watts=gain_at_60 / (slope * per_watt), reference_celsius=90.0, slope_per_kelvin=slope,
        node=f"n{leaking}",
    )  # fmt: skip
    end = sum(durations)
    ambient = Ambient(series=PiecewiseLinear(points=((0, 25.0), (end // 3, 28.0), (end, 24.0))))
    return Case(network=network, leakage=leakage, ambient=ambient, durations=durations, powers=powers)


def plant_of(case: Case, *, leakage: Leakage | None = None) -> Plant:
    size = len(case.network.nodes)
    seconds = np.array(case.durations) / SECOND
    rows = np.hstack([case.powers * seconds[:, None], np.zeros((len(seconds), 1))])
    return Plant(
        PlantParameters(
            network=case.network, ambient=case.ambient, leakage=leakage or case.leakage,
            constant_powers_watts=np.zeros(size + 1), energy_rows_joules=np.vstack([np.zeros(size + 1), rows]),
            resting=tuple(
                RestingDraw(constant_powers_watts=np.zeros(size + 1), leakage_share=share)
                for share in SHARES[1 : 1 + max(case.levels)]
            ),
        )
    )  # fmt: skip


def integrated(case: Case) -> FloatArray:
    """Return temperatures [segment, node] at the ends of the segments by an implicit solver."""
    network, node = case.network, case.network.nodes.index(case.leakage.node)
    between = network.conductances_watts_per_kelvin
    inside = between - np.diag(between.sum(axis=1))
    to_ambient, capacities = network.ambient_conductances_watts_per_kelvin, network.capacities_joules_per_kelvin
    knots = [time / SECOND for time, _ in case.ambient.series.points]  # type: ignore[attr-defined]
    found, celsius, start = [], np.full(len(capacities), 25.0), 0.0
    for picoseconds, powers, level in zip(case.durations, case.powers, case.levels, strict=True):
        end = start + picoseconds / SECOND
        for stop in [*(knot for knot in knots if start < knot < end), end]:

            def derivative(
                time: float, celsius: FloatArray, powers: FloatArray = powers, start: float = start,
                share: float = SHARES[level],
            ) -> FloatArray:  # fmt: skip
                air = np.interp(start + time, knots, [25.0, 28.0, 24.0])
                flow = powers + inside @ celsius - to_ambient * (celsius - air)
                flow[node] += share * case.leakage.watts_at(float(celsius[node]))
                return np.asarray(flow / capacities)

            def jacobian(time: float, celsius: FloatArray, share: float = SHARES[level]) -> FloatArray:
                matrix = inside - np.diag(to_ambient)
                leaked = share * case.leakage.watts_at(float(celsius[node]))
                matrix[node, node] += case.leakage.slope_per_kelvin * leaked
                return np.asarray(matrix / capacities[:, None])

            solved = solve_ivp(
                derivative, (0, stop - start), celsius, method="LSODA", jac=jacobian, rtol=1e-9, atol=1e-8
            )
            assert solved.success
            celsius, start = solved.y[:, -1], stop
        found.append(celsius)
    return np.array(found)


def stepped(case: Case) -> FloatArray:
    plant, found, time = plant_of(case), [], 0
    for row, (duration, level) in enumerate(zip(case.durations, case.levels, strict=True), start=1):
        plant.record(row, duration, level=level)
        time += duration
        plant.advance_to(time)
        found.append(plant.temperatures_celsius())
    plant.check_heat_balance()
    assert not plant.runs_away
    return np.array(found)


@pytest.mark.parametrize("seed", range(25))
def test_the_plant_is_within_its_bound_of_a_stiff_solver(seed: int) -> None:
    given = case(seed)
    expected = integrated(given)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(stepped(given), expected, rtol=0, atol=BOUND_KELVIN)


@pytest.mark.parametrize("seed", range(25, 35))
def test_so_it_is_with_leakage_that_idle_states_switch_off(seed: int) -> None:
    rests = np.random.default_rng(seed).integers(0, len(SHARES), 12)
    given = dataclasses.replace(case(seed), levels=tuple(rests.tolist()))
    np.testing.assert_allclose(stepped(given), integrated(given), rtol=0, atol=BOUND_KELVIN)


def test_many_short_rests_in_one_step_leave_their_mean() -> None:
    given = dataclasses.replace(case(3), levels=(1,) * 12)
    plants = [plant_of(given), plant_of(given)]
    for _ in range(50):  # 10 ms in all, all integrated at once
        plants[0].record(0, SECOND // 10_000, level=0)
        plants[0].record(0, SECOND // 10_000, level=1)
    plants[0].advance_to(SECOND // 100)
    half = plants[0].leakage_watts
    for step in range(1, 101):
        plants[1].record(0, SECOND // 10_000, level=(step + 1) % 2)
        plants[1].advance_to(step * (SECOND // 10_000))
    np.testing.assert_allclose(
        plants[0].temperatures_celsius(), plants[1].temperatures_celsius(), rtol=0, atol=BOUND_KELVIN
    )
    full = given.leakage.watts_at(float(plants[0].temperatures_celsius()[plants[0].parameters.leakage_node]))
    assert half == pytest.approx(full * (1 + SHARES[1]) / 2, rel=1e-3)


def test_a_device_runs_away_only_if_its_deepest_rest_would_not_save_it() -> None:
    """The network of the test below, so leaky that it has no steady state awake; at rest a twentieth is left."""
    network = ThermalNetwork(
        nodes=("die", "board"),
        capacities_joules_per_kelvin=np.array([0.5, 20.0]),
        conductances_watts_per_kelvin=np.array([[0.0, 0.2], [0.2, 0.0]]),
        ambient_conductances_watts_per_kelvin=np.array([0.0, 0.1]),
    )
    leakage = Leakage(power_watts=1.0, reference_celsius=25.0, slope_per_kelvin=0.05, node="die")
    nothing = np.zeros(3)
    for resting, steady in ((), False), ((RestingDraw(constant_powers_watts=nothing, leakage_share=0.05),), True):
        parameters = PlantParameters(
            network=network, ambient=Ambient.constant(25.0), leakage=leakage, constant_powers_watts=nothing,
            energy_rows_joules=np.zeros((1, 3)), resting=resting,
        )  # fmt: skip
        plant = Plant(parameters)
        for number in range(1, 31):
            plant.record(0, SECOND)
            plant.advance_to(number * SECOND)
        assert not plant.is_burnt
        if steady:
            warmest = plant.rise_kelvin.max()
            plant.record(0, 1500 * SECOND, level=1)
            plant.advance_to(1530 * SECOND)
            assert not plant.runs_away
            assert plant.rise_kelvin.max() < warmest
            np.testing.assert_allclose(plant.rise_kelvin, parameters.steady_idle_rise(), rtol=0.02)
        else:
            plant.record(0, 3000 * SECOND)
            plant.advance_to(3030 * SECOND)
            assert plant.is_burnt
        plant.check_heat_balance()


def steady_or_none(plant: Plant) -> FloatArray | None:
    try:
        return plant.parameters.steady_idle_rise()
    except ConfigurationError:
        return None


def quick(given: Case) -> Case:
    """Return the same network with a slowest time constant of a second."""
    network = given.network
    capacities = network.capacities_joules_per_kelvin / network.relaxation_times_seconds[-1]
    return dataclasses.replace(given, network=dataclasses.replace(network, capacities_joules_per_kelvin=capacities))


def at_rest(given: Case, gain: float) -> tuple[Plant, FloatArray | None]:
    """Return a plant whose leakage has this loop gain at 60 K above its reference, and its steady state at rest."""
    leakage = dataclasses.replace(given.leakage, power_watts=given.leakage.power_watts * gain, reference_celsius=60.0)
    plant = plant_of(dataclasses.replace(given, ambient=Ambient.constant(25.0)), leakage=leakage)
    return plant, steady_or_none(plant)


@pytest.mark.parametrize("seed", [0, 1, 5, 6, 7])
@pytest.mark.parametrize("gain", [0.2, 1.0, 20.0])
def test_it_runs_away_where_there_is_no_steady_state_and_only_there(seed: int, gain: float) -> None:
    given = quick(case(seed))
    plant, steady = at_rest(given, gain)
    for number in range(1, 21 if steady is not None else 200):
        plant.record(0, SECOND)
        plant.advance_to(number * SECOND)
        if plant.is_burnt:
            break
    assert plant.is_burnt == (steady is None)
    if steady is not None:
        assert not plant.runs_away
        np.testing.assert_allclose(plant.rise_kelvin, steady, rtol=0.02)
    plant.check_heat_balance()


def test_once_it_runs_away_rest_does_not_save_it_and_before_that_it_does() -> None:
    """A load heats one node; at rest there is a steady state, which is reached from below a certain heat only."""
    network = ThermalNetwork(
        nodes=("die", "board"),
        capacities_joules_per_kelvin=np.array([0.5, 20.0]),
        conductances_watts_per_kelvin=np.array([[0.0, 0.2], [0.2, 0.0]]),
        ambient_conductances_watts_per_kelvin=np.array([0.0, 0.1]),
    )
    leakage = Leakage(power_watts=0.05, reference_celsius=25.0, slope_per_kelvin=0.05, node="die")
    rows = np.array([[0.0, 0.0, 0.0], [8.0, 0.0, 0.0]])
    parameters = PlantParameters(
        network=network, ambient=Ambient.constant(25.0), leakage=leakage, constant_powers_watts=np.zeros(3),
        energy_rows_joules=rows,
    )  # fmt: skip
    assert parameters.steady_idle_rise().max() < 2

    def after_load(seconds: int) -> tuple[bool, Plant]:
        plant = Plant(parameters)
        for number in range(1, seconds + 1):
            plant.record(1, SECOND)
            plant.advance_to(number * SECOND)
            if plant.runs_away:
                break
        told = plant.runs_away
        plant.record(0, 1500 * SECOND)
        plant.advance_to(plant.time_picoseconds + 1500 * SECOND)
        return told, plant

    told, cooled = after_load(20)
    assert not told
    assert cooled.rise_kelvin.max() < 2
    told, lost = after_load(1000)
    assert told
    assert lost.is_burnt
    lost.check_heat_balance()
