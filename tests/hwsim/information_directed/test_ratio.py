"""The ratio's closed form against a dense grid on the simplex, the two-support theorem and degenerate cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hwsim.controllers.information_directed.ratio import information_ratio, minimise_ratio
from hwsim.errors import InvariantError

STEPS = 60
SIMPLEX = np.array(
    [(a, b, STEPS - a - b) for a, b in itertools.product(range(STEPS + 1), repeat=2) if a + b <= STEPS]
) / STEPS  # fmt: skip

positive = st.floats(0.001, 10.0)


@settings(deadline=None, max_examples=60)
@given(arrays(float, 3, elements=positive), arrays(float, 3, elements=positive))
def test_no_distribution_of_a_dense_grid_has_a_lower_ratio(shortfalls: np.ndarray, gains: np.ndarray) -> None:
    chosen = minimise_ratio(shortfalls, gains)
    grid = information_ratio(SIMPLEX, shortfalls, gains)
    assert chosen.ratio <= grid.min() * (1 + 1e-9)
    # Nor is it below the truth: the distribution that is returned has the ratio that is claimed, on the grid or off it.
    assert information_ratio(chosen.distribution(3), shortfalls, gains) == pytest.approx(float(chosen.ratio), rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_two_actions_are_enough(actions: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    shortfalls, gains = generator.gamma(0.5, size=(2, actions)) + 1e-6
    chosen = minimise_ratio(shortfalls, gains)
    assert np.count_nonzero(chosen.distribution(actions)) <= 2
    others = generator.dirichlet(np.full(actions, 0.3), size=2000)
    assert chosen.ratio <= information_ratio(others, shortfalls, gains).min() * (1 + 1e-9)


def test_a_pair_that_can_be_solved_by_hand() -> None:
    """d = (1, 3), g = (0, 4): (3 - 2x)^2 / (4 - 4x) is least at x = 1/2, where it is 2."""
    chosen = minimise_ratio(np.array([1.0, 3.0]), np.array([0.0, 4.0]))
    assert chosen.distribution(2) == pytest.approx([0.5, 0.5])
    assert chosen.ratio == pytest.approx(2.0)


def test_leading_axes_are_problems_of_their_own() -> None:
    shortfalls, gains = np.random.default_rng(3).random((2, 4, 5, 6))
    together = minimise_ratio(shortfalls, gains)
    assert together.ratio.shape == (4, 5)
    for place in np.ndindex(4, 5):
        alone = minimise_ratio(shortfalls[place], gains[place])
        assert alone.ratio == together.ratio[place]
        assert alone.distribution(6).tolist() == together.distribution(6)[place].tolist()


@given(arrays(float, 4, elements=st.floats(0.001, 10.0)), st.just(0.0) | st.floats(1e-200, 10.0))
def test_where_all_teach_alike_the_greedy_action_is_taken(shortfalls: np.ndarray, gain: float) -> None:
    chosen = minimise_ratio(shortfalls, np.full(4, gain))
    assert chosen.distribution(4)[shortfalls.argmin()] == 1
    assert np.isinf(chosen.ratio) == (gain == 0)


@given(arrays(float, 4, elements=st.floats(0.0, 10.0)), st.floats(0.0, 5.0))
def test_among_actions_no_worse_than_the_target_the_best_is_taken(gains: np.ndarray, surplus: float) -> None:
    chosen = minimise_ratio(np.array([2.0, -surplus, 0.001, 1 - surplus - 1]), gains)
    assert chosen.ratio == 0
    assert chosen.distribution(4)[[1, 3]].sum() == 1


def test_information_may_be_bought_from_an_action_known_to_be_bad() -> None:
    distribution = minimise_ratio(np.array([0.3, 0.31, 0.5]), np.array([1e-4, 1e-4, 1.0])).distribution(3)
    assert distribution[2] > 0.9


def test_ties_go_to_the_lowest_action_and_one_action_is_taken() -> None:
    assert minimise_ratio(np.ones(3), np.ones(3)).distribution(3).tolist() == [1, 0, 0]
    assert minimise_ratio(np.zeros(3), np.zeros(3)).distribution(3).tolist() == [1, 0, 0]
    alone = minimise_ratio(np.array([2.0]), np.array([0.5]))
    assert (alone.distribution(1).tolist(), float(alone.ratio)) == ([1.0], 8.0)


def test_actions_are_drawn_as_often_as_the_distribution_says() -> None:
    shortfalls = np.tile([1.0, 3.0], (4000, 1))
    chosen = minimise_ratio(shortfalls, np.array([0.0, 4.0]))
    assert chosen.draw(np.random.default_rng(0)).mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(
    ("shortfalls", "gains", "told"),
    [
        ([1.0, float("nan")], [1.0, 1.0], "shortfalls"),
        ([1.0, 1.0], [1.0, -1e-9], "gains"),
        ([1.0, 1.0], [1.0, float("inf")], "gains"),
        ([], [], "shortfalls"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(shortfalls: list[float], gains: list[float], told: str) -> None:
    with pytest.raises(InvariantError, match=told):
        minimise_ratio(np.array(shortfalls), np.array(gains))
