"""UNPU: serial in the bits of weights, which look up sums of whole activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost.arrays.base import Float64Array, Int64Array, LayerShapes, check_bits
from hwsim.cost.arrays.serial_grid import SERIAL_BITS, SerialGrid

INPUTS_PER_TABLE = 3
INPUTS_PER_TABLE_AT_ONE_BIT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpu(SerialGrid):
    """An array as UNPU's (Lee et al., JSSC 2019): a step takes as many cycles as weights have bits.

    A lane is a look-up table with the sums of three activations, which three weights address plane by plane. One-bit
    weights address four: the published peaks at 200 MHz, 345.6 GOPS at 16 bits and 7372 at one, are 64/3 apart, not 16.
    The product of the default sizes, 12 x 6 x 16 x 4 = 4608 tables read per cycle, is those peaks'; how the chip
    spreads them over channels and positions is assumed.

    Attributes:
        lanes: Tables that are summed in one step.

    Raises:
        ConfigurationError: A parameter is not a whole number from 1.
    """

    name: ClassVar[str] = "unpu"

    lanes: int = 12
    columns: int = 6
    rows: int = 16
    tiles: int = 4

    def peak_macs_per_cycle(self, weight_bits: Int64Array, activation_bits: Int64Array) -> Float64Array:
        """Return lanes * 3 * columns * filters / w, or lanes * 4 * columns * filters where w is 1."""
        return np.asarray(
            self._channels(weight_bits) * self.columns * self.filters / (weight_bits + 0 * activation_bits),
            dtype=np.float64,
        )

    def compute_cycles(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
        """Return steps * w, with lanes * 3 input channels per step, or lanes * 4 where w is 1.

        Raises:
            ConfigurationError: Weights or activations of more than 16 bits.
        """
        check_bits(self.name, shapes, "weights", weight_bits, maximum=SERIAL_BITS)
        check_bits(self.name, shapes, "activations", activation_bits, maximum=SERIAL_BITS)
        # Zero times the activation bits: every answer has the axes of both.
        return self.steps(shapes, self._channels(weight_bits)) * (weight_bits + 0 * activation_bits)

    def action_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return the counts of ``array_cycle``, ``buffer_bit`` and ``binary_mac``.

        Tables hold and add whole words of 16 bits, so that each bit of a weight counts as 16 products however narrow
        activations are: what was published is at 16 bits, and nothing says that narrower ones cost less. A step reads
        its activations once and its weights plane by plane, once.
        """
        channels = self._channels(weight_bits)
        read_per_channel = self.filters * weight_bits + self.columns * activation_bits
        return {
            "array_cycle": self.compute_cycles(shapes, weight_bits, activation_bits),
            "buffer_bit": self.steps(shapes, channels) * channels * read_per_channel,
            "binary_mac": weight_bits * (SERIAL_BITS + 0 * activation_bits) * shapes.macs,
        }

    def _channels(self, weight_bits: Int64Array) -> Int64Array:
        """Return the input channels that one step sums."""
        return self.lanes * np.where(weight_bits == 1, INPUTS_PER_TABLE_AT_ONE_BIT, INPUTS_PER_TABLE)
