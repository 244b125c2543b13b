"""Where the windows of a convolution lie in its input, as pallets walk over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bitmixer.graph import Layer
from hwsim.cost.arrays.valued.base import Integers, split

FOLDED_CHANNELS = 3
"""A first layer of so many channels and with a stride is folded, so that it fills more lanes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Geometry of a layer after folding; pairs are (height, width).

    A layer of exactly 3 input channels and a stride s is folded space to depth: s x s positions become channels (their
    order: column, row, channel), the kernel has ceil(k / s) positions, the stride is 1. Grouped and dilated layers
    are not.

    Attributes:
        padding: Zeros before the first row and column of the input as it comes.
        fold: Rows and columns that become channels; (1, 1) where nothing is folded.
        copies: How many lanes take each channel at once.
        channel_groups: Sets of channels that do not share lanes.
        group_channels: Channels of each, after folding and copying.
    """

    padding: tuple[int, int]
    fold: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    output: tuple[int, int]
    copies: int
    channel_groups: int
    group_channels: int

    @classmethod
    def of(cls, layer: Layer) -> Windows:
        """Return the windows of a layer."""
        folds = layer.input_channels == FOLDED_CHANNELS and layer.groups == 1 and layer.dilation == (1, 1)
        rows, columns = fold = layer.stride if folds else (1, 1)
        depthwise = is_depthwise(layer)
        groups = 1 if depthwise else layer.groups
        # In a depthwise layer each lane works for an output channel of its own.
        copies = layer.output_channels // layer.groups if depthwise else 1
        return cls(
            padding=layer.padding,
            fold=fold,
            kernel=(-(-layer.kernel_height // rows), -(-layer.kernel_width // columns)),
            stride=(1, 1) if folds else layer.stride,
            dilation=layer.dilation,
            output=(layer.output_height, layer.output_width),
            copies=copies,
            channel_groups=groups,
            group_channels=layer.input_channels // groups * copies * rows * columns,
        )

    def lanes_of(self, activations: Integers, lanes: int) -> Integers:
        """Return padded and folded activations with channels split over lanes.

        Args:
            activations: Shape (inputs, channels, height, width).
            lanes: Channels at once.

        Returns:
            Shape (inputs, channel steps, height, width, lanes); lanes without a channel hold zeros.
        """
        for axis in (0, 1):
            activations = self._framed(activations, axis)
        activations = activations.repeat(self.copies, axis=1)
        inputs, channels, height, width = activations.shape
        rows, columns = self.fold
        folded = activations.reshape(inputs, channels, height // rows, rows, width // columns, columns)
        grouped = folded.transpose(0, 5, 3, 1, 2, 4).reshape(
            inputs, self.channel_groups, self.group_channels, height // rows, width // columns
        )
        stepped = split(grouped, 2, lanes)
        merged = stepped.reshape(inputs, -1, *stepped.shape[3:])
        return np.ascontiguousarray(np.moveaxis(merged, 2, -1), dtype=np.int32)

    def at_kernel_positions(self, values: Integers) -> Iterator[Integers]:
        """Yield the values that the windows meet at each kernel position.

        Args:
            values: One per place of the folded input, shape (inputs, channel steps, height, width).

        Yields:
            Shape (inputs, channel steps, windows); the row index is fastest.
        """
        for row, column in np.ndindex(self.kernel):
            rows, columns = self._reach(0, row), self._reach(1, column)
            yield values[:, :, rows, columns].swapaxes(2, 3).reshape(*values.shape[:2], -1)

    def _reach(self, axis: int, kernel_position: int) -> slice:
        first = kernel_position * self.dilation[axis]
        return slice(first, first + (self.output[axis] - 1) * self.stride[axis] + 1, self.stride[axis])

    def _framed(self, activations: Integers, axis: int) -> Integers:
        """Return the activations from the first to the last that a window meets, with zeros outside of the map."""
        extent = self._reach(axis, self.kernel[axis] - 1).stop * self.fold[axis]
        before, size = self.padding[axis], activations.shape[2 + axis]
        sides = [(0, 0)] * 4
        sides[2 + axis] = (before, max(0, extent - before - size))
        return np.pad(activations, sides).take(range(extent), axis=2 + axis)


def is_depthwise(layer: Layer) -> bool:
    """Whether each of several groups has one input channel."""
    return layer.groups > 1 and layer.groups == layer.input_channels
