"""Players of the Beta-Bernoulli bandit: that each follows its rule, and how they compare."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from hwsim.controllers.information_directed.bernoulli_bandit import (
    InformationDirected,
    Player,
    epsilon_greedy,
    play,
    thompson,
    ucb1,
)

GENERATOR = np.random.default_rng(0)
WINS, LOSSES = np.array([[8, 1, 3]]), np.array([[2, 1, 1]])


def test_ucb1_tries_every_arm_and_then_follows_its_bound() -> None:
    assert ucb1(np.array([[3, 0, 0]]), np.array([[1, 0, 2]]), GENERATOR).tolist() == [1]
    bounds = [wins / plays + np.sqrt(2 * np.log(16) / plays) for wins, plays in ((8, 10), (1, 2), (3, 4))]
    assert ucb1(WINS, LOSSES, GENERATOR).tolist() == [int(np.argmax(bounds))] == [1]


def test_epsilon_greedy_explores_as_often_as_it_says() -> None:
    many = (np.repeat(WINS, 8000, axis=0), np.repeat(LOSSES, 8000, axis=0))
    shares = np.bincount(epsilon_greedy(*many, GENERATOR, epsilon=0.3), minlength=3) / 8000
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


def test_thompson_plays_an_arm_as_often_as_it_is_the_best() -> None:
    many = (np.repeat(WINS, 8000, axis=0), np.repeat(LOSSES, 8000, axis=0))
    draws = np.random.default_rng(1).beta(WINS + 1, LOSSES + 1, size=(200_000, 3)).argmax(axis=1)
    shares = np.bincount(thompson(*many, GENERATOR), minlength=3) / 8000
    assert shares == pytest.approx(np.bincount(draws) / 200_000, abs=0.02)


def test_all_players_meet_the_same_bandits_and_the_same_seed_repeats() -> None:
    def first(wins: np.ndarray, losses: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.zeros(len(wins), dtype=np.intp)

    def stays(wins: np.ndarray, losses: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        generator.random()  # what a player draws moves neither the bandits nor their luck
        return first(wins, losses, generator)

    size = {"bandits": 5, "arms": 4, "steps": 7, "seed": 3}
    regrets = play(first, **size)
    assert regrets.shape == (5, 7)
    assert np.array_equal(regrets, play(stays, **size))
    assert np.allclose(np.diff(regrets, axis=1), regrets[:, :1])  # always the same arm: the same regret each time
    assert np.array_equal(play(InformationDirected(), **size), play(InformationDirected(), **size))


def test_a_bandit_that_is_known_is_played_greedily() -> None:
    wins, losses = np.array([[900, 100, 500]]), np.array([[100, 900, 500]])
    for tolerance in (None, 0.05):
        assert InformationDirected(tolerance=tolerance)(wins, losses, GENERATOR).tolist() == [0]


PLAYERS: dict[str, Player] = {
    "V-IDS": InformationDirected(draws=128),
    "Thompson sampling": thompson,
    "epsilon-greedy": epsilon_greedy,
    "UCB1": ucb1,
}


def test_regret_after_500_steps_is_in_the_known_order() -> None:
    """V-IDS < Thompson sampling < epsilon-greedy < UCB1, each by more than the 95 % interval of the difference."""
    regrets = [play(player, bandits=100, arms=10, steps=500, seed=1)[:, -1] for player in PLAYERS.values()]
    for lower, higher in pairwise(regrets):
        differences = higher - lower
        assert differences.mean() > 1.96 * differences.std(ddof=1) / np.sqrt(len(differences))
    # Russo and Van Roy (2018) report 28.1 for Thompson sampling and 130.7 for UCB1 after twice as many steps.
    assert regrets[1].mean() == pytest.approx(24, abs=5)
