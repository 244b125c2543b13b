"""An ONNX or QONNX file -> an ``nn.Module``, or at once the layer graph of the network in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch
from torch import fx

from bitmixer.bitwidths import MAX_BITS, BitWidths
from bitmixer.capturing import capture
from bitmixer.conversion import convert
from bitmixer.errors import BitmixerError, InterchangeError, UnsupportedNetworkError, did_you_mean
from bitmixer.graph import Layer, LayerGraph
from bitmixer.interchange.constants import FOLDED, Constant, filled, folded, known, stored
from bitmixer.interchange.module_builder import ModuleBuilder
from bitmixer.interchange.onnx_file import STANDARD_DOMAINS, OnnxFile, attributes_of
from bitmixer.interchange.readers import QUANTISERS, STANDARD, Operand, Operation, Reader
from bitmixer.interchange.readers.quantisers import DOMAINS as QUANTISER_DOMAINS
from bitmixer.interchange.values import Value

UNQUANTISED_BITS = MAX_BITS
"""Width of one operand of a site where the file quantises only the other: the widest, which flatters nothing."""


def from_onnx(path: str | Path, *, input_shape: Sequence[int] | None = None) -> fx.GraphModule:
    """Return the network in an ONNX or QONNX file, with its weights, in evaluation mode.

    It takes float tensors and can be given to :func:`bitmixer.conversion.convert`. Constants that a ``Quant`` rounds
    are rounded; the quantisers of activations are left out, since conversion puts its own in their place.

    Args:
        path: The file; external data lies beside it.
        input_shape: Shape of one input, without the batch [what the file says].

    Raises:
        InterchangeError: Not an ONNX file, or it holds something that cannot be read; the message names the node.
        MissingExtraError: The extra ``onnx`` is not installed.
    """
    reader = _Reader(OnnxFile(path), input_shape)
    network = reader.network
    try:
        reader.builder.load(network)
    except InterchangeError as error:
        prefix = "" if str(error).startswith(str(path)) else f"{path}: "
        raise InterchangeError(f"{prefix}{error}") from None
    return network


def graph_from_onnx(
    path: str | Path, bits: Sequence[int] = (2, 3, 4, 8), *, input_shape: Sequence[int] | None = None
) -> LayerGraph:
    """Return the layer graph of the network in an ONNX or QONNX file; reads no weights.

    Sites that the file quantises are pinned at its widths; where it quantises only one operand of a site, the other
    has 8 bits. All others can take ``bits``, the first and the last layer 8 bits.

    Args:
        path: The file.
        bits: Widths that a site can take which the file does not quantise.
        input_shape: Shape of one input, without the batch [what the file says].

    Raises:
        InterchangeError: Not an ONNX file, or it holds something that cannot be read; the message names the node.
        BitWidthError: ``bits`` is empty or holds a width outside 2..8.
        MissingExtraError: The extra ``onnx`` is not installed.
    """
    reader = _Reader(OnnxFile(path), input_shape)
    try:
        network = convert(
            reader.network, bits, residual_bits=reader.residual_bits, affine_without_norm=reader.can_switch
        )
        graph = capture(network, reader.builder.input.tensor, name=Path(path).stem)
    except UnsupportedNetworkError as error:
        raise InterchangeError(f"{path}: {error}") from None
    return dataclasses.replace(graph, layers=tuple(reader.pinned(layer) for layer in graph.layers))


class _Reader:
    """Reads a file's nodes, one after the other.

    Args:
        file: The file.
        input_shape: Shape of one input [what the file says].
    """

    def __init__(self, file: OnnxFile, input_shape: Sequence[int] | None) -> None:
        self._file = file
        self.builder = ModuleBuilder((file.batch, *file.input_shape(input_shape)))
        self._tensors: dict[str, Operand | None] = {"": None}  # the empty name stands for an operand left out
        for tensor in file.graph.initializer:
            self._tensors[tensor.name] = stored(tensor, file.path)
        self._keep(file.input.name, self.builder.input)
        for node in file.graph.node:
            self._read(node)
        self.network = self.builder.finish(self._result())

    @property
    def residual_bits(self) -> int:
        """The largest width of tensors that wait for an addition."""
        return max(self.builder.stored_widths, default=MAX_BITS)

    @property
    def can_switch(self) -> bool:
        """Whether the file leaves the bits of some layer open."""
        return (None, None) in self.builder.file_widths.values()

    def pinned(self, layer: Layer) -> Layer:
        """Return a site with the file's widths, where it has any."""
        given = self.builder.file_widths[layer.name]
        if given == (None, None):
            return layer
        weight, activation = (UNQUANTISED_BITS if bits is None else bits for bits in given)
        for bits in (weight, activation):
            if bits > MAX_BITS:
                raise InterchangeError(
                    f"{self._file.path}: layer {layer.name!r} has {bits} bits; expected at most {MAX_BITS}, the most "
                    "that the array's layers can take"
                )
        return dataclasses.replace(layer, allowed=(BitWidths(weight, activation),))

    def _read(self, node: onnx.NodeProto) -> None:
        missing = [name for name in node.input if name not in self._tensors]
        if missing:
            raise self._file.error(node, f"reads {missing[0]!r}, which nothing before it computes; export it again")
        try:
            results = self._results(node, [self._tensors[name] for name in node.input])
        except BitmixerError:
            raise
        except Exception as error:  # whatever torch and onnx raise where a malformed node's sizes or types do not fit
            raise self._file.error(node, " ".join(str(error).split()) or type(error).__name__) from None
        for name, result in zip(node.output, results, strict=False):  # a dropout's mask has no reader
            self._keep(name, result)

    def _results(self, node: onnx.NodeProto, operands: list[Operand | None]) -> tuple[Operand, ...]:
        constants = {name: given for name, given in zip(node.input, operands, strict=True) if given is not None}
        if node.op_type == "Constant":
            return (_constant(node),)
        if node.op_type in FOLDED and all(isinstance(given, Constant) for given in constants.values()):
            return (self._folded(node, constants),)  # type: ignore[arg-type]
        result = self._reader(node)(Operation(node, operands, self._file, self.builder))
        return result if isinstance(result, tuple) else (result,)

    def _folded(self, node: onnx.NodeProto, operands: Mapping[str, Constant]) -> Constant:
        if node.op_type == "ConstantOfShape":
            value = attributes_of(node).get("value")
            fill = onnx.numpy_helper.to_array(value) if value is not None else torch.zeros(1).numpy()
            return filled(tuple(operands[node.input[0]].value.tolist()), fill)
        bits = next((constant.bits for constant in operands.values() if constant.bits is not None), None)
        return dataclasses.replace(folded(node, operands, self._file.opset), bits=bits)

    def _reader(self, node: onnx.NodeProto) -> Reader:
        if node.domain in QUANTISER_DOMAINS and node.op_type in QUANTISERS:
            return QUANTISERS[node.op_type]
        if node.domain not in STANDARD_DOMAINS:
            raise self._file.error(
                node,
                f"of domain {node.domain!r}; expected a standard operator, or a quantiser of {QUANTISER_DOMAINS[0]!r}",
            )
        if node.op_type not in STANDARD:
            raise self._file.error(node, f"cannot be read: {did_you_mean(node.op_type, STANDARD)}")
        return STANDARD[node.op_type]

    def _keep(self, name: str, result: Operand) -> None:
        if isinstance(result, Value) and self._file.readers[name] > 1:
            result = dataclasses.replace(result, exclusive=False)
        self._tensors[name] = result

    def _result(self) -> Value:
        result = self._tensors.get(self._file.output)
        if not isinstance(result, Value):
            raise InterchangeError(
                f"{self._file.path}: output {self._file.output!r} does not depend on the input; export it again"
            )
        return result


def _constant(node: onnx.NodeProto) -> Constant:
    (attribute,) = node.attribute
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return stored(value, Path())
    return known(torch.tensor(value).numpy())
