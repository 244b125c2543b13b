"""What every value-dependent array answers: the cycles of one layer for given weights and activations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer, LayerGraph
from bitmixer.operands import SiteOperands
from hwsim.cost.arrays.base import ArrayModel, Int64Array, LayerShapes
from hwsim.errors import ConfigurationError

Integers = NDArray[np.integer]


@runtime_checkable
class ValueArray(ArrayModel, Protocol):
    """How one kind of array spends cycles on values; an implementation is a frozen dataclass of its parameters.

    As an ``ArrayModel`` it answers with its bound: cycles and action counts if no value lets anything be skipped.

    Attributes:
        reads_activations: Whether cycles depend on activations; otherwise on weights alone, the same for all inputs.
    """

    reads_activations: ClassVar[bool]

    def cycles(self, layer: Layer, operands: SiteOperands) -> Int64Array:
        """Return for how many cycles each input occupies the array, memory never late; shape (inputs,).

        Raises:
            ConfigurationError: The operands are not of this layer's shape and widths.
        """
        ...

    def cycle_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return the part of the action counts that shrinks in proportion with the cycles; the rest stays."""
        ...


def bound_cycles(array: ArrayModel, layer: Layer, widths: BitWidths) -> int:
    """Return the cycles of one input if no value lets anything be skipped; never exceeded at these widths."""
    shapes = LayerShapes.of([layer], inputs_per_frame=1, trailing_axes=0)
    return int(array.compute_cycles(shapes, np.array([widths.weight]), np.array([widths.activation]))[0])


def network_cycles(array: ValueArray, graph: LayerGraph, operands: Iterable[SiteOperands]) -> Int64Array:
    """Return the cycles of each site for each input, shape (sites, inputs); a sum over sites is a network's.

    Args:
        array: The array.
        graph: The network that the operands come from.
        operands: Of every site, in any order, all for the same inputs.

    Raises:
        ConfigurationError: A site's operands are missing, given twice, or not of its shape.
        UnknownSiteError: Operands are of a site that the network does not have.
    """
    cycles: dict[str, Int64Array] = {}
    for found in operands:
        if found.site in cycles:
            raise ConfigurationError(f"site {found.site!r} has operands twice: give each site's once")
        cycles[found.site] = array.cycles(graph[found.site], found)
    missing = [layer.name for layer in graph.layers if layer.name not in cycles]
    if missing:
        raise ConfigurationError(f"no operands of {', '.join(missing)}: give those of every site of {graph.network}")
    return np.stack([cycles[layer.name] for layer in graph.layers])


def check_shapes(layer: Layer, operands: SiteOperands) -> None:
    """Check that operands have the shapes of a layer.

    Raises:
        ConfigurationError: They have others.
    """
    kernel = layer.kernel_height, layer.kernel_width
    weights = (layer.output_channels, layer.input_channels // layer.groups, *kernel)
    activations = (layer.input_channels, layer.input_height, layer.input_width)
    for what, found, expected in (
        ("weights", operands.weights.shape, weights),
        ("activations of each input", operands.activations.shape[1:], activations),
    ):
        if found != expected:
            raise ConfigurationError(f"layer {layer.name!r}: {what} of shape {found}: expected {expected}")


def check_range(operands: SiteOperands, what: str, codes: Integers, low: int, high: int) -> None:
    """Check that codes of a site lie between two codes, both included.

    Raises:
        ConfigurationError: One does not.
    """
    if codes.size and not low <= codes.min() <= codes.max() <= high:
        found = f"from {codes.min()} to {codes.max()}"
        raise ConfigurationError(
            f"site {operands.site!r} at {operands.widths}: {what} {found}: expected {low} to {high}"
        )


def bit_length(magnitudes: Integers) -> Integers:
    """Return how many bits whole numbers from 0 need: 0 for 0, 1 for 1, 2 for 2 and 3."""
    exponents: Integers = np.frexp(magnitudes)[1]
    return exponents


def split(values: Integers, axis: int, size: int) -> Integers:
    """Return ``values`` with an axis cut into two, (parts, size); what the last part lacks is zero."""
    missing = -values.shape[axis] % size
    if missing:
        values = np.pad(values, [(0, missing if position == axis else 0) for position in range(values.ndim)])
    return values.reshape(*values.shape[:axis], -1, size, *values.shape[axis + 1 :])
