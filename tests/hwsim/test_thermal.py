"""Heat: exact against the matrix exponential, conserving energy, whatever the network and the steps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import expm

from hwsim.errors import ConfigurationError
from hwsim.plant.thermal import RELAXATIONS_KEPT, FloatArray, ThermalNetwork

SEEDS = st.integers(0, 2**32 - 1)


def random_network(generator: np.random.Generator, nodes: int) -> ThermalNetwork:
    """Time constants from milliseconds to minutes; a chain joins all nodes, the last reaches ambient."""
    between = np.zeros((nodes, nodes))
    for one, other in pairwise(range(nodes)):
        between[one, other] = generator.uniform(0.1, 5.0)
    extra = np.triu(generator.uniform(0.0, 2.0, (nodes, nodes)) * (generator.random((nodes, nodes)) < 0.3), 1)
    between = between + extra
    to_ambient = generator.uniform(0.0, 0.5, nodes) * (generator.random(nodes) < 0.5)
    to_ambient[-1] += 0.2
    return ThermalNetwork(
        nodes=tuple(f"node{index}" for index in range(nodes)),
        capacities_joules_per_kelvin=10 ** generator.uniform(-2, 1.5, nodes),
        conductances_watts_per_kelvin=between + between.T,
        ambient_conductances_watts_per_kelvin=to_ambient,
    )


def random_segments(generator: np.random.Generator, nodes: int) -> tuple[FloatArray, FloatArray]:
    segments = int(generator.integers(1, 8))
    return 10 ** generator.uniform(-6, 3, segments), generator.uniform(0.0, 2.0, (segments, nodes))


def conductance_matrix(network: ThermalNetwork) -> NDArray[np.float64]:
    between = network.conductances_watts_per_kelvin
    return np.diag(between.sum(axis=1) + network.ambient_conductances_watts_per_kelvin) - between


def by_matrix_exponential(
    network: ThermalNetwork, rise: FloatArray, durations: FloatArray, powers: FloatArray, slope: float
) -> FloatArray:
    """Step the state (rise, 1) by the exponential of the augmented matrix: another method than ours."""
    size = len(rise)
    capacities = network.capacities_joules_per_kelvin
    state = np.append(rise, 1.0)
    for duration, power in zip(durations, powers, strict=True):
        generator = np.zeros((size + 1, size + 1))
        generator[:size, :size] = -conductance_matrix(network) / capacities[:, None]
        generator[:size, size] = power / capacities - slope
        state = expm(generator * duration) @ state
    return state[:size]


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, nodes=st.integers(1, 8), slope=st.sampled_from([0.0, 0.01, -0.05]))
def test_equals_the_matrix_exponential(seed: int, nodes: int, slope: float) -> None:
    generator = np.random.default_rng(seed)
    network = random_network(generator, nodes)
    rise = generator.uniform(-5.0, 30.0, nodes)
    durations, powers = random_segments(generator, nodes)
    end, _ = network.advance(rise, durations, powers, slope)
    np.testing.assert_allclose(end, by_matrix_exponential(network, rise, durations, powers, slope), rtol=0, atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, nodes=st.integers(1, 8), slope=st.sampled_from([0.0, 0.01]))
def test_heat_is_conserved(seed: int, nodes: int, slope: float) -> None:
    generator = np.random.default_rng(seed)
    network = random_network(generator, nodes)
    durations, powers = random_segments(generator, nodes)
    end, integral = network.advance(np.zeros(nodes), durations, powers, slope)
    stored = network.capacities_joules_per_kelvin @ (end + slope * durations.sum())
    lost = network.ambient_conductances_watts_per_kelvin @ integral
    put_in = float((durations @ powers).sum())
    assert stored + lost == pytest.approx(put_in, rel=1e-9, abs=1e-9 * abs(slope) * durations.sum())


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, nodes=st.integers(1, 8), slope=st.sampled_from([0.0, 0.01, -0.05]))
def test_one_segment_alone_is_what_it_is_among_others(seed: int, nodes: int, slope: float) -> None:
    generator = np.random.default_rng(seed)
    network = random_network(generator, nodes)
    rise = generator.uniform(0.0, 40.0, nodes)
    durations, powers = random_segments(generator, nodes)
    for duration, power in zip([*durations, *durations], [*powers, *powers], strict=True):  # twice: once remembered
        expected = network.advance(rise, np.array([duration]), power[None], slope)
        got = network.advance_constant(rise, float(duration), power, slope)
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)


def test_only_so_many_durations_are_remembered() -> None:
    network = random_network(np.random.default_rng(1), 3)
    for number in range(2 * RELAXATIONS_KEPT):
        network.advance_constant(np.ones(3), 0.5 + number, np.ones(3))
    assert len(network._relaxations) == RELAXATIONS_KEPT


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, nodes=st.integers(1, 8))
def test_the_grain_of_segments_does_not_matter(seed: int, nodes: int) -> None:
    generator = np.random.default_rng(seed)
    network = random_network(generator, nodes)
    rise = generator.uniform(0.0, 30.0, nodes)
    durations, powers = random_segments(generator, nodes)
    at_once, integral = network.advance(rise, durations, powers)
    stepped, summed = rise, np.zeros(nodes)
    for duration, power in zip(durations, powers, strict=True):
        stepped, part = network.advance(stepped, np.full(3, duration / 3), np.tile(power, (3, 1)))
        summed = summed + part
    np.testing.assert_allclose(stepped, at_once, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(summed, integral, rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, nodes=st.integers(1, 8))
def test_temperatures_stay_between_ambient_and_the_hottest_steady_state(seed: int, nodes: int) -> None:
    generator = np.random.default_rng(seed)
    network = random_network(generator, nodes)
    durations, powers = random_segments(generator, nodes)
    bound = network.steady(powers.max(axis=0))
    rise = np.zeros(nodes)
    for duration, power in zip(durations, powers, strict=True):
        rise, _ = network.advance(rise, np.array([duration]), power[None])
        assert np.all(rise >= -1e-10)
        assert np.all(rise <= bound + 1e-10)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, nodes=st.integers(1, 8))
def test_long_constant_power_ends_in_the_steady_state(seed: int, nodes: int) -> None:
    generator = np.random.default_rng(seed)
    network = random_network(generator, nodes)
    power = generator.uniform(0.0, 2.0, nodes)
    steady = network.steady(power)
    np.testing.assert_allclose(conductance_matrix(network) @ steady, power, atol=1e-9)
    end, _ = network.advance(np.zeros(nodes), np.array([50 * network.relaxation_times_seconds[-1]]), power[None])
    np.testing.assert_allclose(end, steady, rtol=1e-9)


def test_one_node_by_hand() -> None:
    network = single(capacity=2.0, conductance=0.5)
    end, integral = network.advance(np.array([0.0]), np.array([4.0]), np.array([[3.0]]))
    assert network.relaxation_times_seconds == pytest.approx([4.0])
    assert end == pytest.approx([6 * (1 - np.exp(-1))])
    assert integral == pytest.approx([6 * 4 * np.exp(-1)])  # 6 (t - tau (1 - exp(-t / tau)))


@pytest.mark.parametrize("duration", [1e-9, 0.01, 100.0])
def test_step_response_is_the_effect_of_one_watt(duration: float) -> None:
    network = random_network(np.random.default_rng(5), 4)
    watt = np.array([[0.0, 0.0, 1.0, 0.0]])
    for response, effect in zip(
        network.step_response(2, duration),
        network.advance(np.zeros(4), np.array([duration]), watt),
        strict=True,
    ):
        np.testing.assert_allclose(response, effect, rtol=1e-7, atol=1e-16)


def test_a_stiff_network_keeps_its_slowest_mode() -> None:
    """A mode of 5 us beside one of 2 * 10^7 s: an eigenvalue solver alone is wrong about the slow one."""
    network = ThermalNetwork(
        nodes=("fast", "slow"),
        capacities_joules_per_kelvin=np.array([1.0, 1.0]),
        conductances_watts_per_kelvin=np.array([[0.0, 1e5], [1e5, 0.0]]),
        ambient_conductances_watts_per_kelvin=np.array([0.0, 1e-7]),
    )
    assert network.relaxation_times_seconds[-1] == pytest.approx(2 / 1e-7, rel=1e-9)
    assert network.steady(np.array([1.0, 0.0])) == pytest.approx([1e7, 1e7], rel=1e-9)


def single(*, capacity: float, conductance: float) -> ThermalNetwork:
    return ThermalNetwork(
        nodes=("die",),
        capacities_joules_per_kelvin=np.array([capacity]),
        conductances_watts_per_kelvin=np.zeros((1, 1)),
        ambient_conductances_watts_per_kelvin=np.array([conductance]),
    )


@pytest.mark.parametrize(
    ("between", "to_ambient", "capacities", "message"),
    [
        ([[0, 0], [0, 0]], [1, 0], [1, 1], "heat cannot leave board"),
        ([[0, 1], [2, 0]], [1, 0], [1, 1], "symmetric"),
        ([[1, 1], [1, 0]], [1, 0], [1, 1], "zeros on the diagonal"),
        ([[0, 1], [1, 0]], [1, 0], [1, 0], "capacity above 0"),
        ([[0, 1], [1, 0]], [-1, 0], [1, 1], "ambient_conductances_watts_per_kelvin: expected finite numbers"),
        ([[0, 1], [1, 0]], [1], [1, 1], r"shape \(2,\)"),
    ],
)
def test_impossible_networks_are_refused(
    between: list[list[float]], to_ambient: list[float], capacities: list[float], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ThermalNetwork(
            nodes=("die", "board"),
            capacities_joules_per_kelvin=np.array(capacities),
            conductances_watts_per_kelvin=np.array(between),
            ambient_conductances_watts_per_kelvin=np.array(to_ambient),
        )
