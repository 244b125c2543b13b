"""What is worth learning: a target, a function of what is unknown, named by an action for each posterior draw.

The optimal action is one; a *satisficing* action, the first in an order of preference that is good enough, takes fewer
bits to find and costs at most ``tolerance`` per step. All functions take M posterior draws of the values of K actions
(``values``, [..., M, K]) and treat each draw as equally likely.
"""

from __future__ import annotations

import numpy as np

from hwsim.controllers.information_directed.ratio import FloatArray, IntegerArray


def optimal_actions(values: FloatArray) -> IntegerArray:
    """Return the best action of each draw, [..., M]; the lowest where several are."""
    return np.asarray(values.argmax(axis=-1))


def satisficing_actions(values: FloatArray, *, preference: FloatArray, tolerance: float) -> IntegerArray:
    """Return for each draw the most preferred action within ``tolerance`` of that draw's best, [..., M].

    Args:
        values: [..., M, K].
        preference: [..., K] The lower the better: energy, for the cheapest action that is good enough; or minus the
            mean value, which names the fewest actions and so takes the fewest bits.
        tolerance: What may be given up, in the unit of the values.
    """
    enough = values >= values.max(axis=-1, keepdims=True) - tolerance
    return np.asarray(np.where(enough, preference[..., None, :], np.inf).argmin(axis=-1))


def expected_shortfalls(values: FloatArray, targets: IntegerArray) -> FloatArray:
    """Return how much less than the target each action is expected to be worth, [..., K]; it may be below 0."""
    aim = np.take_along_axis(values, targets[..., None], axis=-1).mean(axis=(-2, -1))
    return np.asarray(aim[..., None] - values.mean(axis=-2))


def explained_variances(values: FloatArray, targets: IntegerArray) -> FloatArray:
    """Return for each action the variance of its expected value given the target, [..., K].

    It bounds from below, up to a constant, the bits that seeing the action's value would tell about the target (by
    Pinsker's inequality; "Reinforcement Learning, Bit by Bit", appendix D). With M draws it comes out too high by about
    (classes - 1) / M of the action's variance, so M should be well above the number of actions.
    """
    actions = values.shape[-1]
    classes = (targets[..., None] == np.arange(actions)).astype(np.float64)
    counts = classes.sum(axis=-2)
    # Differences from the first draw: draws that are identical have a variance of exactly zero.
    deviations = values - values[..., :1, :]
    sums = np.swapaxes(classes, -1, -2) @ deviations
    conditional = sums / np.maximum(counts, 1)[..., None]
    surprise = conditional - deviations.mean(axis=-2)[..., None, :]
    shares: FloatArray = counts / values.shape[-2]
    return np.asarray(np.sum(shares[..., None] * surprise**2, axis=-2))


def target_bits(targets: IntegerArray, actions: int) -> FloatArray:
    """Return the entropy of the target in bits, [...].

    A target that is a function of what is unknown is as informative about it as it is uncertain: I(target; unknown) =
    H(target).
    """
    shares = (targets[..., None] == np.arange(actions)).mean(axis=-2)
    return np.asarray(-np.sum(shares * np.log2(np.where(shares > 0, shares, 1.0)), axis=-1))


def target_distortion(values: FloatArray, targets: IntegerArray) -> FloatArray:
    """Return what playing the target rather than the best action is expected to lose per step, [...]."""
    reached = np.take_along_axis(values, targets[..., None], axis=-1)[..., 0]
    return np.asarray((values.max(axis=-1) - reached).mean(axis=-1))
