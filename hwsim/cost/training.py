"""What a step of training costs on a bit-serial array: three products per layer, of narrow floats, and the update.

An array that multiplies bit planes multiplies significands plane by plane: an operand of E5M2 has three planes (the
hidden bit and two of mantissa), one of float16 eleven; signs are multiplied aside. What is stored and moved has all
bits of the format. Serial significands, aligned in the processing element: Awad et al., "FPRaker", MICRO 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bitmixer.graph import NETWORK_INPUT, Layer
from bitmixer.quantizers.float_formats import E4M3, E5M2, FLOAT16, FloatFormat
from hwsim.cost.arrays import Bismo, Loom, Stripes
from hwsim.cost.arrays.base import ArrayModel, Int64Array, LayerShapes
from hwsim.cost.memory import Traffic
from hwsim.errors import ConfigurationError

ProductName = Literal["forward", "norm gradient", "input gradient", "weight gradient", "update"]
Learned = Literal["all", "norms_and_classifier"]
"""What a step changes: everything, or norms and the last layer, which leaves out most weights' gradients."""
MASTER_BITS, MOMENTUM_BITS = 16, 32
"""Of a weight that the optimiser changes, and of what it remembers of it."""
UPDATE_OPERATIONS = 5
"""Of the vector unit per weight: decay, momentum, step, and the two roundings that store master weight and copy."""
NORM_BACKWARD = 2
"""Element operations behind a layer, backward, for one forward: a norm has two sums over the batch, then the result."""
NORM_BITS = 32
"""Of a norm's scale or shift, of its gradient, and of the optimiser's momentum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """Numbers in which a layer multiplies.

    Attributes:
        forward: Weights and activations.
        backward: Errors and gradients.
    """

    forward: FloatFormat
    backward: FloatFormat


FORMATS = {
    "e5m2": Formats(forward=E5M2, backward=E5M2),
    "e4m3": Formats(forward=E4M3, backward=E4M3),
    "hybrid": Formats(forward=E4M3, backward=E5M2),
    "float16": Formats(forward=FLOAT16, backward=FLOAT16),
}
"""Numbers of a training, by the names of recipes; float16 beside them, to compare with."""
SERIAL = (Bismo, Loom, Stripes)
"""Arrays that multiply plane by plane; others hold whole numbers of their own forms, and no significands."""


def require_significands(array: ArrayModel) -> None:
    """Check that an array multiplies significands plane by plane.

    Raises:
        ConfigurationError: It does not.
    """
    if not isinstance(array, SERIAL):
        known = ", ".join(kind.name for kind in SERIAL)
        raise ConfigurationError(
            f"training: array {array.name} does not multiply significands plane by plane: choose one of {known}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A product of a training step, or the update, of one layer; sizes are those of the whole batch.

    Attributes:
        layer: The layer's name.
        product: Which part.
        operands: Formats of what the array multiplies; none for the update.
        products: The array's work, each a layer that has the same matrix product.
        inputs: Inputs of the batch that follow one another on the array.
        read_bits: From DRAM.
        write_bits: To DRAM.
        vector_operations: Element operations of the vector unit.
    """

    layer: str
    product: ProductName
    operands: tuple[FloatFormat, ...]
    products: tuple[Layer, ...]
    inputs: int
    read_bits: int
    write_bits: int
    vector_operations: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the batch."""
        return self.inputs * sum(layer.macs for layer in self.products)

    @property
    def traffic(self) -> Traffic:
        """What moves between chip and DRAM."""
        return Traffic(read_bits=np.array(self.read_bits), write_bits=np.array(self.write_bits))


def training_parts(
    layers: Sequence[Layer], formats: Mapping[str, Formats], inputs: int, learned: Learned = "all"
) -> Iterator[Part]:
    """Yield what a training step does, layer by layer: forward in the order of issue, then backward.

    Nothing stays on chip from one part to the next: a product reads both operands and writes its result. A layer's
    results are written twice forward, as what the next layer reads and as what its norm needs backward.

    Args:
        layers: The layers, in the order of issue.
        formats: Layer -> its numbers.
        inputs: Inputs of the batch.
        learned: What the step changes.
    """
    for layer in layers:
        yield _forward(layer, formats[layer.name], inputs)
    for layer in reversed(layers):
        learns_weights = learned == "all" or layer is layers[-1]
        if layer.vector_operations:
            yield _norm_gradient(layer, formats[layer.name], inputs)
        if NETWORK_INPUT not in layer.producers:  # nobody asks for the gradient of images
            yield _input_gradient(layer, formats[layer.name], inputs)
        if learns_weights:
            yield _weight_gradient(layer, formats[layer.name], inputs)
        yield _update(layer, formats[layer.name], layer.weights if learns_weights else 0)


def _outputs(layer: Layer) -> int:
    return layer.output_channels * layer.output_positions


def _forward(layer: Layer, formats: Formats, inputs: int) -> Part:
    bits = formats.forward.bits
    return Part(
        layer=layer.name, product="forward", operands=(formats.forward, formats.forward), products=(layer,),
        inputs=inputs, read_bits=bits * (layer.weights + inputs * layer.input_elements),
        write_bits=2 * bits * inputs * _outputs(layer), vector_operations=inputs * layer.vector_operations,
    )  # fmt: skip


def _norm_gradient(layer: Layer, formats: Formats, inputs: int) -> Part:
    """What lies behind a layer, backward: it reads what forward kept, and hands on errors."""
    bits, back = formats.forward.bits, formats.backward.bits
    results = inputs * _outputs(layer)
    return Part(
        layer=layer.name, product="norm gradient", operands=(), products=(), inputs=1,
        read_bits=(bits + back) * results, write_bits=back * results,
        vector_operations=NORM_BACKWARD * inputs * layer.vector_operations,
    )  # fmt: skip


def _input_gradient(layer: Layer, formats: Formats, inputs: int) -> Part:
    bits, back = formats.forward.bits, formats.backward.bits
    return Part(
        layer=layer.name, product="input gradient", operands=(formats.forward, formats.backward),
        products=tuple(_phases(layer)), inputs=inputs,
        read_bits=bits * layer.weights + back * inputs * _outputs(layer),
        write_bits=back * inputs * layer.input_elements, vector_operations=0,
    )  # fmt: skip


def _weight_gradient(layer: Layer, formats: Formats, inputs: int) -> Part:
    bits, back = formats.forward.bits, formats.backward.bits
    product = replace(
        layer, kind="linear", input_channels=layer.groups * inputs * layer.output_positions, kernel_height=1,
        kernel_width=1, stride=(1, 1), padding=(0, 0), dilation=(1, 1), input_height=1, input_width=layer.reduction,
        output_height=1, output_width=layer.reduction, producers=(),
    )  # fmt: skip
    return Part(
        layer=layer.name, product="weight gradient", operands=(formats.backward, formats.forward), products=(product,),
        inputs=1, read_bits=back * inputs * _outputs(layer) + bits * inputs * layer.input_elements,
        write_bits=back * layer.weights, vector_operations=0,
    )  # fmt: skip


def _update(layer: Layer, formats: Formats, weights: int) -> Part:
    """Of the weights that are learned, and of the norm behind the layer."""
    kept = MASTER_BITS + MOMENTUM_BITS
    norms = 2 * layer.output_channels if layer.vector_operations else 0
    return Part(
        layer=layer.name, product="update", operands=(), products=(), inputs=1,
        read_bits=weights * (formats.backward.bits + kept) + 3 * NORM_BITS * norms,
        write_bits=weights * (formats.forward.bits + kept) + 2 * NORM_BITS * norms,
        vector_operations=UPDATE_OPERATIONS * (weights + norms),
    )  # fmt: skip


def _phases(layer: Layer) -> Iterator[Layer]:
    """Yield the convolutions of errors that make the input's gradient.

    With a stride, an input position meets only the taps of its own phase: the rows and columns of the input fall into
    as many phases as the stride, each a convolution with the taps that reach it. No product with a zero is counted.
    """
    for rows, height in _taps(layer, 0):
        for columns, width in _taps(layer, 1):
            yield replace(
                layer, input_channels=layer.output_channels, output_channels=layer.input_channels,
                kernel_height=rows, kernel_width=columns, stride=(1, 1), padding=(0, 0), dilation=(1, 1),
                input_height=layer.output_height, input_width=layer.output_width,
                output_height=height, output_width=width, producers=(),
            )  # fmt: skip


def _taps(layer: Layer, axis: int) -> Iterator[tuple[int, int]]:
    """Yield, for each phase of an axis that some tap reaches, its taps and its positions."""
    kernel = (layer.kernel_height, layer.kernel_width)[axis]
    size = (layer.input_height, layer.input_width)[axis]
    stride, padding, dilation = layer.stride[axis], layer.padding[axis], layer.dilation[axis]
    for phase in range(stride):
        taps = sum(dilation * tap % stride == phase for tap in range(kernel))
        positions = len(range((phase - padding) % stride, size, stride))
        if taps and positions:
            yield taps, positions


def array_work(array: ArrayModel, part: Part) -> tuple[int, dict[str, int]]:
    """Return the cycles and the actions of a part on an array.

    Signs and exponents are read once per pass over the operands, beside the first planes of significands, and take no
    cycles of their own. :func:`alignment_macs` says what aligning a product costs.
    """
    if not part.products:
        return 0, {}
    first, second = (np.full(len(part.products), form.significand_bits, np.int64) for form in part.operands)
    shapes = LayerShapes.of(part.products, inputs_per_frame=part.inputs, trailing_axes=0)
    cycles = int(array.compute_cycles(shapes, first, second).sum())
    counts = {action: _sum(count) for action, count in array.action_counts(shapes, first, second).items()}
    one = np.ones_like(first)
    beside = max(form.bits - form.mantissa_bits for form in part.operands)  # sign and exponent
    counts["buffer_bit"] += beside * _sum(array.action_counts(shapes, one, one)["buffer_bit"])
    counts["binary_mac"] += part.macs * alignment_macs(*part.operands)
    return cycles, counts


def alignment_macs(first: FloatFormat, second: FloatFormat) -> int:
    """Return as how many products of bits the alignment of one product counts: 35 for E5M2.

    Assumed: an adder of the exponents' bits, and a shifter of as many stages as the exponent has bits, each as wide as
    the product of the significands. The range is a third (lanes share an exponent, as in FPRaker; the share is ours) to
    three times: what a float16 product and sum (1.1 and 0.4 pJ) cost above integers of 11 and 32 bits, at 3.1 fJ a
    product of bits in an 8-bit multiplication (0.2 pJ; Horowitz, ISSCC 2014, in profiles/energy/horowitz_45nm.yaml).
    """
    exponent = max(first.exponent_bits, second.exponent_bits)
    return exponent + exponent * (first.significand_bits + second.significand_bits)


def vector_cycles(part: Part, lanes: int) -> int:
    """Return the cycles of the vector unit."""
    return math.ceil(part.vector_operations / lanes)


def _sum(counts: Int64Array) -> int:
    return int(counts.sum())
