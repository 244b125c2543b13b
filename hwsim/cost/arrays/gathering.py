"""What an array does in a sparse aggregation: each target is a product of a row of coefficients with its messages.

The messages of a target's k edges are gathered into an operand buffer, and multiplied as a dense matrix: (1 x k) by
(k x elements of a message), head by head, which any array that multiplies matrices can do. Row-wise products are how
GROW (Hwang et al., "GROW: A Row-Stationary Sparse-Dense GEMM Accelerator for Memory-Efficient Graph Convolutional
Neural Networks", HPCA 2023, arXiv 2203.00158) and others aggregate. An array that computes several rows of results at
once has work for one: targets share no sources. Targets with equally many edges are counted, not walked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bitmixer.graph import Layer
from hwsim.cost.arrays.base import ArrayModel, Int64Array, LayerShapes


def gathering_work(
    array: ArrayModel, layers: Sequence[Layer], weight_bits: Int64Array, activation_bits: Int64Array
) -> tuple[Int64Array, Mapping[str, Int64Array]]:
    """Return the array's cycles and action counts of aggregations, [layer, ...] with the axes of the bits.

    Args:
        array: The array.
        layers: Layers with a ``gather``.
        weight_bits: Width of coefficients.
        activation_bits: Width of messages; both broadcast against each other, without an axis for layers.
    """
    shapes, owner, times = _rows(layers, axes=max(weight_bits.ndim, activation_bits.ndim))

    def total(values: Int64Array) -> Int64Array:
        shape = np.broadcast_shapes(values.shape, (1,), weight_bits.shape, activation_bits.shape)
        summed = np.zeros((len(layers), *shape[1:]), dtype=np.int64)
        np.add.at(summed, owner, np.broadcast_to(values * times, shape))
        return summed

    cycles = total(array.compute_cycles(shapes, weight_bits, activation_bits))
    counts = array.action_counts(shapes, weight_bits, activation_bits)
    return cycles, {action: total(np.asarray(count)) for action, count in counts.items()}


def with_sites(values: Int64Array, sites: Sequence[int], own: Int64Array) -> Int64Array:
    """Return values [site, ...] with those of some sites in their place."""
    changed = np.broadcast_to(values, (len(values), *own.shape[1:])).copy()
    changed[list(sites)] = own
    return changed


def _rows(layers: Sequence[Layer], axes: int) -> tuple[LayerShapes, Int64Array, Int64Array]:
    """Return the dense products of every kind of target, whose layer each is, and how often it is computed."""
    table = []
    for owner, layer in enumerate(layers):
        assert layer.gather is not None
        gather = layer.gather
        elements = gather.message_elements // gather.heads
        table += [(owner, edges, elements, targets * gather.heads) for edges, targets in gather.fan_in]
    owner, edges, elements, times = np.array(table, dtype=np.int64).T
    spread = (-1, *(1,) * axes)
    one = np.ones_like(edges).reshape(spread)
    shapes = LayerShapes(
        names=tuple(layers[each].name for each in owner), input_channels=edges.reshape(spread), output_channels=one,
        kernel_height=one, kernel_width=one, stride_height=one, stride_width=one, groups=one, input_height=one,
        input_width=elements.reshape(spread), output_height=one, output_width=elements.reshape(spread),
        is_dilated=np.zeros(one.shape, dtype=np.bool_), reads_network_input=np.zeros(one.shape, dtype=np.bool_),
        inputs_per_frame=1,
    )  # fmt: skip
    return shapes, owner, times.reshape(spread)
