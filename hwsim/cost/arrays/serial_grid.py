"""The grid that Stripes and its descendants share: lanes x columns x rows x tiles, output-stationary, window first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost.arrays.base import BIT_ACTIONS, BoolArray, Int64Array, LayerShapes, ceil_divide, check_positive

SERIAL_BITS = 16
"""Width of the processing elements of Stripes, Loom and UNPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialGrid:
    """Steps of a layer: in each, every occupied lane multiplies one weight with one activation, bit by bit.

    The laws are those of the simulator DNNsim (github.com/isakedo/dnnsim). Inputs of a frame, and groups of channels,
    follow one another.

    Attributes:
        lanes: Input channels that are summed in one step.
        columns: Output positions at once.
        rows: Output channels at once in one tile.
        tiles: Tiles; each has output channels of its own.

    Raises:
        ConfigurationError: A parameter is not a whole number from 1.
    """

    name: ClassVar[str]
    actions: ClassVar[tuple[str, ...]] = BIT_ACTIONS

    lanes: int
    columns: int
    rows: int
    tiles: int

    def __post_init__(self) -> None:
        check_positive(self.name, lanes=self.lanes, columns=self.columns, rows=self.rows, tiles=self.tiles)

    @property
    def filters(self) -> int:
        """Output channels at once."""
        return self.rows * self.tiles

    def steps(self, shapes: LayerShapes, lanes: int | Int64Array) -> Int64Array:
        """Return ceil(O/columns) * ceil(F/(rows*tiles)) * k * ceil(C/lanes), over groups and inputs of the frame.

        A depthwise layer uses the diagonal of one tile: ceil(O/columns) * ceil(channels/min(lanes, rows)) * k.
        """
        channels, kernel = _folded(shapes)
        windows = shapes.inputs_per_frame * ceil_divide(shapes.output_height * shapes.output_width, self.columns)
        grouped = shapes.groups * ceil_divide(shapes.group_outputs, self.filters) * ceil_divide(channels, lanes)
        diagonal = ceil_divide(shapes.output_channels, np.minimum(lanes, self.rows))
        steps: Int64Array = windows * kernel * np.where(is_depthwise(shapes), diagonal, grouped)
        return steps

    def serial_cycles(self, shapes: LayerShapes, step_cycles: Int64Array) -> Int64Array:
        """Return the cycles of a layer whose steps take ``step_cycles`` each.

        A fully connected layer has one output position: its n steps go to the columns in turn, one starts per cycle,
        and a column is free again after ``step_cycles``.
        """
        steps = self.steps(shapes, self.lanes)
        per_input = steps // shapes.inputs_per_frame
        rounds, last = np.divmod(per_input - 1, self.columns)
        staggered = rounds * np.maximum(step_cycles, self.columns) + last + step_cycles
        cycles: Int64Array = np.where(
            is_fully_connected(shapes), shapes.inputs_per_frame * staggered, steps * step_cycles
        )
        return cycles

    def used_columns(self, shapes: LayerShapes) -> Int64Array:
        """Return how many columns read activations in a step: one in a fully connected layer."""
        return np.where(is_fully_connected(shapes), 1, self.columns)


def is_fully_connected(shapes: LayerShapes) -> BoolArray:
    """Return where a layer is a 1x1 convolution on a 1x1 map."""
    sizes = shapes.kernel_height * shapes.kernel_width * shapes.input_height * shapes.input_width
    connected: BoolArray = sizes * shapes.output_height * shapes.output_width * shapes.groups == 1
    return connected


def is_depthwise(shapes: LayerShapes) -> BoolArray:
    """Return where each of several groups has one input channel."""
    depthwise: BoolArray = (shapes.groups > 1) & (shapes.group_inputs == 1)
    return depthwise


def _folded(shapes: LayerShapes) -> tuple[Int64Array, Int64Array]:
    """Return the input channels of a group and the kernel area, after folding of the first layer.

    A layer of 3 input channels and a stride, not dilated, is folded space to depth: stride x stride positions become
    channels, so that more lanes have work, and the kernel shrinks by the stride.
    """
    strided = shapes.stride_height * shapes.stride_width
    folds = (shapes.input_channels == 3) & (shapes.groups == 1) & (strided > 1) & ~shapes.is_dilated
    kernel = ceil_divide(shapes.kernel_height, shapes.stride_height) * ceil_divide(
        shapes.kernel_width, shapes.stride_width
    )
    return (
        np.where(folds, 3 * strided, shapes.group_inputs),
        np.where(folds, kernel, shapes.kernel_height * shapes.kernel_width),
    )
