"""Loom: serial in the bits of both operands; activations that are small take fewer steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost.arrays.base import Int64Array, LayerShapes
from hwsim.cost.arrays.valued.base import Integers, bit_length
from hwsim.cost.arrays.valued.pallets import PalletArray, StepReads


@dataclass(frozen=True, slots=True, kw_only=True)
class Loom(PalletArray):
    """Loom (Sharify et al., DAC 2018, arXiv 1706.07853), one bit per step, as DNNsim counts it.

    A step takes w cycles for each bit of the largest activation of its pallet: leading zeros are trimmed at run time.
    Weights count by their width alone. A negative value counts its magnitude's bits and one for the sign, never
    more than the activation width.
    """

    name: ClassVar[str] = "loom_values"

    def planes(self, values: Integers) -> Integers:
        """Return the bits of the largest of the last axis's values."""
        planes: Integers = (bit_length(np.abs(values)) + (values < 0)).max(axis=-1)
        return planes

    def cycles_per_plane(self, weight_bits: Int64Array) -> Int64Array:
        """Return the weight bits, which go through each activation bit one by one."""
        return weight_bits

    def step_reads(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> StepReads:
        """Return weights, once per plane, and activations, whose planes each weight plane reads as far as needed."""
        read_again = weight_bits * self.used_columns(shapes) * activation_bits
        return StepReads(fixed=weight_bits * self.filters, by_cycles=read_again)
