"""The information ratio, minimised over distributions on actions.

A distribution p on K actions has the ratio

    psi(p) = max(p . d, 0)^2 / (p . g)

of squared expected shortfall to expected gain of information. It is convex where p . g > 0, and some minimiser has at
most two actions in its support ("Reinforcement Learning, Bit by Bit", theorem C.1; D. Russo and B. Van Roy, "Learning
to Optimize via Information-Directed Sampling", Operations Research 66(1), 2018). So it is enough to look at all pairs,
and on a pair the minimum has a closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InvariantError

FloatArray = NDArray[np.float64]
IntegerArray = NDArray[np.intp]

TIE = 1e-12
"""Ratios that differ by less than this share are equal: rounding must not decide between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPolicy:
    """For each of the leading axes ``...``, a distribution on at most two actions.

    Attributes:
        first: [...] An action.
        second: [...] Another one, or the same.
        first_probability: [...] How likely the first is to be played.
        ratio: [...] The information ratio of this distribution; infinite where nothing can be learned at any price.
    """

    first: IntegerArray
    second: IntegerArray
    first_probability: FloatArray
    ratio: FloatArray

    def draw(self, generator: np.random.Generator) -> IntegerArray:
        """Return actions [...], drawn independently."""
        heads = generator.random(self.first.shape) < self.first_probability
        return np.where(heads, self.first, self.second)

    def distribution(self, actions: int) -> FloatArray:
        """Return the probability of each of so many actions, [..., actions]."""
        every = np.arange(actions)
        share = self.first_probability[..., None]
        first, second = self.first[..., None] == every, self.second[..., None] == every
        return np.asarray(share * first + (1 - share) * second)


def information_ratio(distribution: FloatArray, shortfalls: FloatArray, gains: FloatArray) -> FloatArray:
    """Return psi [...] of distributions [..., K] on actions with these shortfalls and gains [..., K].

    Without a shortfall the ratio is 0, whatever is taught. A shortfall that teaches nothing is infinitely dear.
    """
    return _ratio(np.sum(distribution * shortfalls, axis=-1), np.sum(distribution * gains, axis=-1))


def minimise_ratio(shortfalls: FloatArray, gains: FloatArray) -> PairPolicy:
    """Return the distribution of least information ratio.

    Among equals the one of least expected shortfall is taken, then the one of the lowest action: the greedy action
    where none teaches anything, and where some are expected to be worth as much as the target or more.

    Args:
        shortfalls: [..., K] Expected loss of value of each action against the target; below 0 where it gains.
        gains: [..., K] What each action is expected to teach about the target, >= 0, in any unit.

    Raises:
        InvariantError: A number is not finite, a gain is negative, or there is no action.
    """
    shortfalls, gains = _checked("shortfalls", shortfalls, -np.inf), _checked("gains", gains, 0.0)
    if shortfalls.shape != gains.shape:
        shortfalls, gains = np.broadcast_arrays(shortfalls, gains)
    first_shortfall, second_shortfall = shortfalls[..., :, None], shortfalls[..., None, :]
    first_gain, second_gain = gains[..., :, None], gains[..., None, :]
    share = _stationary_share(first_shortfall, second_shortfall, first_gain, second_gain)
    shortfall = share * first_shortfall + (1 - share) * second_shortfall
    ratios = _ratio(shortfall, share * first_gain + (1 - share) * second_gain)

    actions = shortfalls.shape[-1]
    share, shortfall, ratios = (each.reshape(*each.shape[:-2], actions**2) for each in (share, shortfall, ratios))
    least = ratios.min(axis=-1, keepdims=True)
    pair = np.where(ratios <= least * (1 + TIE), shortfall, np.inf).argmin(axis=-1)
    chosen = np.take_along_axis(share, pair[..., None], axis=-1)[..., 0]
    return PairPolicy(first=pair // actions, second=pair % actions, first_probability=chosen, ratio=least[..., 0])


def _stationary_share(
    first_shortfall: FloatArray, second_shortfall: FloatArray, first_gain: FloatArray, second_gain: FloatArray
) -> FloatArray:
    """Return the probability [..., K, K] of the first action at which psi is least on each pair of shortfalls above 0.

    Setting the derivative of psi to zero gives it in closed form; psi is convex, so clipping it to [0, 1] is exact.
    Where psi is monotonic one of the two alone is best: 1 is returned, and the pair with the roles exchanged has the
    other.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = second_shortfall / (first_shortfall - second_shortfall) - 2 * second_gain / (first_gain - second_gain)
    return np.where(np.isfinite(share), np.clip(share, 0.0, 1.0), 1.0)


def _ratio(shortfall: FloatArray, gain: FloatArray) -> FloatArray:
    cost = np.square(np.maximum(shortfall, 0.0))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(cost == 0, 0.0, cost / gain)


def _checked(name: str, values: FloatArray, least: float) -> FloatArray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] == 0 or not np.all(np.isfinite(values)) or np.any(values < least):
        raise InvariantError(
            f"information ratio, {name}: expected finite numbers >= {least:g}, one per action; got {values}"
        )
    return values
