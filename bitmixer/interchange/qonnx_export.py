"""A meta-quantized network under one assignment -> a QONNX file.

Source of the format: Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks",
arXiv 2206.07527. Every layer is written as the network computes it: both operands of a product are ``Quant`` to
*whole numbers* (scale 1), their sums are exact in float32, and one multiplication after the layer gives them their
value. So no executor's order of summation can turn a rounding, as it could between steps inside ``Quant``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from torch import fx

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import InterchangeError
from bitmixer.interchange.writers import WRITERS, Export
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.operations import data_flow, place, tensor_operands
from bitmixer.output_files import write_output

OPEN_BATCH = "batch"
"""Name of the batch axis where its size is left open."""


def export_qonnx(
    network: MetaQuantizedNetwork,
    assignment: Mapping[str, BitWidths],
    path: str | Path,
    *,
    input_shape: Sequence[int] | None = None,
    name: str = "network",
    batch: int | None = 1,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a network, frozen under an assignment, as QONNX.

    The file is complete (shapes included) and its executor gives the network's logits. Read it back with
    :func:`bitmixer.interchange.onnx_import.from_onnx`.

    Args:
        network: The network; its own assignment is left alone.
        assignment: Widths of every site.
        path: The file to write.
        input_shape: Shape of one input [that of the network's checkpoint].
        name: Name of the graph.
        batch: Size of the batch; ``None`` leaves it open, which the ``qonnx`` executor does not take.
        metadata: More properties to keep in the file, beside the assignment.

    Raises:
        UnknownSiteError: The assignment names a site that the network lacks, or lacks one.
        BitWidthError: A site does not allow its widths.
        OutputError: The file cannot be written.
        InterchangeError: No input shape is known, or an operation cannot be written.
        UnsupportedNetworkError: The input shape does not fit.
        MissingExtraError: The extra ``onnx`` is not installed.
    """
    shape = input_shape or network.input_shape
    if shape is None:
        raise InterchangeError(f"{path}: the network does not say what it takes: give input_shape=(channels, ...)")
    checked = BitAssignment(assignment).checked(network.sites)
    properties = {"bitmixer.network": name, "bitmixer.assignment": json.dumps(dict(checked)), **(metadata or {})}
    with _frozen(network, checked), torch.no_grad():
        model = _model(network, tuple(shape), OPEN_BATCH if batch is None else batch, name, properties)
    onnx.checker.check_model(model)
    write_output(Path(path), model.SerializeToString(deterministic=True))


@contextmanager
def _frozen(network: MetaQuantizedNetwork, assignment: BitAssignment) -> Iterator[None]:
    before = network.assignment
    network.assign(assignment)
    try:
        yield
    finally:
        network.assign(before)


def _model(
    network: MetaQuantizedNetwork, input_shape: tuple[int, ...], batch: int | str, name: str,
    properties: Mapping[str, str],
) -> onnx.ModelProto:  # fmt: skip
    export = Export(network, input_shape, batch)
    source, *nodes, output = data_flow(network.body.graph.nodes)
    export.tensors[source] = source.name
    for node in nodes:
        export.tensors[node] = _written(export, node)
    (result,) = tensor_operands(output)
    return export.writer.model(name, (source.name, export.shape(source)), export.tensors[result], properties)


def _written(export: Export, node: fx.Node) -> str:
    for is_kind, write in WRITERS:
        if is_kind(node):
            return write(export, node)
    raise InterchangeError(f"{place(node)}: {node.target}: this operation cannot be written as QONNX")
