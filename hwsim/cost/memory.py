"""DRAM traffic of layers, and the cycles that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitmixer.bitwidths import WeightCodes
from bitmixer.graph import Layer
from hwsim.cost.arrays.base import Int64Array, ceil_divide, layer_column


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bits read from and written to DRAM; both arrays broadcast to the axes of the question asked."""

    read_bits: Int64Array
    write_bits: Int64Array

    @property
    def bits(self) -> Int64Array:
        """Bits in both directions."""
        return self.read_bits + self.write_bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A DRAM shared by both directions, behind a port with a channel for each.

    Attributes:
        dram_bandwidth_bits_per_second: Usable bandwidth: the peak times the controller's efficiency.
        port_bits_per_cycle: Width of one direction of the port, which runs at the array's clock.
    """

    dram_bandwidth_bits_per_second: float
    port_bits_per_cycle: int

    def cycles(self, traffic: Traffic, frequency_hertz: int) -> Int64Array:
        """Return the array cycles that ``traffic`` takes with the array's clock at ``frequency_hertz``.

        The slower of port and DRAM counts: max(ceil(max(read, write) / port), ceil((read + write) * f /
        bandwidth)). Exact while bits times hertz stay below 2^53; beyond, to one cycle in 10^15.
        """
        port = ceil_divide(np.maximum(traffic.read_bits, traffic.write_bits), self.port_bits_per_cycle)
        dram = np.ceil(traffic.bits * float(frequency_hertz) / self.dram_bandwidth_bits_per_second)
        slower: Int64Array = np.maximum(port, dram.astype(np.int64))
        return slower


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
    stored_input = layer_column(layers, "residual_input_elements", trailing_axes)
    per_input_read = (layer_column(layers, "input_elements", trailing_axes) - stored_input) * activation_bits + (
        stored_input + layer_column(layers, "residual_read_elements", trailing_axes)
    ) * residual_bits
    per_input_write = (
        layer_column(layers, "stream_write_elements", trailing_axes) * stream_bits
        + layer_column(layers, "residual_write_elements", trailing_axes) * residual_bits
    )
    planes = weight_bits + _carry_planes(layers, weight_bits, weight_codes, trailing_axes)
    return Traffic(
        read_bits=layer_column(layers, "weights", trailing_axes) * planes + inputs_per_frame * per_input_read,
        write_bits=inputs_per_frame * per_input_write,
    )


def _carry_planes(
    layers: Sequence[Layer], weight_bits: Int64Array, weight_codes: WeightCodes, trailing_axes: int
) -> Int64Array:
    """Return 1 where nested codes need the plane after their own, whose carry the second rounding adds.

    The stored width needs none, and one bit is the sign plane alone (see ``bitmixer.quantizers.nested``).
    """
    stored = np.array([max(widths.weight for widths in layer.allowed) for layer in layers])
    below = weight_bits < stored.reshape(-1, *(1,) * trailing_axes)
    carried: Int64Array = (below & (weight_bits > 1) & (weight_codes == "nested")).astype(np.int64)
    return carried


def norm_reload_bits(layers: Sequence[Layer], norm_bits: int, *, trailing_axes: int) -> Int64Array:
    """Return the bits read to fetch each layer's norm again: a scale and a shift per output channel."""
    return 2 * norm_bits * layer_column(layers, "output_channels", trailing_axes)
