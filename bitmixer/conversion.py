"""Any ``nn.Module`` -> its meta-quantized twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx, nn

from bitmixer.absorption import absorb_relus, thin_stored_tensors
from bitmixer.bitwidths import BitWidths, NormKey, checked_bits
from bitmixer.layers import ExactAverage, MixedConvolution, MixedLinear, Site, StoredTensor, TransitionalNorm
from bitmixer.network import ANY, MetaQuantizedNetwork
from bitmixer.operations import is_add, is_average, is_size, module_of, tensor_operands, tensor_users
from bitmixer.quantizers import Granularity, Quantization, QuantizerName
from bitmixer.structure import Structure, analyse, is_never_negative, leads_to
from bitmixer.tracing import trace

PINNED = BitWidths(8, 8)
"""Widths of the first and the last layer, which no controller can change."""


def convert(
    model: nn.Module,
    bits: Sequence[int] = (2, 3, 4, 8),
    *,
    tied: bool = True,
    norm: NormKey = "transition",
    pin_first_and_last: bool = True,
    residual_bits: int = 8,
    signed_input: bool = True,
    quantizer: QuantizerName = "nested",
    granularity: Granularity = "tensor",
) -> MetaQuantizedNetwork:
    """Return the meta-quantized twin of a network; the original is left alone.

    With its quantisers off (as it is returned) the twin equals the original bit for bit.

    Args:
        model: Any module made of convolution, linear, batch-norm, ReLU, pooling, addition and reshaping.
        bits: Widths that a layer can take.
        tied: Whether a layer's weights and activations share one width; else every pair is allowed.
        norm: What chooses a norm: ``transition`` (the bits of its producer's weights and its key consumer's
            activations), ``producer`` (its producer's alone) or ``shared`` (nothing; one norm for all).
        pin_first_and_last: Keep the first and the last layer at 8 bits.
        residual_bits: Width of tensors that wait in memory for a shortcut or a join.
        signed_input: Whether the network's input can be negative.
        quantizer: ``nested`` (one set of codes for all widths), ``lsq`` (independent steps per width) or ``dorefa``
            (DoReFa weights, PACT activations); see ``docs/quantizers.md``.
        granularity: Weight steps per ``tensor`` or per output ``channel``.

    Raises:
        UnsupportedNetworkError: An operation is not supported; the message says where it stands.
        BitWidthError: ``bits`` is empty or holds a width outside 1..8.
        QuantizerError: The quantiser or the granularity is unknown.
    """
    widths = checked_bits(bits)
    quantization = Quantization(quantizer=quantizer, granularity=granularity)
    body = trace(model)
    structure = analyse(body.graph)
    pairs = tuple(BitWidths(weight, activation) for weight in widths for activation in widths)
    allowed = {
        site: tuple(pair for pair in pairs if pair.weight == pair.activation or not tied) for site in structure.sites
    }
    if pin_first_and_last:
        allowed[structure.sites[0]] = allowed[structure.sites[-1]] = (PINNED,)
    for site in structure.sites:
        signed = not is_never_negative(tensor_operands(site)[0], signed_input=signed_input)
        options = {"signed_input": signed, "quantization": quantization}
        _replace(body, site, _mixed(module_of(site), allowed[site], **options))
    keys = {node: _key(pair, norm) for node, pair in structure.norm_keys.items()}
    for node, (producer, consumer) in keys.items():
        original = module_of(node)
        assert isinstance(original, nn.BatchNorm1d | nn.BatchNorm2d)
        consumer_bits = [ANY] if consumer is None else sorted({pair.activation for pair in allowed[consumer]})
        producer_bits = [ANY] if producer is None else sorted({pair.weight for pair in allowed[producer]})
        _replace(body, node, TransitionalNorm(original, producer_bits, consumer_bits))
    _store_tensors(body, structure, residual_bits, signed_input=signed_input)
    _wrap_averages(body)
    absorb_relus(body)
    thin_stored_tensors(body)
    body.graph.lint()
    body.recompile()
    transitions = {str(node.target): (_name(producer), _name(consumer)) for node, (producer, consumer) in keys.items()}
    network = MetaQuantizedNetwork(
        body,
        sites=[str(site.target) for site in structure.sites],
        transitions=transitions,
        bits=widths,
        tied=tied,
        residual_bits=residual_bits,
        signed_input=signed_input,
        quantization=quantization,
    )
    return network.train(model.training)


def _key(neighbours: tuple[fx.Node, fx.Node | None], norm: NormKey) -> tuple[fx.Node | None, fx.Node | None]:
    """Return the producer and the key consumer whose bits choose a norm, ``None`` for one that does not count."""
    producer, consumer = neighbours
    return None if norm == "shared" else producer, consumer if norm == "transition" else None


def _name(site: fx.Node | None) -> str | None:
    return None if site is None else str(site.target)


def _mixed(original: nn.Module | None, allowed: tuple[BitWidths, ...], **options: Any) -> Site:
    if isinstance(original, nn.Conv1d | nn.Conv2d):
        return MixedConvolution(original, allowed, **options)
    assert isinstance(original, nn.Linear)
    return MixedLinear(original, allowed, **options)


def _replace(body: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    parent, _, name = str(node.target).rpartition(".")
    setattr(body.get_submodule(parent), name, module)


def _wrap_averages(body: fx.GraphModule) -> None:
    for node in list(body.graph.nodes):
        if not is_average(node):
            continue
        if node.op == "call_module":
            original = module_of(node)
            assert original is not None
            _replace(body, node, ExactAverage(original))
            continue
        function = _mean_method if node.op == "call_method" else node.target
        body.add_submodule(node.name, ExactAverage(function))
        with body.graph.inserting_before(node):
            wrapped = body.graph.call_module(node.name, node.args, node.kwargs)
        node.replace_all_uses_with(wrapped)
        body.graph.erase_node(node)


def _mean_method(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return x.mean(*args, **kwargs)


def _store_tensors(body: fx.GraphModule, structure: Structure, bits: int, *, signed_input: bool) -> None:
    """Insert the rounding of tensors that wait in memory."""

    def store(node: fx.Node, users: Sequence[fx.Node]) -> None:
        name = f"{node.name}_stored"
        signed = not is_never_negative(node, signed_input=signed_input)
        body.add_submodule(name, StoredTensor(bits, signed=signed))
        with body.graph.inserting_after(node):
            stored = body.graph.call_module(name, (node,))
        for user in users:
            user.replace_input_with(node, stored)

    graph_nodes = [node for node in body.graph.nodes if not is_size(node)]
    waiting = [
        (operand, add)
        for add in graph_nodes
        if is_add(add)
        for operand in tensor_operands(add)
        if structure.waits(operand, add)
    ]
    for node in graph_nodes:
        users = tensor_users(node)
        key = structure.key_consumer.get(node)
        others = [user for user in users if key is None or not leads_to(user, key)]
        if len(users) > 1 and others:
            store(node, others)
    for operand, add in waiting:
        store(operand, [add])
