"""One node of an ONNX graph, as its operator's reader sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import onnx
from torch import Tensor, nn

from bitmixer.errors import InterchangeError
from bitmixer.interchange.constants import Constant
from bitmixer.interchange.module_builder import ModuleBuilder, Source
from bitmixer.interchange.onnx_file import OnnxFile, attributes_of, name_of
from bitmixer.interchange.values import Value

Operand = Value | Constant


class Operation:
    """An ONNX node with its operands.

    Args:
        node: The node.
        operands: Its operands, in order; ``None`` where an optional one is left out.
        file: The file that it stands in.
        builder: The network under construction.
    """

    def __init__(
        self, node: onnx.NodeProto, operands: Sequence[Operand | None], file: OnnxFile, builder: ModuleBuilder
    ) -> None:
        self.node = node
        self.operands = operands
        self.builder = builder
        self._file = file

    @property
    def name(self) -> str:
        """The node's name."""
        return name_of(self.node)

    @property
    def opset(self) -> int:
        """Version of the standard operators."""
        return int(self._file.opset.version)

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The node's attributes."""
        return attributes_of(self.node)

    def attribute(self, name: str, default: Any) -> Any:
        """Return an attribute, or what the standard says where it is left out."""
        return self.attributes.get(name, default)

    def error(self, problem: str) -> InterchangeError:
        """Return an error that says where the node stands."""
        return self._file.error(self.node, problem)

    def operand(self, position: int) -> Operand:
        """Return an operand, which must be there."""
        found = self.operands[position] if position < len(self.operands) else None
        if found is None:
            raise self.error(f"has no operand {position + 1}")
        return found

    def value(self, position: int = 0) -> Value:
        """Return an operand that depends on the network's input; its scale is the caller's business."""
        found = self.operand(position)
        if isinstance(found, Constant):
            raise self.error(f"operand {position + 1} is a constant; expected a tensor that the network computes")
        return found

    def plain(self, position: int = 0) -> Value:
        """Return an operand that depends on the network's input, multiplied with its scale."""
        return self.builder.unscaled(self.value(position))

    def constant(self, position: int) -> Constant:
        """Return an operand that must be a constant."""
        found = self.operand(position)
        if isinstance(found, Value):
            raise self.error(f"operand {position + 1} is computed by the network; expected a constant")
        return found

    def optional(self, position: int) -> Constant | None:
        """Return a constant, or ``None`` where it is left out."""
        is_given = position < len(self.operands) and self.operands[position] is not None
        return self.constant(position) if is_given else None

    def axis(self, axis: int, rank: int) -> int:
        """Return an axis counted from the front; it must exist and not be the batch's."""
        if not -rank < axis < rank or axis == 0:
            raise self.error(f"along axis {axis} of a tensor of rank {rank}; expected one from 1 to {rank - 1}")
        return axis % rank

    def module(self, module: nn.Module, x: Value, sources: Mapping[str, Source] | None = None) -> Value:
        """Append a module under the node's name."""
        return self.builder.call_module(self.name, module, x, sources)

    def function(self, function: Callable[..., Tensor], *arguments: Any, **keywords: Any) -> Value:
        """Append a function."""
        return self.builder.call(function, *arguments, **keywords)
