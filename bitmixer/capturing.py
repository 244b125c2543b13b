"""Network + example input -> LayerGraph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, fx, nn

from bitmixer.concatenation import pieces
from bitmixer.conversion import convert
from bitmixer.errors import UnsupportedNetworkError
from bitmixer.graph import NETWORK_INPUT, Join, Layer, LayerGraph
from bitmixer.layers import MixedConvolution, Site, TransitionalNorm
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.operations import (
    data_flow,
    is_average,
    is_concatenation,
    is_elementwise,
    is_join,
    is_maximum,
    is_norm,
    is_response_norm,
    is_site,
    is_softmax,
    is_stored,
    join_kind,
    module_of,
    tensor_operands,
    tensor_users,
)
from bitmixer.structure import Structure, analyse
from bitmixer.vocabulary import SAMPLE_NORM_MODULES

Shapes = dict[fx.Node, torch.Size]
SAMPLE_NORM_OPERATIONS = 2
"""Per element of a norm with statistics of each sample: gather them, apply them."""
SOFTMAX_OPERATIONS = 3
"""Per element: exponential, sum, division."""
RESPONSE_NORM_OPERATIONS = 3
"""Per element: add its square to a running sum, raise that to a power, divide."""


class _Shapes(fx.Interpreter):
    """Runs the graph once and keeps the shape of every tensor."""

    def __init__(self, body: fx.GraphModule) -> None:
        super().__init__(body)
        self.shapes: Shapes = {}

    def run_node(self, n: fx.Node) -> object:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n] = result.shape
        return result


def capture(model: nn.Module, example: Tensor, *, name: str = "") -> LayerGraph:
    """Return what hardware must know of a network: sites, shapes, traffic, joins.

    Args:
        model: A meta-quantized network, or any module that :func:`bitmixer.conversion.convert` takes.
        example: A batch of inputs; one is enough.
        name: Name of the network in the graph.

    Raises:
        UnsupportedNetworkError: An operation is not supported, or the example does not fit the network.
    """
    network = model if isinstance(model, MetaQuantizedNetwork) else convert(model)
    graph = network.body.graph
    structure = analyse(graph)
    shapes = shapes_of(network, example)
    traffic = _Traffic(graph, structure, shapes)
    writers = {site: structure.writers(tensor_operands(site)[0]) for site in structure.sites}
    joins = tuple(
        Join(
            name=node.name,
            kind=kind,
            operands=tuple(str(site.target) for site in structure.writers(node)),
            elements=shapes[node].numel(),
        )
        for node in graph.nodes
        if (kind := join_kind(node)) is not None
    )
    (result,) = graph.output_node().all_input_nodes
    return LayerGraph(
        network=name or type(model).__name__,
        input_shape=tuple(example.shape[1:]),
        classes=shapes[result][-1] if len(shapes[result]) < 4 else shapes[result][1],
        residual_bits=network.residual_bits,
        weight_codes=network.quantization.weight_codes,
        layers=tuple(_layer(site, writers, structure, shapes, traffic) for site in structure.sites),
        joins=joins,
    )


def shapes_of(network: MetaQuantizedNetwork, example: Tensor) -> Shapes:
    """Return the shape of every tensor for one input, so that its elements are those per input.

    Raises:
        UnsupportedNetworkError: The example does not fit the network.
    """
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

    def __init__(self, graph: fx.Graph, structure: Structure, shapes: Shapes) -> None:
        self._structure = structure
        self._shapes = shapes
        self.stream_writes: dict[fx.Node | None, int] = defaultdict(int)
        self.residual_writes: dict[fx.Node | None, int] = defaultdict(int)
        self.residual_reads: dict[fx.Node | None, int] = defaultdict(int)
        self.vector_operations: dict[fx.Node | None, int] = defaultdict(int)
        for node in data_flow(graph.nodes):
            if node.op == "output" or is_site(node):
                self._write_stream(node)
            elif is_stored(node) or is_join(node):
                read = sum(map(self.stored_elements, tensor_operands(node)))
                self.residual_reads[structure.drain[node]] += read
            if is_stored(node):
                self.residual_writes[structure.drain[node]] += shapes[node].numel()
            elif not (node.op in ("placeholder", "output") or is_site(node)):
                self.vector_operations[self._charged(node)] += _vector_operations(node, shapes)

    def stored_elements(self, tensor: fx.Node) -> int:
        """Return how many elements of a tensor come from stored copies."""
        share = sum((share for source, share in self._sources(tensor) if is_stored(source)), Fraction(0))
        return round(share * self._shapes[tensor].numel())

    def _write_stream(self, reader: fx.Node) -> None:
        tensor = tensor_operands(reader)[0]
        for source, share in self._sources(tensor):
            if reader.op == "output" or not is_stored(source):
                written = round(share * self._shapes[tensor].numel())
                self.stream_writes[self._structure.drain[source]] += written

    def _sources(self, node: fx.Node, share: Fraction = Fraction(1)) -> Iterator[tuple[fx.Node, Fraction]]:
        """Yield what a tensor is made of, with its share: stored copies, results of sites and of joins."""
        while not (_is_source(node) or is_concatenation(node)):
            node = tensor_operands(node)[0]
        if not is_concatenation(node):
            yield node, share
            return
        for piece in data_flow(pieces(node)):
            part = Fraction(self._shapes[piece].numel(), self._shapes[node].numel())
            yield from self._sources(piece, share * part)

    def _charged(self, node: fx.Node) -> fx.Node | None:
        """Return the site that an operation is charged to: where it drains, or what reads the stored copy or input."""
        source = node
        while not (_is_source(source) or is_concatenation(source)):
            source = tensor_operands(source)[0]
        if not (is_stored(source) or source.op == "placeholder"):
            return self._structure.drain[node]
        while not (is_site(node) or is_join(node) or node.op == "output"):
            node = tensor_users(node)[0]
        return self._structure.drain[node]


def _is_source(node: fx.Node) -> bool:
    return is_stored(node) or is_site(node) or is_join(node) or node.op == "placeholder"


def _vector_operations(node: fx.Node, shapes: Shapes) -> int:
    """Return the element operations of a node; pools look at every element of their operand."""
    if is_norm(node):
        layer = module_of(node)
        assert isinstance(layer, TransitionalNorm)
        of_samples = isinstance(next(iter(layer.norms.values())), SAMPLE_NORM_MODULES)
        return shapes[node].numel() * (SAMPLE_NORM_OPERATIONS if of_samples else 1)
    if is_join(node):
        return _join_operations(node, shapes)
    if is_softmax(node):
        return SOFTMAX_OPERATIONS * shapes[node].numel()
    if is_response_norm(node):
        return RESPONSE_NORM_OPERATIONS * shapes[node].numel()
    if is_average(node) or is_maximum(node):
        return shapes[tensor_operands(node)[0]].numel()
    return shapes[node].numel() if is_elementwise(node) else 0


def _join_operations(node: fx.Node, shapes: Shapes) -> int:
    kind, arguments = join_kind(node), [*node.args, *node.kwargs.values()]
    operands = [shapes[argument] for argument in arguments if isinstance(argument, fx.Node) and argument in shapes]
    if kind == "matrix_product":
        return shapes[node].numel() * operands[0][-1]
    if kind == "attention":
        query, key, value = operands[:3]
        return query[:-1].numel() * key[-2] * (query[-1] + SOFTMAX_OPERATIONS + value[-1])
    return shapes[node].numel()


def _layer(
    site: fx.Node,
    writers: Mapping[fx.Node, tuple[fx.Node, ...]],
    structure: Structure,
    shapes: Shapes,
    traffic: _Traffic,
) -> Layer:
    module = module_of(site)
    assert isinstance(module, Site)
    source = tensor_operands(site)[0]
    key_consumer = structure.key_consumer[site]
    producers = tuple(str(writer.target) for writer in writers[site])
    readers = (reader for reader in structure.sites if site in writers[reader])
    return Layer(
        name=str(site.target),
        allowed=module.allowed,
        producers=producers or (NETWORK_INPUT,),
        consumers=tuple(str(reader.target) for reader in readers),
        key_consumer=None if key_consumer is None else str(key_consumer.target),
        is_key_consumer=structure.is_key_consumer(site),
        residual_input_elements=traffic.stored_elements(source) if producers else 0,
        stream_write_elements=traffic.stream_writes[site],
        residual_write_elements=traffic.residual_writes[site],
        residual_read_elements=traffic.residual_reads[site],
        vector_operations=traffic.vector_operations[site],
        **_loop_dimensions(module, shapes[source], shapes[site]),
    )


def _loop_dimensions(module: Site, input_shape: torch.Size, output_shape: torch.Size) -> dict[str, Any]:
    if not isinstance(module, MixedConvolution):
        features, results = input_shape[-1], output_shape[-1]
        tokens = output_shape.numel() // results
        return {
            "kind": "linear", "input_channels": features, "output_channels": results,
            "kernel_height": 1, "kernel_width": 1, "stride": (1, 1), "padding": (0, 0), "groups": 1,
            "input_height": 1, "input_width": tokens, "output_height": 1, "output_width": tokens,
        }  # fmt: skip
    assert not isinstance(module.padding, str)  # tracing resolved it
    kernel, before, after = (_on_a_map(shape[2:], 1) for shape in (module.weight.shape, input_shape, output_shape))
    return {
        "kind": "convolution",
        "input_channels": input_shape[1], "output_channels": output_shape[1],
        "kernel_height": kernel[0], "kernel_width": kernel[1], "groups": module.groups,
        "stride": _on_a_map(module.stride, 1), "padding": _on_a_map(module.padding, 0),
        "dilation": _on_a_map(module.dilation, 1),
        "input_height": before[0], "input_width": before[1],
        "output_height": after[0], "output_width": after[1],
    }  # fmt: skip


def _on_a_map(sizes: tuple[int, ...], along_height: int) -> tuple[int, int]:
    """Return sizes along height and width; a 1-d convolution is one over a map of height 1."""
    height, width = sizes if len(sizes) == 2 else (along_height, *sizes)
    return height, width
