"""Which action, and how closely to look: the information-directed choice.

Every action can be played with one of several *looks*. A plain look costs nothing and sees the action's value through
noise; a probe, say the same frame run again at the most bits, costs something and sees it almost exactly. What a look
teaches of a value with explained variance v through noise of variance s^2 is v / (v + s^2), the share of the seen
variance that is about the target: without the noise in it a choice could not tell a probe from a glance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.controllers.information_directed.ratio import FloatArray, IntegerArray, PairPolicy, minimise_ratio
from hwsim.controllers.information_directed.target import expected_shortfalls, explained_variances, satisficing_actions


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A way to observe the action that is played.

    Attributes:
        price: What it costs on top, in the unit of the values, >= 0.
        noise_variance: Variance of what is seen around the action's value; infinite where nothing is seen.
    """

    price: float
    noise_variance: float


def information_directed(
    values: FloatArray,
    *,
    preference: FloatArray,
    tolerance: float,
    looks: Sequence[Look],
    safe: Sequence[int] | None = None,
) -> tuple[PairPolicy, IntegerArray, IntegerArray]:
    """Return a distribution on options, and for each option its action and its look.

    Args:
        values: [M, K] posterior draws of the actions' values.
        preference: [K] Which of several good actions to aim for: the one of the lowest number.
        tolerance: Loss per step at which an action is good enough.
        looks: How an action can be observed, in the order of options.
        safe: Actions that may be played, all if not given. The target is chosen among them: what may not be played is
            not worth learning.
    """
    actions = np.arange(values.shape[-1]) if safe is None else np.asarray(safe, dtype=np.intp)
    values, preference = values[:, actions], preference[actions]
    targets = satisficing_actions(values, preference=preference, tolerance=tolerance)
    shortfalls, variances = expected_shortfalls(values, targets), explained_variances(values, targets)
    prices = np.repeat([look.price for look in looks], len(actions))
    noises = np.repeat([look.noise_variance for look in looks], len(actions))
    gains = noisy_gains(np.tile(variances, len(looks)), noises)
    chosen = minimise_ratio(np.tile(shortfalls, len(looks)) + prices, gains)
    return chosen, np.tile(actions, len(looks)), np.repeat(np.arange(len(looks)), len(actions))


def noisy_gains(variances: FloatArray, noise_variances: FloatArray) -> FloatArray:
    """Return v / (v + s^2), 0 where there is nothing to see."""
    seen = variances + noise_variances
    return np.divide(variances, seen, out=np.zeros(np.shape(seen)), where=(seen > 0) & np.isfinite(seen))
