"""What a layer moves between chip and DRAM where nothing stays on chip: each tensor once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitmixer.bitwidths import WeightCodes
from bitmixer.graph import Layer
from hwsim.cost.arrays.base import Int64Array, layer_column
from hwsim.cost.memory.dram import Traffic
from hwsim.cost.memory.planes import planes_needed


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorBits:
    """Bits of one input's tensors around each layer, which broadcast to the axes of the question.

    Attributes:
        stream_read: What the layer reads at its own width, or as accumulators.
        copy_read: What it reads as stored copies.
        operand_read: Waiting operands that it reads as it drains into a join.
        stream_write: Results for the key consumer.
        copy_write: Stored copies.
    """

    stream_read: Int64Array
    copy_read: Int64Array
    operand_read: Int64Array
    stream_write: Int64Array
    copy_write: Int64Array


def tensor_bits(
    layers: Sequence[Layer], *, trailing_axes: int, activation_bits: Int64Array, stream_bits: Int64Array,
    residual_bits: int,
) -> TensorBits:  # fmt: skip
    """Return the tensors of each layer; the arguments are those of ``layer_traffic``."""
    stored_input = layer_column(layers, "residual_input_elements", trailing_axes)
    return TensorBits(
        stream_read=(layer_column(layers, "input_elements", trailing_axes) - stored_input) * activation_bits,
        copy_read=stored_input * residual_bits,
        operand_read=layer_column(layers, "residual_read_elements", trailing_axes) * residual_bits,
        stream_write=layer_column(layers, "stream_write_elements", trailing_axes) * stream_bits,
        copy_write=layer_column(layers, "residual_write_elements", trailing_axes) * residual_bits,
    )


def layer_traffic(
    layers: Sequence[Layer],
    *,
    inputs_per_frame: int,
    trailing_axes: int,
    weight_bits: Int64Array,
    activation_bits: Int64Array,
    stream_bits: Int64Array,
    residual_bits: int,
    weight_codes: WeightCodes,
) -> Traffic:
    """Return the traffic of one execution of each layer, its norm parameters being on chip.

    Weights are read once per frame, as the bit planes that their codes need, everything else once per input. A
    layer reads its input at its own activation bits where that tensor (or the piece of a concatenation) was prepared
    for it or is the network's input (kept at the stem's bits), otherwise as the stored copy at ``residual_bits``.

    Args:
        layers: The layers; they are the first axis of the result.
        inputs_per_frame: Inputs that share one fetch of the weights.
        trailing_axes: Axes of the result after the layers'; the bits broadcast against [layer, ...].
        weight_bits: Width of the weights.
        activation_bits: Width of the input, where the layer reads it at its own width.
        stream_bits: Width at which results leave for the key consumer.
        residual_bits: Width of stored tensors.
        weight_codes: What the weight codes of a width are.
    """
    tensors = tensor_bits(
        layers, trailing_axes=trailing_axes, activation_bits=activation_bits, stream_bits=stream_bits,
        residual_bits=residual_bits,
    )  # fmt: skip
    planes = planes_needed(layers, weight_bits, weight_codes, trailing_axes)
    per_input_read = tensors.stream_read + tensors.copy_read + tensors.operand_read
    return Traffic(
        read_bits=layer_column(layers, "weights", trailing_axes) * planes + inputs_per_frame * per_input_read,
        write_bits=inputs_per_frame * (tensors.stream_write + tensors.copy_write),
    )


def norm_reload_bits(layers: Sequence[Layer], norm_bits: int, *, trailing_axes: int) -> Int64Array:
    """Return the bits read to fetch each layer's norm again: a scale and a shift per output channel."""
    return 2 * norm_bits * layer_column(layers, "output_channels", trailing_axes)
