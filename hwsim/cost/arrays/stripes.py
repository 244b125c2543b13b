"""Stripes: serial in the bits of activations, parallel in those of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost.arrays.base import Float64Array, Int64Array, LayerShapes, check_bits
from hwsim.cost.arrays.serial_grid import SERIAL_BITS, SerialGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripes(SerialGrid):
    """Stripes (Judd et al., MICRO 2016): a step takes as many cycles as activations have bits.

    The defaults are the paper's: 16 tiles of 16 x 16 units with 16 lanes. Cycles are DNNsim's, without DRAM; weights
    of up to 16 bits make no difference to them.

    Raises:
        ConfigurationError: A parameter is not a whole number from 1.
    """

    name: ClassVar[str] = "stripes"

    lanes: int = 16
    columns: int = 16
    rows: int = 16
    tiles: int = 16

    def peak_macs_per_cycle(self, weight_bits: Int64Array, activation_bits: Int64Array) -> Float64Array:
        """Return lanes * columns * filters / a."""
        return np.asarray(
            self.lanes * self.columns * self.filters / (activation_bits + 0 * weight_bits), dtype=np.float64
        )

    def compute_cycles(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
        """Return steps * a; a fully connected layer starts its steps column by column.

        Raises:
            ConfigurationError: Weights or activations of more than 16 bits.
        """
        check_bits(self.name, shapes, "weights", weight_bits, maximum=SERIAL_BITS)
        check_bits(self.name, shapes, "activations", activation_bits, maximum=SERIAL_BITS)
        # Zero times the weight bits: every answer has the axes of both.
        return self.serial_cycles(shapes, activation_bits + 0 * weight_bits)

    def action_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return the counts of ``array_cycle``, ``buffer_bit`` and ``binary_mac``.

        A step reads its weights once and its activations bit by bit, once.
        """
        read_per_lane = self.filters * weight_bits + self.used_columns(shapes) * activation_bits
        return {
            "array_cycle": self.compute_cycles(shapes, weight_bits, activation_bits),
            "buffer_bit": self.steps(shapes, self.lanes) * self.lanes * read_per_lane,
            "binary_mac": weight_bits * activation_bits * shapes.macs,
        }
