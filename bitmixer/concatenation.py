"""The normal form of concatenations: each stands directly before its one reader, and nests in no other.

Hardware writes a concatenation piece by piece, in place. So whatever is done to the whole channel by channel (a
norm, an activation, a pool) is done to each piece, to the same bits: then every piece has a norm of its own,
keyed by the bits of its own producer, as everywhere else. A piece that several concatenations read (DenseNet)
is one tensor with several readers, of which one is its key consumer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import accumulate, pairwise

from torch import fx, nn
from torch.nn import functional as F

from bitmixer.operations import (
    calls,
    is_average,
    is_concatenation,
    is_elementwise,
    is_join,
    is_maximum,
    is_norm,
    is_reshape,
    is_site,
    is_size,
    is_stored,
    module_of,
    tensor_operands,
    tensor_users,
)
from bitmixer.vocabulary import AVERAGE_MODULES, BATCH_NORM_MODULES, MAXIMUM_MODULES

_POOLS = (
    F.avg_pool1d, F.avg_pool2d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.max_pool1d, F.max_pool2d,
    F.adaptive_max_pool1d, F.adaptive_max_pool2d,
)  # fmt: skip


def pieces(concatenation: fx.Node) -> list[fx.Node]:
    """Return what a concatenation puts side by side, constants included."""
    listed = concatenation.args[0] if concatenation.args else concatenation.kwargs["tensors"]
    assert isinstance(listed, list | tuple)
    return [piece for piece in listed if isinstance(piece, fx.Node)]


def normalise_concatenations(module: fx.GraphModule) -> None:
    """Merge nested concatenations, do to the pieces what is done to the whole, give each reader its own."""
    for node in list(module.graph.nodes):
        if is_concatenation(node):
            _merge(node)
            _push(module, node)
    for node in list(module.graph.nodes):
        if is_concatenation(node):
            _separate(module.graph, node)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()


def _axis(concatenation: fx.Node) -> int:
    axis = concatenation.kwargs.get("dim", concatenation.args[1] if len(concatenation.args) > 1 else 0)
    assert isinstance(axis, int)
    return axis


def _merge(node: fx.Node) -> None:
    merged: list[fx.Node] = []
    for piece in pieces(node):
        nested = is_concatenation(piece) and _axis(piece) == _axis(node)
        merged.extend(pieces(piece) if nested else [piece])
    node.args, node.kwargs = (merged, _axis(node)), {}


def _push(module: fx.GraphModule, node: fx.Node) -> None:
    sizes = [user for user in node.users if is_size(user)]
    for user in tensor_users(node):
        if not _is_channelwise(user, _axis(node)) or (sizes and _is_pool(user)):
            continue
        targets = _targets(module, user, pieces(node))
        if targets is None:
            continue
        assert callable(node.target)
        with module.graph.inserting_before(user):
            parts = [_dense(piece) for piece in pieces(node)]
            done = [_applied(user, target, node, part) for target, part in zip(targets, parts, strict=True)]
            whole = module.graph.call_function(node.target, (done, _axis(node)))
        whole.stack_trace = node.stack_trace
        user.replace_all_uses_with(whole)
        module.graph.erase_node(user)
        if not tensor_users(node):
            for size in sizes:
                size.replace_input_with(node, whole)
        _push(module, whole)


def _dense(piece: fx.Node) -> fx.Node:
    """Return a piece without gaps in memory, as the whole has none: torch's kernels round views otherwise."""
    return piece.graph.call_method("clone", (piece,)) if is_reshape(piece) else piece


def _applied(user: fx.Node, target: str, whole: fx.Node, piece: fx.Node) -> fx.Node:
    applied = user.graph.node_copy(user, lambda operand: piece if operand is whole else operand)
    if user.op == "call_module":
        applied.target = target
    return applied


def _is_channelwise(node: fx.Node, axis: int) -> bool:
    layer = module_of(node)
    if isinstance(layer, BATCH_NORM_MODULES):
        return axis == 1 or (axis == -3 and isinstance(layer, nn.BatchNorm2d))
    if isinstance(layer, nn.PReLU):
        return layer.num_parameters == 1
    if _is_pool(node):
        return axis == 1
    return is_elementwise(node) and len(node.all_input_nodes) == 1


def _is_pool(node: fx.Node) -> bool:
    return isinstance(module_of(node), (*AVERAGE_MODULES, *MAXIMUM_MODULES)) or calls(node, _POOLS)


def _targets(module: fx.GraphModule, user: fx.Node, parts: Sequence[fx.Node]) -> list[str] | None:
    """Return what to call for each piece; ``None`` where the channels of the pieces are not known."""
    norm = module_of(user)
    if not isinstance(norm, BATCH_NORM_MODULES):
        return [str(user.target)] * len(parts)
    sizes = _sizes(parts, norm.num_features)
    if sizes is None:
        return None
    names = [f"{user.target}_{position}" for position in range(len(parts))]
    for name, (start, end) in zip(names, pairwise(accumulate(sizes, initial=0)), strict=True):
        module.add_submodule(name, _slice_of(norm, start, end))
    return names


def _slice_of(norm: nn.BatchNorm1d | nn.BatchNorm2d, start: int, end: int) -> nn.Module:
    piece = copy.deepcopy(norm)
    piece.num_features = end - start
    for name in ("weight", "bias"):
        if getattr(norm, name) is not None:
            setattr(piece, name, nn.Parameter(getattr(norm, name).detach()[start:end].clone()))
    for name in ("running_mean", "running_var"):
        if getattr(norm, name) is not None:
            setattr(piece, name, getattr(norm, name)[start:end].clone())
    return piece


def _sizes(parts: Sequence[fx.Node], total: int) -> list[int] | None:
    """Return the channels of each piece; one that is not known is what remains of the total."""
    sizes = [_channels(part) for part in parts]
    if sizes.count(None) == 1:
        rest = total - sum(size for size in sizes if size is not None)
        sizes = [rest if size is None else size for size in sizes]
    known = [size for size in sizes if size is not None]
    return known if len(known) == len(sizes) and sum(known) == total and min(known) > 0 else None


def _channels(node: fx.Node) -> int | None:
    layer = module_of(node)
    if is_site(node):
        assert layer is not None
        weight = layer.weight
        assert isinstance(weight, nn.Parameter)
        return int(weight.shape[0])
    if isinstance(layer, BATCH_NORM_MODULES):
        return layer.num_features
    if is_concatenation(node):
        sizes = [_channels(piece) for piece in pieces(node)]
        return None if None in sizes else sum(size for size in sizes if size is not None)
    if (
        is_join(node)
        or is_elementwise(node)
        or is_average(node)
        or is_maximum(node)
        or is_norm(node)
        or is_stored(node)
    ):
        sizes = [_channels(operand) for operand in tensor_operands(node)]
        known = {size for size in sizes if size is not None and size > 1}
        return known.pop() if len(known) == 1 else None
    return None


def _separate(graph: fx.Graph, node: fx.Node) -> None:
    """Give each reader a concatenation of its own."""
    for user in tensor_users(node)[1:]:
        with graph.inserting_after(node):
            copied = graph.node_copy(node)
        user.replace_input_with(node, copied)
