"""Arrays that take weights bit by bit, a group of channels at a time: what BitWave and BitVert share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer
from bitmixer.operands import SiteOperands
from hwsim.cost.arrays.base import Int64Array, check_positive
from hwsim.cost.arrays.valued.base import Integers, check_range, check_shapes, split


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightGroupArray(ABC):
    """A grid of ``rows`` x ``columns`` units, each of which multiplies a group of weights with whole activations.

    A group is ``group`` input channels at one kernel position of one output channel; where channels run out, zeros
    fill it. The units of a step work on ``rows`` output channels and ``columns`` output positions, and wait for the
    output channel whose group takes longest. Groups of a convolution are worked off one after another.

    Activations do not count, so that all inputs take the same cycles.

    Attributes:
        group: Weights of one unit.
        rows: Output channels at once.
        columns: Output positions at once.

    Raises:
        ConfigurationError: A parameter is not a whole number from 1.
    """

    name: ClassVar[str]

    group: int
    rows: int
    columns: int

    def __post_init__(self) -> None:
        check_positive(self.name, group=self.group, rows=self.rows, columns=self.columns)

    @abstractmethod
    def group_cycles(self, weights: Integers, bits: int) -> Integers:
        """Return the cycles of each group; the last axis holds its weights, and is gone."""

    @abstractmethod
    def bound_of_group(self, bits: int) -> int:
        """Return the most cycles that any group of ``bits`` takes."""

    def cycles(self, layer: Layer, operands: SiteOperands) -> Int64Array:
        """Return the cycles of each input, shape (inputs,).

        Raises:
            ConfigurationError: The operands are not of this layer's shape, or weights not of their width in two's
                complement, as DoReFa's odd codes are not: their planes hold no zeros to skip.
        """
        check_shapes(layer, operands)
        highest = 2 ** (operands.widths.weight - 1)
        check_range(operands, "weights", operands.weights, -highest, max(highest - 1, 1))
        outputs, channels, *kernel = operands.weights.shape
        by_group = operands.weights.reshape(layer.groups, outputs // layer.groups, channels, math.prod(kernel))
        groups = split(by_group.swapaxes(2, 3), 3, self.group)
        steps = split(self.group_cycles(groups, operands.widths.weight), 1, self.rows).max(axis=2)
        total = int(steps.sum(dtype=np.int64)) * self._position_steps(layer)
        return np.full(len(operands.activations), total, dtype=np.int64)

    def bound_cycles(self, layer: Layer, widths: BitWidths) -> int:
        """Return the cycles of one input whose every group takes as long as any can."""
        filter_steps = layer.groups * math.ceil(layer.output_channels // layer.groups / self.rows)
        channel_steps = math.ceil(layer.input_channels // layer.groups / self.group)
        steps = filter_steps * channel_steps * layer.kernel_height * layer.kernel_width * self._position_steps(layer)
        return steps * self.bound_of_group(widths.weight)

    def _position_steps(self, layer: Layer) -> int:
        return math.ceil(layer.output_positions / self.columns)
