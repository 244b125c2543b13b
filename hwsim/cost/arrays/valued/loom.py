"""Loom: serial in the bits of both operands; activations that are small take fewer steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitmixer.bitwidths import BitWidths
from hwsim.cost.arrays.valued.base import Integers, bit_length
from hwsim.cost.arrays.valued.pallets import PalletArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Loom(PalletArray):
    """Loom (Sharify et al., DAC 2018, arXiv 1706.07853), one bit per step, as DNNsim counts it.

    A step takes w cycles for each bit of the largest activation of its pallet: leading zeros are trimmed at run time.
    Weights count by their width alone. A negative value counts its magnitude's bits and one for the sign, never
    more than the activation width.
    """

    name: ClassVar[str] = "loom"

    def planes(self, values: Integers) -> Integers:
        """Return the bits of the largest of the last axis's values."""
        planes: Integers = (bit_length(np.abs(values)) + (values < 0)).max(axis=-1)
        return planes

    def cycles_per_plane(self, widths: BitWidths) -> int:
        """Return the weight bits, which go through each activation bit one by one."""
        return widths.weight
