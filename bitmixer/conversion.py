"""Any ``nn.Module`` -> its meta-quantized twin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, get_args

from torch import Tensor, fx, nn

from bitmixer.absorption import absorb_relus, thin_stored_tensors
from bitmixer.bitwidths import ENDS, BitAssignment, BitWidths, End, NormKey, WidthsLike, checked_bits, require_known
from bitmixer.description import describe
from bitmixer.errors import UnknownSiteError, UnsupportedNetworkError, did_you_mean
from bitmixer.layers import (
    Affine,
    ExactAttention,
    ExactAverage,
    ExactProduct,
    ExactReduction,
    ExactSoftmax,
    MixedConvolution,
    MixedLinear,
    Site,
    StoredTensor,
    TransitionalNorm,
)
from bitmixer.network import ANY, MetaQuantizedNetwork
from bitmixer.networks.module_form import ModuleForm
from bitmixer.operations import (
    data_flow,
    is_average,
    is_join,
    is_norm,
    is_site,
    is_slice,
    is_softmax,
    join_kind,
    module_of,
    tensor_operands,
    tensor_users,
)
from bitmixer.quantizers import Granularity, Quantization, QuantizerName
from bitmixer.structure import Structure, analyse, is_never_negative, leads_to, waiting_parts
from bitmixer.tracing import trace

PINNED = BitWidths(8, 8)
"""Widths of the first and the last layer, which no controller can change."""


def convert(
    model: nn.Module,
    bits: Sequence[int] = (2, 3, 4, 8),
    *,
    tied: bool = True,
    norm: NormKey = "transition",
    pinned: Collection[End] = ENDS,
    residual_bits: int = 8,
    signed_input: bool = True,
    quantizer: QuantizerName = "nested",
    granularity: Granularity = "tensor",
    affine_without_norm: bool = True,
    scheme: Mapping[str, WidthsLike] | None = None,
) -> MetaQuantizedNetwork:
    """Return the meta-quantized twin of a network; the original is left alone.

    With its quantisers off (as it is returned) the twin equals the original bit for bit.

    Args:
        model: Any module made of the operations that ``bitmixer.vocabulary`` lists.
        bits: Widths that a layer can take.
        tied: Whether a layer's weights and activations share one width; else every pair is allowed.
        norm: What chooses a norm: ``transition`` (the bits of its producer's weights and its key consumer's
            activations), ``producer`` (its producer's alone) or ``shared`` (nothing; one norm for all).
        pinned: Which of the ``first`` and the ``last`` layer are kept at 8 bits.
        residual_bits: Width of tensors that wait in memory for a shortcut or a join.
        signed_input: Whether the network's input can be negative.
        quantizer: ``nested`` (one set of codes for all widths), ``lsq`` (independent steps per width), ``dorefa``
            (DoReFa weights, PACT activations) or ``binary`` (``nested``
            with one bit as binary networks have it); see ``docs/quantizers.md``.
        granularity: Weight steps per ``tensor`` or per output ``channel``.
        affine_without_norm: Give a layer whose bits or whose consumer's bits switch, and behind which no norm
            stands, a transitional scale and shift (1 and 0 until they are trained).
        scheme: Widths of every site (by the name of its module), for a network that never changes them; ``tied`` and
            ``pinned`` do not count then.

    Raises:
        UnsupportedNetworkError: An operation is not supported (the message says where it stands), or ``norm`` or an
            end is unknown.
        BitWidthError: ``bits`` is empty or holds a width outside 1..8, or ``residual_bits`` is none.
        QuantizerError: The quantiser or the granularity is unknown.
        UnknownSiteError: The scheme names a site that the network has not, or leaves one out.
    """
    widths = checked_bits(bits)
    checked_bits([residual_bits])
    if norm not in get_args(NormKey):
        raise UnsupportedNetworkError(f"unknown norm {norm!r}: {did_you_mean(norm, get_args(NormKey))}")
    for end in pinned:
        if end not in ENDS:
            raise UnsupportedNetworkError(f"cannot pin {end!r}: {did_you_mean(end, ENDS)}")
    quantization = Quantization(quantizer=quantizer, granularity=granularity)
    body = trace(model)
    description = describe(body)
    structure = analyse(body.graph)
    pairs = tuple(BitWidths(weight, activation) for weight in widths for activation in widths)
    allowed = {
        site: tuple(pair for pair in pairs if pair.weight == pair.activation or not tied) for site in structure.sites
    }
    if scheme is not None:
        allowed = {site: (widths,) for site, widths in _fixed(scheme, structure).items()}
    else:
        for end in pinned:
            allowed[structure.sites[0 if end == "first" else -1]] = (PINNED,)
    if affine_without_norm:
        _insert_affines(body, structure, allowed)
        structure = analyse(body.graph)
    for site in structure.sites:
        signed = not is_never_negative(tensor_operands(site)[0], signed_input=signed_input)
        options = {"signed_input": signed, "quantization": quantization}
        _replace(body, site, _mixed(module_of(site), allowed[site], **options))
    keys = {node: _key(pair, norm) for node, pair in structure.norm_keys.items()}
    for node, (producer, consumer) in keys.items():
        original = module_of(node)
        assert original is not None
        _replace(body, node, TransitionalNorm(original, *_transitions(producer, consumer, allowed)))
    _store_tensors(body, structure, residual_bits, signed_input=signed_input)
    _wrap_reductions(body)
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
        form=ModuleForm(
            module=description, bits=widths, residual_bits=residual_bits, tied=tied, norm=norm, quantizer=quantizer,
            granularity=granularity, pinned=tuple(end for end in ENDS if end in pinned), signed_input=signed_input,
            affine_without_norm=affine_without_norm,
            scheme=None if scheme is None else dict(BitAssignment(scheme)),
        ),
    )  # fmt: skip
    return network.train(model.training)


def _fixed(scheme: Mapping[str, WidthsLike], structure: Structure) -> dict[fx.Node, BitWidths]:
    """Return the widths that a scheme gives each site."""
    names = {str(site.target): site for site in structure.sites}
    for name, widths in BitAssignment(scheme).items():
        require_known(name, names)
        checked_bits(widths)
    for name in names:
        if name not in scheme:
            raise UnknownSiteError(f"site {name!r} has no widths in this scheme: give every site widths")
    return {names[name]: widths for name, widths in BitAssignment(scheme).items()}


def _key(neighbours: tuple[fx.Node | None, fx.Node | None], norm: NormKey) -> tuple[fx.Node | None, fx.Node | None]:
    """Return the producer and the key consumer whose bits choose a norm, ``None`` for one that does not count."""
    producer, consumer = neighbours
    return None if norm == "shared" else producer, consumer if norm == "transition" else None


def _name(site: fx.Node | None) -> str | None:
    return None if site is None else str(site.target)


Allowed = Mapping[fx.Node, tuple[BitWidths, ...]]


def _transitions(producer: fx.Node | None, consumer: fx.Node | None, allowed: Allowed) -> tuple[list[int], list[int]]:
    """Return the weight bits before and the activation bits behind a norm."""
    before = [ANY] if producer is None else sorted({pair.weight for pair in allowed[producer]})
    behind = [ANY] if consumer is None else sorted({pair.activation for pair in allowed[consumer]})
    return before, behind


def _insert_affines(body: fx.GraphModule, structure: Structure, allowed: Allowed) -> None:
    for site in structure.sites:
        before, behind = _transitions(site, structure.key_consumer[site], allowed)
        if len(before) * len(behind) == 1 or not _lacks_norm(site):
            continue
        layer = module_of(site)
        assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)
        name = f"{site.target}_affine"
        affine_layer = Affine(layer.weight.shape[0], trailing_axes=layer.weight.dim() - 2)
        body.add_submodule(name, affine_layer.to(layer.weight.device))
        with body.graph.inserting_after(site):
            affine = body.graph.call_module(name, (site,))
        affine.stack_trace = site.stack_trace
        for user in [user for user in site.users if user is not affine]:
            user.replace_input_with(site, affine)


def _lacks_norm(site: fx.Node) -> bool:
    """Whether a way from a layer to the next, or to the output, passes no norm."""
    pending, seen = list(tensor_users(site)), set()
    while pending:
        node = pending.pop()
        if node in seen or is_norm(node):
            continue
        if is_site(node) or node.op == "output":
            return True
        seen.add(node)
        pending.extend(tensor_users(node))
    return False


def _mixed(original: nn.Module | None, allowed: tuple[BitWidths, ...], **options: Any) -> Site:
    if isinstance(original, nn.Conv1d | nn.Conv2d):
        return MixedConvolution(original, allowed, **options)
    assert isinstance(original, nn.Linear)
    return MixedLinear(original, allowed, **options)


def _replace(body: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    parent, _, name = str(node.target).rpartition(".")
    setattr(body.get_submodule(parent), name, module)


def _wrap_reductions(body: fx.GraphModule) -> None:
    for node in list(body.graph.nodes):
        wrapper = _wrapper(node)
        if wrapper is None:
            continue
        if node.op == "call_module":
            original = module_of(node)
            assert original is not None
            if not isinstance(original, ExactReduction):  # a module that is called twice is wrapped once
                _replace(body, node, wrapper(original))
            continue
        function: Any = getattr(Tensor, node.target) if isinstance(node.target, str) else node.target
        body.add_submodule(node.name, wrapper(function))
        with body.graph.inserting_before(node):
            wrapped = body.graph.call_module(node.name, node.args, node.kwargs)
        wrapped.stack_trace = node.stack_trace
        node.replace_all_uses_with(wrapped)
        body.graph.erase_node(node)


def _wrapper(node: fx.Node) -> Callable[[Callable[..., Tensor]], ExactReduction] | None:
    if is_average(node):
        return ExactAverage
    if is_softmax(node):
        return ExactSoftmax
    kind = join_kind(node)
    return {"matrix_product": ExactProduct, "attention": ExactAttention}.get(kind or "")


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

    nodes = data_flow(body.graph.nodes)
    waiting = [
        (part, reader)
        for join in nodes
        if is_join(join)
        for operand in tensor_operands(join)
        for part, reader in waiting_parts(operand) or [(operand, join)]
        if structure.waits(part, join)
    ]
    for node in nodes:
        users = tensor_users(node)
        key = structure.key_consumer.get(node)
        others = [
            user
            for user in users
            if (key is None or not leads_to(user, key)) and not structure.meets_itself(node, user)
        ]
        if len(users) > 1 and others:
            whole = [user for user in others if not is_slice(user)]
            if whole:
                store(node, whole)
            for part in others:
                if is_slice(part):  # only what is read again is kept
                    store(part, tensor_users(part))
    for operand, reader in waiting:
        store(operand, [reader])
