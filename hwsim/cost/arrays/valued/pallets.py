"""Arrays that take activations bit by bit, a pallet of windows at a time: what Loom and Pragmatic share.

A pallet is ``columns`` consecutive windows (output positions, the row index fastest). A step gives each of them
``lanes`` channels at one kernel position and lasts as long as its slowest window. Laws and order of windows are those
of DNNsim (github.com/isakedo/DNNsim, commit 4748a60).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from bitmixer.graph import Layer
from bitmixer.operands import SiteOperands
from hwsim.cost.arrays.base import Float64Array, Int64Array, LayerShapes, check_bits
from hwsim.cost.arrays.serial_grid import SERIAL_BITS, SerialGrid
from hwsim.cost.arrays.valued.base import Integers, check_range, check_shapes
from hwsim.cost.arrays.valued.windows import Windows, is_depthwise


class StepReads(NamedTuple):
    """Bits that a lane reads in a step: what it reads once, and what it reads again with every plane it works on."""

    fixed: Int64Array
    by_cycles: Int64Array


@dataclass(frozen=True, slots=True, kw_only=True)
class PalletArray(SerialGrid, ABC):
    """A serial grid whose steps end when the bits that their values need are done."""

    reads_activations: ClassVar[bool] = True

    @abstractmethod
    def planes(self, values: Integers) -> Integers:
        """Return how many steps in bits the values of the last axis need together; that axis is gone."""

    @abstractmethod
    def cycles_per_plane(self, weight_bits: Int64Array) -> Int64Array:
        """Return how many cycles each of these takes."""

    @abstractmethod
    def step_reads(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> StepReads:
        """Return the bits that a lane reads from buffers in a step that skips nothing."""

    def peak_macs_per_cycle(self, weight_bits: Int64Array, activation_bits: Int64Array) -> Float64Array:
        """Return lanes * columns * filters, over the cycles of a step that skips nothing."""
        return np.asarray(
            self.lanes * self.columns * self.filters / (activation_bits * self.cycles_per_plane(weight_bits)),
            dtype=np.float64,
        )

    def compute_cycles(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
        """Return the cycles if every step needs all activation bits: the bound.

        Raises:
            ConfigurationError: Weights or activations of more than 16 bits.
        """
        check_bits(self.name, shapes, "weights", weight_bits, maximum=SERIAL_BITS)
        check_bits(self.name, shapes, "activations", activation_bits, maximum=SERIAL_BITS)
        return self.serial_cycles(shapes, activation_bits * self.cycles_per_plane(weight_bits))

    def action_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return the counts of ``array_cycle``, ``buffer_bit`` and ``binary_mac`` at the bound."""
        reads = self.step_reads(shapes, weight_bits, activation_bits)
        return self._counts(shapes, weight_bits, activation_bits, reads.fixed + reads.by_cycles)

    def cycle_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return what shrinks with the cycles: these, the lanes' work, and reads that are repeated bit by bit."""
        reads = self.step_reads(shapes, weight_bits, activation_bits)
        return self._counts(shapes, weight_bits, activation_bits, reads.by_cycles)

    def _counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array, read_per_lane: Int64Array
    ) -> Mapping[str, Int64Array]:
        return {
            "array_cycle": self.compute_cycles(shapes, weight_bits, activation_bits),
            "buffer_bit": self.steps(shapes, self.lanes) * self.lanes * read_per_lane,
            "binary_mac": weight_bits * activation_bits * shapes.macs,
        }

    def cycles(self, layer: Layer, operands: SiteOperands) -> Int64Array:
        """Return the cycles of each input, shape (inputs,).

        Raises:
            ConfigurationError: The operands are not of this layer's shape, or activations not of their width.
        """
        check_shapes(layer, operands)
        bits = operands.widths.activation
        plane = int(self.cycles_per_plane(np.array(operands.widths.weight)))
        check_range(operands, "activations", operands.activations, -(2 ** (bits - 1)), 2**bits - 1)
        windows = Windows.of(layer)
        planes = self.planes(windows.lanes_of(operands.activations, self._lanes(layer)))
        if _is_fully_connected(layer):
            steps = np.clip(planes.reshape(len(planes), -1), 1, bits) * plane
            return finish_of_staggered(np.tile(steps, self._filter_sets(layer)), self.columns)
        total = np.zeros(len(planes), dtype=np.int64)
        for position in windows.at_kernel_positions(planes):
            slowest = np.maximum.reduceat(position, range(0, position.shape[-1], self.columns), axis=-1)
            total += np.clip(slowest, 1, bits).sum(axis=(1, 2), dtype=np.int64)
        return total * (self._filter_sets(layer) * plane)

    def _lanes(self, layer: Layer) -> int:
        return min(self.lanes, self.rows) if is_depthwise(layer) else self.lanes

    def _filter_sets(self, layer: Layer) -> int:
        """Return how often a group's activations are gone through, for other output channels."""
        if is_depthwise(layer):
            return 1
        return math.ceil(layer.output_channels // layer.groups / self.filters)


def finish_of_staggered(steps: Int64Array, columns: int) -> Int64Array:
    """Return when the last column ends in a fully connected layer, where each column takes a step of its own.

    Step i runs in column i mod ``columns``. It starts one cycle after the step before it, and not before its column
    is free.

    Args:
        steps: Cycles of each step, shape (inputs, steps).
        columns: Columns.

    Returns:
        Cycles, shape (inputs,).
    """
    free = np.zeros((len(steps), columns), dtype=np.int64)
    start = np.full(len(steps), -1, dtype=np.int64)
    for step, cycles in enumerate(steps.T):
        column = step % columns
        start = np.maximum(start + 1, free[:, column])
        free[:, column] = start + cycles
    finish: Int64Array = free.max(axis=1)
    return finish


def _is_fully_connected(layer: Layer) -> bool:
    """Whether a layer is a 1x1 convolution on a 1x1 map; a linear layer on several tokens is one on a wider map."""
    sizes = layer.kernel_height * layer.kernel_width * layer.input_height * layer.input_width
    return sizes * layer.output_positions * layer.groups == 1
