"""Which controllers nobody beats in energy, accuracy and deadlines at once, and how much the best of them cover.

Each controller is a point of three losses: energy per completed input in parts of the dearest controller's, share of
completed inputs answered wrong, share of the frames late or dropped. The hypervolume (E. Zitzler and L. Thiele,
"Multiobjective evolutionary algorithms", IEEE Trans. Evolutionary Computation 3(4), 1999) is the share of the unit cube
between the points and its corner (1, 1, 1) that at least one of them is at least as good as; that corner, the
*reference point*, is as dear as the dearest controller, always wrong and never on time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
OBJECTIVES = ("energy_per_input_joules", "accuracy", "deadline_miss_rate")


def hypervolumes(losses: FloatArray) -> FloatArray:
    """Return the share of the unit cube that each set of points dominates.

    Args:
        losses: [sets, points, 3] to be minimised; what lies beyond 1 dominates nothing.

    Returns:
        [sets].
    """
    sets, points, _ = losses.shape
    if not points:
        return np.zeros(sets)
    clipped = np.minimum(losses, 1.0)
    order = np.argsort(clipped[:, :, 0], axis=1)
    ascending = np.take_along_axis(clipped, order[:, :, None], axis=1)
    thickness = np.diff(ascending[:, :, 0], axis=1, append=1.0)
    slices = [_areas(ascending[:, : last + 1, 1:]) for last in range(points)]
    return np.asarray((np.stack(slices, axis=1) * thickness).sum(axis=1))


def _areas(losses: FloatArray) -> FloatArray:
    """Return the share of the unit square that each set of points dominates: [sets, points, 2] -> [sets]."""
    order = np.argsort(losses[:, :, 0], axis=1)
    across = np.take_along_axis(losses[:, :, 0], order, axis=1)
    lowest = np.minimum.accumulate(np.take_along_axis(losses[:, :, 1], order, axis=1), axis=1)
    return np.asarray((np.diff(across, axis=1, append=1.0) * (1 - lowest)).sum(axis=1))


def contributions(losses: FloatArray) -> FloatArray:
    """Return [sets, points] what each point adds to the hypervolume of the others."""
    whole = hypervolumes(losses)
    without = [hypervolumes(np.delete(losses, point, axis=1)) for point in range(losses.shape[1])]
    return np.asarray(whole[:, None] - np.stack(without, axis=1))


def front(losses: FloatArray) -> NDArray[np.bool_]:
    """Return [points] whether no other of the points [points, 3] is as good in all losses and better in one."""
    as_good = (losses[:, None] <= losses[None]).all(axis=2)
    better = (losses[:, None] < losses[None]).any(axis=2)
    return np.asarray(~(as_good & better).any(axis=0))
