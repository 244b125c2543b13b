"""What every array model answers: cycles and action counts of layers at given bit-widths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from bitmixer.graph import NETWORK_INPUT, Layer
from hwsim.errors import ConfigurationError

Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def layer_column(layers: Sequence[Layer], attribute: str, trailing_axes: int) -> Int64Array:
    """Return one integer attribute of all layers, shape [site, 1, ...] with ``trailing_axes`` ones."""
    values = np.array([getattr(layer, attribute) for layer in layers], dtype=np.int64)
    return values.reshape(-1, *(1,) * trailing_axes)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShapes:
    """Geometry of several layers, one array per dimension, ready to broadcast against bit-widths.

    Every array has shape [site, 1, ...]: the sites first, then one axis of length 1 for each axis of bits.

    Attributes:
        names: The layers' names, for messages.
        is_dilated: Whether a kernel skips positions.
        reads_network_input: Whether a layer is a convolution of the network's input.
        inputs_per_frame: Inputs that a layer processes under one fetch of its weights.
    """

    names: tuple[str, ...]
    input_channels: Int64Array
    output_channels: Int64Array
    kernel_height: Int64Array
    kernel_width: Int64Array
    stride_height: Int64Array
    stride_width: Int64Array
    groups: Int64Array
    input_height: Int64Array
    input_width: Int64Array
    output_height: Int64Array
    output_width: Int64Array
    is_dilated: BoolArray
    reads_network_input: BoolArray
    inputs_per_frame: int

    @classmethod
    def of(cls, layers: Sequence[Layer], *, inputs_per_frame: int, trailing_axes: int) -> LayerShapes:
        """Collect the geometry of ``layers``, with ``trailing_axes`` axes left free for bit-widths."""
        axes = (-1, *(1,) * trailing_axes)
        strides = np.array([layer.stride for layer in layers], dtype=np.int64)
        first = [layer.kind == "convolution" and NETWORK_INPUT in layer.producers for layer in layers]
        return cls(
            names=tuple(layer.name for layer in layers),
            input_channels=layer_column(layers, "input_channels", trailing_axes),
            output_channels=layer_column(layers, "output_channels", trailing_axes),
            kernel_height=layer_column(layers, "kernel_height", trailing_axes),
            kernel_width=layer_column(layers, "kernel_width", trailing_axes),
            stride_height=strides[:, 0].reshape(axes),
            stride_width=strides[:, 1].reshape(axes),
            groups=layer_column(layers, "groups", trailing_axes),
            input_height=layer_column(layers, "input_height", trailing_axes),
            input_width=layer_column(layers, "input_width", trailing_axes),
            output_height=layer_column(layers, "output_height", trailing_axes),
            output_width=layer_column(layers, "output_width", trailing_axes),
            is_dilated=np.array([layer.dilation != (1, 1) for layer in layers]).reshape(axes),
            reads_network_input=np.array(first).reshape(axes),
            inputs_per_frame=inputs_per_frame,
        )

    @property
    def group_inputs(self) -> Int64Array:
        """Input channels of one group."""
        return self.input_channels // self.groups

    @property
    def group_outputs(self) -> Int64Array:
        """M of the matrix product: output channels of one group."""
        return self.output_channels // self.groups

    @property
    def reduction(self) -> Int64Array:
        """K of the matrix product: products summed into one result."""
        return self.kernel_height * self.kernel_width * self.group_inputs

    @property
    def positions(self) -> Int64Array:
        """P of the matrix product: output positions of all inputs of the frame."""
        return self.output_height * self.output_width * self.inputs_per_frame

    @property
    def macs(self) -> Int64Array:
        """Multiply-accumulates of the frame."""
        return self.output_channels * self.reduction * self.positions


BIT_ACTIONS = ("array_cycle", "buffer_bit", "binary_mac")
"""The actions of arrays whose energy follows the bits that they multiply and read."""


class ArrayModel(Protocol):
    """How one kind of array spends cycles; an implementation is a frozen dataclass of its parameters.

    ``weight_bits`` and ``activation_bits`` broadcast against the arrays of ``shapes``: with shapes
    [site, 1, 1], weight bits [w, 1] and activation bits [a], results have shape [site, w, a].
    """

    name: ClassVar[str]
    actions: ClassVar[tuple[str, ...]]
    """What ``action_counts`` counts, whatever the layers."""

    def compute_cycles(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
        """Return the cycles for which each layer occupies the array, memory never late."""
        ...

    def peak_macs_per_cycle(self, weight_bits: Int64Array, activation_bits: Int64Array) -> Float64Array:
        """Return the multiply-accumulates of one cycle with every lane occupied, nothing being skipped."""
        ...

    def action_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return how often each layer causes each action (names: ``hwsim.cost.energy.ACTIONS``)."""
        ...


def ceil_divide(dividend: Int64Array, divisor: int | Int64Array) -> Int64Array:
    """Return the quotient of whole numbers, rounded up."""
    return -(-dividend // divisor)


def utilisation(
    array: ArrayModel,
    macs: Int64Array,
    compute_cycles: Int64Array,
    weight_bits: Int64Array,
    activation_bits: Int64Array,
) -> Float64Array:
    """Return which part of the multiply-accumulates that the array could do in these cycles is done."""
    part: Float64Array = macs / (compute_cycles * array.peak_macs_per_cycle(weight_bits, activation_bits))
    return part


MAX_PARAMETER = 10**9


def check_positive(array: str, **parameters: object) -> None:
    """Check that parameters are whole numbers from 1, and their product, the array's units, at most ``MAX_PARAMETER``.

    Raises:
        ConfigurationError: One is not.
    """
    for name, value in parameters.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_PARAMETER:
            raise ConfigurationError(
                f"array {array}: {name} = {value!r}: expected a whole number from 1 to {MAX_PARAMETER}"
            )
    units = math.prod(value for value in parameters.values() if isinstance(value, int))
    if units > MAX_PARAMETER:  # counts of actions stay below 2^63
        raise ConfigurationError(
            f"array {array}: {' x '.join(parameters)} = {units} units: expected at most {MAX_PARAMETER}: shrink it"
        )


def check_bits(array: str, shapes: LayerShapes, what: str, bits: Int64Array, *, maximum: int) -> None:
    """Check that an array can do the bits that it is asked for.

    Args:
        array: Its name.
        shapes: The layers.
        what: Whose bits: ``weights`` or ``activations``.
        bits: They broadcast against the arrays of ``shapes``.
        maximum: The most that the array can do.

    Raises:
        ConfigurationError: It cannot; names the first such layer where ``bits`` are given layer by layer.
    """
    wrong = bits[bits > maximum]
    if wrong.size:
        by_layer = bits.ndim == shapes.groups.ndim and len(bits) == len(shapes.names)
        where = f"layer {shapes.names[int(np.argwhere(bits > maximum)[0, 0])]!r}: " if by_layer else ""
        raise ConfigurationError(
            f"array {array}: {where}{int(wrong[0])}-bit {what}: it does at most {maximum} bits; "
            "lower them, or choose another array"
        )
