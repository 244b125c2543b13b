"""A network that is being written: what its writers share."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx

from bitmixer.capturing import shapes_of
from bitmixer.errors import InterchangeError
from bitmixer.interchange.onnx_writer import OnnxWriter, Shape
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.operations import is_size, place, tensor_operands
from bitmixer.quantizers import StepQuantizer


class Export:
    """The graph so far, and what is known of the network's tensors.

    Args:
        network: The network, under its assignment.
        input_shape: Shape of one input.
        batch: Size of the batch, or the name of an open one.

    Attributes:
        writer: The graph under construction.
        sizes: Shapes of the network's tensors, for a batch of one.
        tensors: The names under which they are written.
    """

    def __init__(self, network: MetaQuantizedNetwork, input_shape: tuple[int, ...], batch: int | str) -> None:
        self.writer = OnnxWriter()
        self.batch = batch
        self._body = network.body
        device = network.sites[0].layer.weight.device
        self.sizes = shapes_of(network, torch.zeros(1, *input_shape, device=device))
        self.tensors: dict[fx.Node, str] = {}

    def shape(self, node: fx.Node) -> tuple[Any, ...]:
        """Return the shape of a tensor, with the batch of the file."""
        return (self.batch, *self.sizes[node][1:])

    def operands(self, node: fx.Node) -> tuple[str, ...]:
        """Return the names of a node's operands."""
        found: list[fx.Node] = []
        fx.node.map_arg((node.args, node.kwargs), found.append)  # one that stands twice (x + x) is found twice
        return tuple(self.tensors[operand] for operand in found if not is_size(operand))

    def plain(self, kind: str, node: fx.Node, **attributes: Any) -> str:
        """Write an operator that takes the node's operands and nothing else."""
        return self.writer.operation(kind, self.operands(node), node.name, self.shape(node), **attributes)

    def by_constant(self, kind: str, x: str, name: str, value: Tensor, shape: Shape) -> str:
        """Write the arithmetic of a tensor and a constant."""
        return self.writer.operation(kind, (x, self.constant(f"{name}_constant", value)), name, shape)

    def constant(self, name: str, value: Tensor) -> str:
        """Keep a tensor as a constant and return its name."""
        return self.writer.constant(name, value.detach().cpu().numpy())

    def value_of(self, node: fx.Node) -> Tensor:
        """Return a tensor that does not depend on the network's input: a parameter, or what is computed from such.

        Raises:
            InterchangeError: It depends on the size of the input.
        """
        if node.op == "get_attr":
            tensor: Tensor = operator.attrgetter(str(node.target))(self._body)
            return tensor
        if is_size(node):
            raise InterchangeError(f"{place(node)}: {node.target}: a constant that depends on a size has no QONNX form")
        arguments: Any = fx.node.map_arg(node.args, self.value_of)
        keywords: Any = fx.node.map_arg(node.kwargs, self.value_of)
        function: Any = getattr(Tensor, node.target) if isinstance(node.target, str) else node.target
        result: Tensor = function(*arguments, **keywords)
        return result

    def codes(self, node: fx.Node, name: str, quantizer: StepQuantizer) -> str:
        """Write the rounding of a node's operand to the codes of a quantiser."""
        source = tensor_operands(node)[0]
        shape = self.shape(source)
        divided = self.by_constant("Div", self.tensors[source], f"{name}.step", quantizer.step(), shape)
        return self.writer.quantise(divided, f"{name}.codes", shape, bits=quantizer.bits, signed=quantizer.signed)
