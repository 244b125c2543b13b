"""What an array draws when it works all the time."""

from __future__ import annotations

import numpy as np

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer
from hwsim.cost.arrays.base import ArrayModel, LayerShapes
from hwsim.cost.energy import EnergyTable

BITS = 8
CHANNELS, SIDE = 4096, 64
FILLING = Layer(
    name="full load", kind="convolution", input_channels=CHANNELS, output_channels=CHANNELS, kernel_height=1,
    kernel_width=1, stride=(1, 1), padding=(0, 0), groups=1, input_height=SIDE, input_width=SIDE, output_height=SIDE,
    output_width=SIDE, allowed=(BitWidths(BITS, BITS),), producers=(), consumers=(), key_consumer=None,
    is_key_consumer=True, stream_write_elements=0, residual_write_elements=0, residual_read_elements=0,
    vector_operations=0,
)  # fmt: skip
"""A product of square matrices so large that hardly a lane of any array stays empty."""


def full_load_joules_per_cycle(array: ArrayModel, energy_table: EnergyTable) -> float:
    """Return the energy of an average cycle of a large product of 8-bit matrices, at the nominal voltage.

    DRAM and vector unit, which follow the network, are not in it.

    Raises:
        ConfigurationError: The array cannot do 8 bits.
    """
    shapes = LayerShapes.of([FILLING], inputs_per_frame=1, trailing_axes=0)
    bits = np.array([BITS], dtype=np.int64)
    joules = energy_table.energy_joules(array.action_counts(shapes, bits, bits))
    return float(joules.item()) / int(array.compute_cycles(shapes, bits, bits).item())
