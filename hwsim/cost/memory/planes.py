"""Weight planes: how many a width needs, and how many each site keeps on chip from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitmixer.bitwidths import WeightCodes
from bitmixer.graph import Layer
from hwsim.cost.arrays.base import Int64Array
from hwsim.cost.memory.buffers import Buffers


def planes_needed(
    layers: Sequence[Layer], weight_bits: Int64Array, weight_codes: WeightCodes, trailing_axes: int
) -> Int64Array:
    """Return the bit planes that each layer needs to run at ``weight_bits``.

    Nested codes below the stored width need the plane after their own, whose carry the second rounding adds; the
    stored width needs none, and one bit is the sign plane alone (see ``bitmixer.quantizers.nested``).
    """
    stored = np.array([_most_bits(layer) for layer in layers])
    below = weight_bits < stored.reshape(-1, *(1,) * trailing_axes)
    planes: Int64Array = weight_bits + (below & (weight_bits > 1) & (weight_codes == "nested")).astype(np.int64)
    return planes


def planes_kept(layers: Sequence[Layer], buffers: Buffers | None) -> tuple[int, ...]:
    """Return how many planes each layer keeps on chip, the most significant first.

    Where all planes of all layers fit, all are kept. Otherwise half of the weight buffer keeps planes and the other
    half is for tiles that stream through. Planes are granted plane by plane, the most significant of every layer before
    the next of any, in the order of issue; a layer whose next plane does not fit gets no further. The grant is fixed,
    so a schedule that runs the layers in turn, frame after frame, never evicts what it will need. Coefficients of edges
    are no weights: they change with the frame, and are fetched with their edges.
    """
    if buffers is None:
        return (0,) * len(layers)
    wanted = [0 if layer.gather else _most_bits(layer) for layer in layers]
    if everything_fits(layers, buffers):
        return tuple(wanted)
    room, kept = buffers.weight_bits // 2, [0] * len(layers)
    for plane in range(max(wanted, default=0)):
        for position, layer in enumerate(layers):
            if kept[position] == plane < wanted[position] and layer.weights <= room:
                kept[position] += 1
                room -= layer.weights
    return tuple(kept)


def everything_fits(layers: Sequence[Layer], buffers: Buffers) -> bool:
    """Return whether the weight buffer holds every plane of every layer."""
    return sum(layer.weights * _most_bits(layer) for layer in layers if not layer.gather) <= buffers.weight_bits


def _most_bits(layer: Layer) -> int:
    return max(widths.weight for widths in layer.allowed)
