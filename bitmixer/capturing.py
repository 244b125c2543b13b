"""Network + example input -> LayerGraph."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, fx, nn

from bitmixer.conversion import convert
from bitmixer.errors import UnsupportedNetworkError
from bitmixer.graph import NETWORK_INPUT, Join, Layer, LayerGraph
from bitmixer.layers import MixedConvolution, Site
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.operations import (
    is_add,
    is_norm,
    is_relu,
    is_reshape,
    is_site,
    is_size,
    is_stored,
    module_of,
    place,
    tensor_operands,
)
from bitmixer.structure import Structure, analyse, fresh_root


class _Shapes(fx.Interpreter):
    """Runs the graph once and keeps the shape of every tensor."""

    def __init__(self, body: fx.GraphModule) -> None:
        super().__init__(body)
        self.shapes: dict[fx.Node, torch.Size] = {}

    def run_node(self, n: fx.Node) -> object:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n] = result.shape
        return result


def capture(model: nn.Module, example: Tensor, *, name: str = "") -> LayerGraph:
    """Return what hardware must know of a network: sites, shapes, traffic, joins.

    Args:
        model: A meta-quantized network, or any module that :func:`bitmixer.convert` takes.
        example: A batch of inputs; one is enough.
        name: Name of the network in the graph.

    Raises:
        UnsupportedNetworkError: An operation is not supported, or a layer's form is not (non-square strides).
    """
    network = model if isinstance(model, MetaQuantizedNetwork) else convert(model)
    structure = analyse(network.body.graph)
    shapes = _shapes(network, example)
    traffic = _Traffic(network.body.graph, structure, shapes)
    layers = tuple(_layer(site, structure, shapes, traffic) for site in structure.sites)
    joins = tuple(
        Join(
            name=node.name,
            operands=tuple(str(site.target) for site in structure.operands(node)),
            elements=_elements(shapes[node]),
        )
        for node in network.body.graph.nodes
        if is_add(node)
    )
    return LayerGraph(
        network=name or type(model).__name__,
        input_shape=tuple(example.shape[1:]),
        classes=layers[-1].output_channels,
        residual_bits=network.residual_bits,
        weight_codes=network.quantization.weight_codes,
        layers=layers,
        joins=joins,
    )


def _shapes(network: MetaQuantizedNetwork, example: Tensor) -> dict[fx.Node, torch.Size]:
    training = network.training
    network.eval()
    interpreter = _Shapes(network.body)
    try:
        with torch.no_grad():
            interpreter.run(example[:1])
    except (RuntimeError, ValueError) as error:
        raise UnsupportedNetworkError(
            f"an input of shape {tuple(example.shape)} does not fit the network: {str(error).splitlines()[0]}"
        ) from error
    finally:
        network.train(training)
    return interpreter.shapes


class _Traffic:
    """Elements that each site writes, reads and computes as its results drain."""

    def __init__(self, graph: fx.Graph, structure: Structure, shapes: dict[fx.Node, torch.Size]) -> None:
        self.stream_writes: dict[fx.Node | None, int] = defaultdict(int)
        self.residual_writes: dict[fx.Node | None, int] = defaultdict(int)
        self.residual_reads: dict[fx.Node | None, int] = defaultdict(int)
        self.vector_operations: dict[fx.Node | None, int] = defaultdict(int)
        for node in graph.nodes:
            if is_size(node) or node.op == "placeholder":
                continue
            drain = structure.drain[node]
            if is_site(node) and structure.is_key_consumer(node):
                source = tensor_operands(node)[0]
                self.stream_writes[structure.drain[source]] += _elements(shapes[source])
            elif node.op == "output":
                self.stream_writes[drain] += _elements(shapes[tensor_operands(node)[0]])
            elif is_stored(node):
                self.residual_writes[drain] += _elements(shapes[node])
            elif is_add(node):
                stored = [operand for operand in tensor_operands(node) if fresh_root(operand) is None]
                self.residual_reads[drain] += sum(_elements(shapes[operand]) for operand in stored)
                self.vector_operations[drain] += _elements(shapes[node])
            elif is_norm(node) or is_relu(node):
                self.vector_operations[drain] += _elements(shapes[node])
            elif not (is_site(node) or is_reshape(node)):  # a pool looks at every element of its operand
                self.vector_operations[drain] += _elements(shapes[tensor_operands(node)[0]])


def _layer(site: fx.Node, structure: Structure, shapes: dict[fx.Node, torch.Size], traffic: _Traffic) -> Layer:
    module = module_of(site)
    assert isinstance(module, Site)
    source = tensor_operands(site)[0]
    key_consumer = structure.key_consumer[site]
    return Layer(
        name=str(site.target),
        allowed=module.allowed,
        producers=tuple(str(feeder.target) for feeder in _feeding(site, structure)) or (NETWORK_INPUT,),
        consumers=tuple(str(other.target) for other in structure.sites if site in _feeding(other, structure)),
        key_consumer=None if key_consumer is None else str(key_consumer.target),
        is_key_consumer=structure.is_key_consumer(site),
        stream_write_elements=traffic.stream_writes[site],
        residual_write_elements=traffic.residual_writes[site],
        residual_read_elements=traffic.residual_reads[site],
        vector_operations=traffic.vector_operations[site],
        **_loop_dimensions(site, module, shapes[source], shapes[site]),  # type: ignore[arg-type]
    )


def _feeding(site: fx.Node, structure: Structure) -> tuple[fx.Node, ...]:
    """Return the sites whose results meet in a site's input."""
    node = tensor_operands(site)[0]
    while not (is_site(node) or is_add(node) or node.op == "placeholder"):
        node = tensor_operands(node)[0]
    if is_add(node):
        return structure.operands(node)
    return (node,) if is_site(node) else ()


def _loop_dimensions(
    site: fx.Node, module: Site, input_shape: torch.Size, output_shape: torch.Size
) -> dict[str, int | str]:
    if not isinstance(module, MixedConvolution):
        if len(input_shape) != 2:
            raise UnsupportedNetworkError(
                f"{place(site)}: {site.target}: a linear layer on a tensor of shape {tuple(input_shape)}; "
                "expected (batch, features): flatten it"
            )
        return {
            "kind": "linear", "input_channels": input_shape[-1], "output_channels": output_shape[-1],
            "kernel_height": 1, "kernel_width": 1, "stride": 1, "padding": 0, "groups": 1,
            "input_height": 1, "input_width": 1, "output_height": 1, "output_width": 1,
        }  # fmt: skip
    stride, padding, dilation = set(module.stride), set(module.padding), set(module.dilation)
    if len(stride) > 1 or len(padding) > 1 or dilation != {1}:
        raise UnsupportedNetworkError(
            f"{place(site)}: {site.target}: stride {module.stride}, padding {module.padding}, dilation "
            f"{module.dilation}: only equal strides and paddings without dilation have a cost model"
        )
    # A 1-d convolution is one over a map of height 1; its stride and padding act along the width.
    kernel, before, after = (
        (1, *sizes) if len(sizes) == 1 else tuple(sizes)
        for sizes in (module.weight.shape[2:], input_shape[2:], output_shape[2:])
    )
    return {
        "kind": "convolution",
        "input_channels": input_shape[1], "output_channels": output_shape[1],
        "kernel_height": kernel[0], "kernel_width": kernel[1],
        "stride": stride.pop(), "padding": padding.pop(), "groups": module.groups,
        "input_height": before[0], "input_width": before[1],
        "output_height": after[0], "output_width": after[1],
    }  # fmt: skip


def _elements(shape: torch.Size) -> int:
    """Return the elements per input (the first axis is the batch)."""
    return int(shape[1:].numel())
