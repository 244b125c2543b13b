"""An ONNX file as it lies on disk: checked, with one tensor in and one out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from bitmixer.errors import InterchangeError

STANDARD_DOMAINS = ("", "ai.onnx")


class OnnxFile:
    """A model that was read from a file.

    Args:
        path: The file.

    Raises:
        InterchangeError: Missing, not ONNX, or not a network with one tensor in and one out.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._model = self._read()
        self.graph = self._model.graph
        self.initialisers = {tensor.name: tensor for tensor in self.graph.initializer}
        self.input = self._only([i for i in self.graph.input if i.name not in self.initialisers], "input")
        self.output = self._only(self.graph.output, "output").name

    @cached_property
    def opset(self) -> onnx.OperatorSetIdProto:
        """The version of the standard operators."""
        entry: onnx.OperatorSetIdProto
        for entry in self._model.opset_import:
            if entry.domain in STANDARD_DOMAINS:
                return entry
        raise InterchangeError(f"{self.path}: imports no version of the standard operators; export it again")

    @cached_property
    def readers(self) -> Counter[str]:
        """How many nodes (and outputs) read each tensor."""
        return Counter([name for node in self.graph.node for name in node.input] + [self.output])

    @property
    def batch(self) -> int:
        """Size of the batch for which the file was written; 1 where it is open."""
        sizes = self.input.type.tensor_type.shape.dim
        return (sizes[0].dim_value if sizes else 0) or 1

    def input_shape(self, given: Sequence[int] | None) -> tuple[int, ...]:
        """Return the shape of one input, without the batch.

        Args:
            given: What the caller says it is, for files that leave sizes open.

        Raises:
            InterchangeError: The file says nothing, or leaves a size open.
        """
        if given is not None:
            return tuple(given)
        sizes = self.input.type.tensor_type.shape.dim[1:]
        shape = tuple(size.dim_value for size in sizes)
        if not shape or not all(size > 0 for size in shape):
            said = ", ".join(size.dim_param.strip() or str(size.dim_value or "?") for size in sizes)
            raise InterchangeError(
                f"{self.path}: input {self.input.name!r} has shape (batch, {said}); expected a number for every size "
                "but the batch: export it with fixed sizes, or give input_shape=(...) to bitmixer.from_onnx"
            )
        return shape

    def error(self, node: onnx.NodeProto, problem: str) -> InterchangeError:
        """Return an error about a node, which says where it stands."""
        said = f"node {name_of(node)} ({node.op_type}): {problem}"
        return InterchangeError(f"{self.path}: {' '.join(said.split())}")  # names may hold whatever a file holds

    def _read(self) -> onnx.ModelProto:
        try:
            model = onnx.load_model(self.path, format="protobuf", load_external_data=False)
        except OSError as error:
            raise InterchangeError(f"{self.path}: cannot be read: {error.strerror}") from None
        except DecodeError:
            raise InterchangeError(f"{self.path}: not an ONNX file, or cut short; copy or export it again") from None
        if not model.graph.node:
            raise InterchangeError(f"{self.path}: holds no network: not an ONNX file, or an empty one; export it again")
        return model

    def _only(self, tensors: Sequence[onnx.ValueInfoProto], kind: str) -> onnx.ValueInfoProto:
        if len(tensors) != 1:
            names = ", ".join(repr(tensor.name) for tensor in tensors) or "none"
            raise InterchangeError(f"{self.path}: has {len(tensors)} {kind}s ({names}); expected one {kind}")
        return tensors[0]


def name_of(node: onnx.NodeProto) -> str:
    """Return a node's name, or its result's where it has none, or else its operator's."""
    return node.name or next(iter(node.output), "") or node.op_type


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes as Python values; texts are decoded."""
    found = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}
