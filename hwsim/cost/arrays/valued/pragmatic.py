"""Bit-Pragmatic: only the one-bits of activations take time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost.arrays.base import Int64Array, LayerShapes, check_positive
from hwsim.cost.arrays.valued.base import Integers
from hwsim.cost.arrays.valued.pallets import PalletArray, StepReads


@dataclass(frozen=True, slots=True, kw_only=True)
class Pragmatic(PalletArray):
    """Bit-Pragmatic (Albericio et al., MICRO 2017), whose columns wait for each other at every step.

    Each lane takes the one-bits ("essential bits") of its activation's magnitude, lowest first, one per cycle. A lane's
    first-stage shifter reaches ``reach`` significances from the lowest that any lane of the window has left: lanes that
    are further ahead wait. A step lasts until the slowest window is done, at least one cycle. Signs cost nothing, nor
    do weights, which are taken whole.

    Attributes:
        reach: Significances that lanes can be apart, 2 ** (bits of the first-stage shifter); the paper proposes 4, one
            lets only equal significances through, and as many as there are bits lets every lane go on by itself.
    """

    name: ClassVar[str] = "pragmatic"

    reach: int = 4

    def __post_init__(self) -> None:
        PalletArray.__post_init__(self)
        check_positive(self.name, reach=self.reach)

    def planes(self, values: Integers) -> Integers:
        """Return the cycles in which the lanes of the last axis have taken all their one-bits."""
        left = np.abs(values)
        cycles = np.zeros(values.shape[:-1], dtype=np.int32)
        while left.any():
            cycles += left.any(axis=-1)
            any_lane = np.bitwise_or.reduce(left, axis=-1, keepdims=True)
            taken = left & -left
            # One-bits are powers of two, so a distance of significances is a ratio.
            left = np.where(taken < (any_lane & -any_lane) << self.reach, left ^ taken, left)
        return cycles

    def cycles_per_plane(self, weight_bits: Int64Array) -> Int64Array:
        """Return 1: weights are taken whole."""
        return np.ones_like(weight_bits)

    def step_reads(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> StepReads:
        """Return weights and activations, both once: one-bits are found in activations that were read whole."""
        once = weight_bits * self.filters + activation_bits * self.used_columns(shapes)
        return StepReads(fixed=once, by_cycles=np.zeros_like(once))
