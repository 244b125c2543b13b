"""A network that is being written: what its writers share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from bitmixer.capturing import shapes_of
from bitmixer.interchange.onnx_writer import OnnxWriter, Shape
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.operations import is_size, tensor_operands
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

    def codes(self, node: fx.Node, name: str, quantizer: StepQuantizer) -> str:
        """Write the rounding of a node's operand to the codes of a quantiser."""
        source = tensor_operands(node)[0]
        shape = self.shape(source)
        divided = self.by_constant("Div", self.tensors[source], f"{name}.step", quantizer.step(), shape)
        return self.writer.quantise(divided, f"{name}.codes", shape, bits=quantizer.bits, signed=quantizer.signed)
