"""Arrays that take activations bit by bit, a pallet of windows at a time: what Loom and Pragmatic share.

A pallet is ``columns`` consecutive windows (output positions, the row index fastest). A step gives each of them
``lanes`` channels at one kernel position and lasts as long as its slowest window. Laws and order of windows are those
of DNNsim (github.com/isakedo/DNNsim, commit 4748a60).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer
from bitmixer.operands import SiteOperands
from hwsim.cost.arrays.base import Int64Array, LayerShapes
from hwsim.cost.arrays.serial_grid import SerialGrid
from hwsim.cost.arrays.valued.base import Integers, check_range, check_shapes
from hwsim.cost.arrays.valued.windows import Windows, is_depthwise


@dataclass(frozen=True, slots=True, kw_only=True)
class PalletArray(SerialGrid, ABC):
    """A serial grid whose steps end when the bits that their values need are done."""

    @abstractmethod
    def planes(self, values: Integers) -> Integers:
        """Return how many steps in bits the values of the last axis need together; that axis is gone."""

    @abstractmethod
    def cycles_per_plane(self, widths: BitWidths) -> int:
        """Return how many cycles each of these takes."""

    def cycles(self, layer: Layer, operands: SiteOperands) -> Int64Array:
        """Return the cycles of each input, shape (inputs,).

        Raises:
            ConfigurationError: The operands are not of this layer's shape, or activations not of their width.
        """
        check_shapes(layer, operands)
        bits, plane = operands.widths.activation, self.cycles_per_plane(operands.widths)
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

    def bound_cycles(self, layer: Layer, widths: BitWidths) -> int:
        """Return the cycles of one input whose every step needs all activation bits."""
        shapes = LayerShapes.of([layer], inputs_per_frame=1, trailing_axes=0)
        step = np.array([widths.activation * self.cycles_per_plane(widths)])
        return int(self.serial_cycles(shapes, step)[0])

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
