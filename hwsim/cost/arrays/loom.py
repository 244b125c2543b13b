"""Loom: serial in the bits of activations and of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost.arrays.base import Float64Array, Int64Array, LayerShapes, check_bits
from hwsim.cost.arrays.serial_grid import SERIAL_BITS, SerialGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class Loom(SerialGrid):
    """Loom (Sharify et al., DAC 2018, arXiv 1706.07853), one bit per step: a step takes w x a cycles.

    This is the bound that the declared widths give. The real array trims activations to the longest value of 16
    windows, and is never slower. The default sizes, 128 filters x 16 windows of 16 lanes, are assumed, not read at
    their source: set your own.

    Raises:
        ConfigurationError: A parameter is not a whole number from 1.
    """

    name: ClassVar[str] = "loom"

    lanes: int = 16
    columns: int = 16
    rows: int = 16
    tiles: int = 8

    def peak_macs_per_cycle(self, weight_bits: Int64Array, activation_bits: Int64Array) -> Float64Array:
        """Return lanes * columns * filters / (w * a)."""
        return np.asarray(self.lanes * self.columns * self.filters / (weight_bits * activation_bits), dtype=np.float64)

    def compute_cycles(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
        """Return steps * a * w; a fully connected layer starts its steps column by column.

        Raises:
            ConfigurationError: Weights or activations of more than 16 bits.
        """
        check_bits(self.name, shapes, "weights", weight_bits, maximum=SERIAL_BITS)
        check_bits(self.name, shapes, "activations", activation_bits, maximum=SERIAL_BITS)
        return self.serial_cycles(shapes, activation_bits * weight_bits)

    def action_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return the counts of ``array_cycle``, ``buffer_bit`` and ``binary_mac``.

        A step holds one weight plane after the other, and reads all its activation planes for each.
        """
        read_per_lane = weight_bits * (self.filters + self.used_columns(shapes) * activation_bits)
        return {
            "array_cycle": self.compute_cycles(shapes, weight_bits, activation_bits),
            "buffer_bit": self.steps(shapes, self.lanes) * self.lanes * read_per_lane,
            "binary_mac": weight_bits * activation_bits * shapes.macs,
        }
