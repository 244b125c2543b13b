"""Targets on draws that can be counted by hand, and against the exact integrals of a Beta-Bernoulli bandit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import beta

from hwsim.controllers.information_directed.policy import Look, information_directed, noisy_gains
from hwsim.controllers.information_directed.rate_distortion import rate_distortion
from hwsim.controllers.information_directed.target import (
    expected_shortfalls,
    explained_variances,
    optimal_actions,
    satisficing_actions,
    target_bits,
    target_distortion,
)

VALUES = np.array([[1.0, 0.9, 0.0], [0.2, 0.9, 1.0], [0.5, 0.5, 0.5], [0.0, 0.4, 1.0]])
ENERGIES = np.array([3.0, 2.0, 1.0])


def test_targets_of_four_draws() -> None:
    assert optimal_actions(VALUES).tolist() == [0, 2, 0, 2]
    assert satisficing_actions(VALUES, preference=ENERGIES, tolerance=0.15).tolist() == [1, 2, 2, 2]
    assert satisficing_actions(VALUES, preference=-ENERGIES, tolerance=0.15).tolist() == [0, 1, 0, 2]


def test_shortfalls_and_explained_variances_of_four_draws() -> None:
    targets = optimal_actions(VALUES)
    assert expected_shortfalls(VALUES, targets) == pytest.approx(3.5 / 4 - np.array([1.7, 2.7, 2.5]) / 4)
    # Given target 0 the means are (0.75, 0.7, 0.25), given target 2 (0.1, 0.65, 1.0); both have probability 1/2.
    assert explained_variances(VALUES, targets) == pytest.approx([0.325**2, 0.025**2, 0.375**2])
    assert target_bits(targets, 3) == pytest.approx(1.0)
    assert target_distortion(VALUES, np.full(4, 1)) == pytest.approx((0.1 + 0.1 + 0 + 0.6) / 4)


def test_what_is_known_teaches_nothing() -> None:
    values = np.tile([0.1, 0.7, 0.30000000000000004], (50, 1))
    targets = optimal_actions(values)
    assert explained_variances(values, targets).tolist() == [0, 0, 0]
    assert target_bits(targets, 3) == 0


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(0.0, 0.5))
def test_laws_of_satisficing(seed: int, actions: int, tolerance: float) -> None:
    generator = np.random.default_rng(seed)
    values, energies = generator.random((200, actions)), generator.permutation(actions).astype(float)
    best, enough = optimal_actions(values), satisficing_actions(values, preference=energies, tolerance=tolerance)
    losses = values.max(axis=1) - values[np.arange(200), enough]
    assert np.all(losses <= tolerance + 1e-12)
    cheaper = energies[None, :] < energies[enough][:, None]
    assert np.all((values < values.max(axis=1, keepdims=True) - tolerance)[cheaper])
    assert target_distortion(values, enough) == pytest.approx(losses.mean())
    assert np.array_equal(satisficing_actions(values, preference=energies, tolerance=0.0), best)
    variances = values.var(axis=0)
    for targets in (best, enough):
        assert np.all(explained_variances(values, targets) <= variances + 1e-12)
        assert 0 <= target_bits(targets, actions) <= np.log2(actions) + 1e-12
    assert np.all(expected_shortfalls(values, best) >= 0)


def test_which_of_two_like_arms_is_better_is_not_worth_a_bit() -> None:
    values = np.random.default_rng(0).beta([60, 55, 1], [20, 20, 30], size=(1000, 3))
    enough = satisficing_actions(values, preference=-values.mean(axis=0), tolerance=0.4)
    assert target_bits(optimal_actions(values), 3) > 0.5
    assert target_bits(enough, 3) == 0
    assert expected_shortfalls(values, enough).argmin() == 0
    assert expected_shortfalls(values, enough)[0] == pytest.approx(0, abs=1e-12)


def test_leading_axes_are_posteriors_of_their_own() -> None:
    values = np.random.default_rng(0).random((3, 64, 5))
    targets = satisficing_actions(values, preference=-values.mean(axis=1), tolerance=0.1)
    for place in range(3):
        alone = satisficing_actions(values[place], preference=-values[place].mean(axis=0), tolerance=0.1)
        assert alone.tolist() == targets[place].tolist()
        assert explained_variances(values, targets)[place] == pytest.approx(explained_variances(values[place], alone))
        assert expected_shortfalls(values, targets)[place] == pytest.approx(expected_shortfalls(values[place], alone))


def test_many_draws_come_to_the_integrals() -> None:
    """Two arms with Beta posteriors: P(best), E[arm | best] and the shortfalls by numerical integration."""
    arms = (beta(3, 2), beta(6, 5))

    def integral(of: int, weight: int) -> tuple[float, float]:
        """Return the integrals of 1 and of arm ``weight`` where arm ``of`` is the best."""
        other = 1 - of

        def mass(x: float) -> float:
            return float(arms[of].pdf(x) * arms[other].cdf(x))

        def moment(x: float) -> float:
            if weight == of:
                return x * mass(x)
            return float(arms[of].pdf(x) * arms[other].expect(lambda y: y, lb=0, ub=x))

        return integrate.quad(mass, 0, 1)[0], integrate.quad(moment, 0, 1)[0]

    values = np.column_stack([arm.rvs(400_000, random_state=seed) for seed, arm in enumerate(arms)])
    targets = optimal_actions(values)
    exact = np.array([[integral(of, weight) for weight in range(2)] for of in range(2)])
    shares, moments = exact[:, 0, 0], exact[:, :, 1]
    means = np.array([arm.mean() for arm in arms])
    assert expected_shortfalls(values, targets) == pytest.approx(moments.trace() - means, abs=2e-3)
    variances = shares @ (moments / shares[:, None] - means) ** 2
    assert explained_variances(values, targets) == pytest.approx(variances, rel=0.02)
    assert target_bits(targets, 2) == pytest.approx(-shares @ np.log2(shares), abs=1e-3)


def test_the_rate_distortion_curve_of_a_known_source() -> None:
    """Two equally likely states, each with an action of its own, loss 1 if wrong: R(D) = 1 - H(D) bits."""
    for slope in (0.5, 2.0, 5.0):
        bits, distortion = rate_distortion(np.eye(2), slope=slope)
        assert distortion == pytest.approx(1 / (1 + np.exp(slope)))
        entropy = -distortion * np.log2(distortion) - (1 - distortion) * np.log2(1 - distortion)
        assert bits == pytest.approx(1 - entropy)


def test_no_target_takes_fewer_bits_than_the_curve() -> None:
    values = np.random.default_rng(1).random((400, 6))
    curve = [rate_distortion(values, slope=slope) for slope in np.geomspace(1, 300, 12)]
    distortions, bits = np.array([(point.distortion, point.bits) for point in curve])[::-1].T
    assert np.all(np.diff(distortions) > 0)
    assert np.all(np.diff(bits) < 0)
    for tolerance in (0.02, 0.1, 0.3):
        targets = satisficing_actions(values, preference=-values.mean(axis=0), tolerance=tolerance)
        reached = np.interp(target_distortion(values, targets), distortions, bits)
        assert target_bits(targets, 6) > reached - 0.02


PLAIN, PROBE = Look(price=0.0, noise_variance=1.0), Look(price=0.02, noise_variance=1e-4)


def test_a_probe_is_bought_while_it_tells_more_than_it_costs() -> None:
    generator = np.random.default_rng(2)
    for deviation, probes in ((0.1, True), (0.001, False)):
        values = np.array([0.5, 0.5]) + deviation * generator.standard_normal((500, 2))
        chosen, actions, looks = information_directed(
            values, preference=np.array([1.0, 0.0]), tolerance=0.0, looks=(PLAIN, PROBE)
        )
        assert actions.tolist() == [0, 1, 0, 1]
        assert looks.tolist() == [0, 0, 1, 1]
        assert (chosen.distribution(4)[2:].sum() > 0.5) == probes


def test_what_is_unsafe_is_neither_played_nor_aimed_for() -> None:
    values = np.array([0.2, 0.9, 0.5, 0.4]) + 0.01 * np.random.default_rng(0).standard_normal((100, 4))
    chosen, actions, _ = information_directed(
        values, preference=np.arange(4.0), tolerance=0.0, looks=(PLAIN,), safe=(0, 2, 3)
    )
    assert chosen.distribution(3) @ (actions == 2) == 1
    assert chosen.ratio == 0  # the target is action 2: the better one that may not be played leaves no shortfall


def test_gains_through_noise() -> None:
    gains = noisy_gains(np.array([1.0, 1.0, 1.0, 0.0]), np.array([0.0, 3.0, np.inf, 0.0]))
    assert gains.tolist() == [1.0, 0.25, 0.0, 0.0]
