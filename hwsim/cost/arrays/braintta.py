"""BrainTTA: words of 32 bits that hold 32 binary, 16 ternary or 4 eight-bit operands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost.arrays.base import Float64Array, Int64Array, LayerShapes, ceil_divide, check_bits, check_positive
from hwsim.errors import ConfigurationError

MODES: Mapping[int, str] = {1: "mac_at_1_bit", 2: "mac_at_2_bits", 8: "mac_at_8_bits"}
"""Bits that an operand takes in each mode -> the action that the mode's multiply-accumulates are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrainTta:
    """BrainTTA (Molendijk et al., arXiv 2211.11331; ICCD 2023), which has three precisions: binary, ternary, 8 bits.

    A lane multiplies the operands of one word in each cycle, so that a mode of b bits does rows * word / b
    multiply-accumulates. With 32 lanes of 32 bits at 300 MHz that is 1024, 512 and 128 per cycle, or 614.4, 307.2 and
    76.8 GOPS: the published 614, 307 and 77. Their product is the peaks'; how it is spread is assumed: a lane for each
    output channel, input channels within a word, output positions one after another.

    A layer runs in the narrowest mode that holds the wider of its operands: 3 to 7 bits run as 8. Two bits are priced
    as ternary, whose operands take two bits, although a ternary one holds but three of their four values.

    Attributes:
        rows: Lanes, output channels at once.
        word_bits: Bits of a word.

    Raises:
        ConfigurationError: A parameter is not a whole number from 1, or a word holds no 8-bit operand.
    """

    name: ClassVar[str] = "braintta"
    actions: ClassVar[tuple[str, ...]] = ("array_cycle", *MODES.values())

    rows: int = 32
    word_bits: int = 32

    def __post_init__(self) -> None:
        check_positive(self.name, rows=self.rows, word_bits=self.word_bits)
        if self.word_bits < max(MODES):
            raise ConfigurationError(
                f"array braintta: word_bits = {self.word_bits}: a word must hold an operand of {max(MODES)} bits: give "
                f"at least {max(MODES)}"
            )

    def peak_macs_per_cycle(self, weight_bits: Int64Array, activation_bits: Int64Array) -> Float64Array:
        """Return rows * (word / mode)."""
        return np.asarray(
            self.rows * (self.word_bits // _mode(np.maximum(weight_bits, activation_bits))), dtype=np.float64
        )

    def compute_cycles(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
        """Return groups * ceil(M/rows) * k * ceil(C/(word/mode)) * P.

        Raises:
            ConfigurationError: Weights or activations of more than 8 bits.
        """
        channels = self.word_bits // self._modes(shapes, weight_bits, activation_bits)
        kernel = shapes.kernel_height * shapes.kernel_width
        outputs = shapes.groups * ceil_divide(shapes.group_outputs, self.rows) * shapes.positions
        return outputs * kernel * ceil_divide(shapes.group_inputs, channels)

    def action_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return the counts of ``array_cycle`` and, in the mode of each layer, of its multiply-accumulates."""
        modes = self._modes(shapes, weight_bits, activation_bits)
        macs = {action: np.where(modes == bits, shapes.macs, 0) for bits, action in MODES.items()}
        return {"array_cycle": self.compute_cycles(shapes, weight_bits, activation_bits), **macs}

    def _modes(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
        check_bits(self.name, shapes, "weights", weight_bits, maximum=max(MODES))
        check_bits(self.name, shapes, "activations", activation_bits, maximum=max(MODES))
        return _mode(np.maximum(weight_bits, activation_bits))


def _mode(bits: Int64Array | np.int64) -> Int64Array:
    """Return the bits of the narrowest mode that holds ``bits``."""
    modes = np.array(sorted(MODES))
    narrowest: Int64Array = modes[np.searchsorted(modes, bits)]
    return narrowest
