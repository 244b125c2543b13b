"""The Beta-Bernoulli bandit: where the mathematics can be held against what is known of it.

K arms pay 1 with unknown probabilities, independent and uniform on [0, 1], else 0. Many bandits are played side by
side, as the leading axis of all arrays. This is a yardstick for the choice of actions, not a model of a device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hwsim.controllers.information_directed.ratio import FloatArray, IntegerArray, minimise_ratio
from hwsim.controllers.information_directed.target import (
    expected_shortfalls,
    explained_variances,
    optimal_actions,
    satisficing_actions,
)

Player = Callable[[IntegerArray, IntegerArray, np.random.Generator], IntegerArray]
"""(wins [N, K], losses [N, K], generator) -> arms [N] to play next."""


def play(player: Player, *, bandits: int, arms: int, steps: int, seed: int) -> FloatArray:
    """Return the cumulated regret of each bandit after each step, [bandits, steps].

    The same seed gives every player the same bandits and, at each step, the same luck: differences between players are
    paired.
    """
    nature, own = (np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(2))
    probabilities = nature.random((bandits, arms))
    luck = nature.random((steps, bandits))
    counts = np.zeros((2, bandits, arms), dtype=np.intp)
    every = np.arange(bandits)
    regrets = np.empty((steps, bandits))
    for step in range(steps):
        arm = player(counts[1], counts[0], own)
        counts[(luck[step] < probabilities[every, arm]).astype(np.intp), every, arm] += 1
        regrets[step] = probabilities.max(axis=-1) - probabilities[every, arm]
    return regrets.cumsum(axis=0).T


def thompson(wins: IntegerArray, losses: IntegerArray, generator: np.random.Generator) -> IntegerArray:
    """Play the best arm of one draw from the posterior."""
    return np.asarray(generator.beta(wins + 1, losses + 1).argmax(axis=-1))


def epsilon_greedy(
    wins: IntegerArray, losses: IntegerArray, generator: np.random.Generator, *, epsilon: float = 0.1
) -> IntegerArray:
    """Play any arm with probability ``epsilon``, else the one of the highest posterior mean."""
    bandits, arms = wins.shape
    greedy = ((wins + 1) / (wins + losses + 2)).argmax(axis=-1)
    return np.where(generator.random(bandits) < epsilon, generator.integers(arms, size=bandits), greedy)


def ucb1(wins: IntegerArray, losses: IntegerArray, generator: np.random.Generator) -> IntegerArray:
    """Play every arm once, then the one of the highest mean + sqrt(2 ln t / plays).

    P. Auer, N. Cesa-Bianchi and P. Fischer, "Finite-time Analysis of the Multiarmed Bandit Problem", Machine Learning
    47, 2002.
    """
    plays = wins + losses
    steps = np.maximum(plays.sum(axis=-1, keepdims=True), 1)
    tried = np.maximum(plays, 1)
    bounds = wins / tried + np.sqrt(2 * np.log(steps) / tried)
    return np.asarray(np.where(plays == 0, np.inf, bounds).argmax(axis=-1))


@dataclass(kw_only=True)
class InformationDirected:
    """Variance-based information-directed sampling.

    Drawing all arms anew at each step would take most of the time. The arms are independent, so draws of those that
    were not played are kept, shifted to the exact posterior mean (an error of the mean that stays would hold the wrong
    arm in favour), and paired at random with those of the others.

    Attributes:
        tolerance: Aim for the arm of highest mean within this of the best; ``None``: for the best arm.
        draws: Posterior draws per bandit.
    """

    tolerance: float | None = None
    draws: int = 256
    _values: FloatArray = field(init=False, repr=False)
    _counts: IntegerArray | None = field(default=None, init=False, repr=False)

    def __call__(self, wins: IntegerArray, losses: IntegerArray, generator: np.random.Generator) -> IntegerArray:
        """Return the arms [N] to play next."""
        self._redraw(np.stack([wins, losses]), generator)
        turns = generator.integers(self.draws, size=wins.shape[1])
        rows = (np.arange(self.draws)[:, None] + turns) % self.draws
        values = self._values[:, rows, np.arange(wins.shape[1])]
        targets = self._targets(values, (wins + 1) / (wins + losses + 2))
        shortfalls, gains = expected_shortfalls(values, targets), explained_variances(values, targets)
        return minimise_ratio(shortfalls, gains).draw(generator)

    def _targets(self, values: FloatArray, means: FloatArray) -> IntegerArray:
        if self.tolerance is None:
            return optimal_actions(values)
        return satisficing_actions(values, preference=-means, tolerance=self.tolerance)

    def _redraw(self, counts: IntegerArray, generator: np.random.Generator) -> None:
        """Draw what has changed since the last step: the arms that were played, all at the first."""
        if self._counts is None:
            self._values = np.empty((counts.shape[1], self.draws, counts.shape[2]))
            changed = np.ones(counts.shape[1:], dtype=bool)
        else:
            changed = (counts != self._counts).any(axis=0)
        bandit, arm = changed.nonzero()
        wins, losses = counts[:, bandit, arm, None] + 1
        drawn = generator.beta(wins, losses, size=(len(bandit), self.draws))
        drawn += wins / (wins + losses) - drawn.mean(axis=1, keepdims=True)
        self._values[bandit, :, arm] = drawn
        self._counts = counts
