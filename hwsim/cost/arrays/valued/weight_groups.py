"""Arrays that take weights bit by bit, a group of channels at a time: what BitWave and BitVert share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitmixer.graph import Layer
from bitmixer.operands import SiteOperands
from hwsim.cost.arrays.base import BIT_ACTIONS, Float64Array, Int64Array, LayerShapes, ceil_divide, check_positive
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
    actions: ClassVar[tuple[str, ...]] = BIT_ACTIONS
    reads_activations: ClassVar[bool] = False

    group: int
    rows: int
    columns: int

    def __post_init__(self) -> None:
        check_positive(self.name, group=self.group, rows=self.rows, columns=self.columns)

    @abstractmethod
    def group_cycles(self, weights: Integers, bits: int) -> Integers:
        """Return the cycles of each group; the last axis holds its weights, and is gone."""

    @abstractmethod
    def bound_of_group(self, bits: Int64Array) -> Int64Array:
        """Return the most cycles that any group of ``bits`` takes."""

    @abstractmethod
    def products_at_bound(self, macs: Int64Array) -> Int64Array:
        """Return how many of a layer's products of a weight bit and an activation are formed at the bound."""

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

    def peak_macs_per_cycle(self, weight_bits: Int64Array, activation_bits: Int64Array) -> Float64Array:
        """Return group * rows * columns, over the cycles of a group that skips nothing."""
        return np.asarray(
            self.group * self.rows * self.columns / self.bound_of_group(weight_bits + 0 * activation_bits),
            dtype=np.float64,
        )

    def compute_cycles(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
        """Return the cycles if every group takes as long as any can: the bound."""
        # Zero times the activation bits: every answer has the axes of both.
        return self._steps(shapes) * self.bound_of_group(weight_bits + 0 * activation_bits)

    def action_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return the counts of ``array_cycle``, ``buffer_bit`` and ``binary_mac`` at the bound.

        A step reads the activations of its groups once, whole, and its weights column by column.
        """
        counts = dict(self.cycle_counts(shapes, weight_bits, activation_bits))
        counts["buffer_bit"] = counts["buffer_bit"] + self._steps(shapes) * self.group * self.columns * activation_bits
        return counts

    def cycle_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return what shrinks with the cycles: these, the products, and the reads of weights."""
        return {
            "array_cycle": self.compute_cycles(shapes, weight_bits, activation_bits),
            "buffer_bit": self._steps(shapes) * self.group * self.rows * (weight_bits + 0 * activation_bits),
            "binary_mac": weight_bits * activation_bits * self.products_at_bound(shapes.macs),
        }

    def _steps(self, shapes: LayerShapes) -> Int64Array:
        filter_steps = shapes.groups * ceil_divide(shapes.group_outputs, self.rows)
        channel_steps = ceil_divide(shapes.group_inputs, self.group)
        positions = ceil_divide(shapes.output_height * shapes.output_width, self.columns) * shapes.inputs_per_frame
        return filter_steps * channel_steps * shapes.kernel_height * shapes.kernel_width * positions

    def _position_steps(self, layer: Layer) -> int:
        return math.ceil(layer.output_positions / self.columns)
