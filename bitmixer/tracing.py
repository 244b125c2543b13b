"""From any ``nn.Module`` to a torch.fx graph in which every operation is one that we understand."""

from __future__ import annotations

import copy
import traceback
from collections import Counter

import torch
from torch import fx, nn

from bitmixer.adoption import adopt_functional_layers, is_functional_layer
from bitmixer.description import DescribedModule
from bitmixer.errors import UnsupportedNetworkError
from bitmixer.layers import Site
from bitmixer.normal_form import divide_in_parts, normalise
from bitmixer.operations import (
    calls,
    innermost,
    is_average,
    is_concatenation,
    is_constant,
    is_elementwise,
    is_join,
    is_maximum,
    is_norm,
    is_reshape,
    is_response_norm,
    is_site,
    is_size,
    is_softmax,
    module_of,
    place,
    tensor_operands,
    tensor_users,
    writes_in_place,
)
from bitmixer.unfolding import unfold_attention
from bitmixer.vocabulary import ARITHMETIC, LEAVES, SUPPORTED

_UNTRACEABLE = (
    fx.proxy.TraceError, RuntimeError, TypeError, NameError, AttributeError, LookupError, ValueError, AssertionError,
)  # fmt: skip
"""What the user's code may raise when it is given symbols in the place of tensors."""
_UNDERSTOOD = (
    is_site, is_norm, is_join, is_elementwise, is_average, is_maximum, is_response_norm, is_softmax,
    is_concatenation, is_reshape,
)  # fmt: skip
_INSTEAD = {
    "ConvTranspose": "upsample to the nearest and convolve instead",
    "einsum": "write it with matmul",
    "matmul": "a product with a parameter is a linear layer: use torch.nn.Linear",
    "interpolate": "only mode='nearest' moves data without computing",
    "Upsample": "only mode='nearest' moves data without computing",
    "InstanceNorm": "set track_running_stats=False",
    "div": "only by a number or a parameter",
}
"""What would work in the place of an operation (by a part of its name) that does not."""


class _Tracer(fx.Tracer):
    """Keeps understood modules whole and enters all others."""

    record_stack_traces = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> fx.GraphModule:
    """Return a graph of a copy of ``model`` in normal form: all layers with weights are modules used once.

    Raises:
        UnsupportedNetworkError: Control flow depends on values, a layer is used twice, or an operation is
            not one of those that ``bitmixer.vocabulary`` lists.
    """
    if not isinstance(model, nn.Module):
        raise UnsupportedNetworkError(f"{model!r} is not a torch.nn.Module: give a network")
    if isinstance(model, DescribedModule):
        return copy.deepcopy(model)
    if any(isinstance(module, Site) for module in model.modules()):
        raise UnsupportedNetworkError(f"{type(model).__name__}: is converted already: convert the original")
    owned = unfold_attention(copy.deepcopy(model))
    try:
        graph = _Tracer().trace(owned)
    except _UNTRACEABLE as error:
        if _was_interrupted(error):
            raise KeyboardInterrupt from error
        where = innermost((frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__))
        raise UnsupportedNetworkError(
            f"{f'{where}: ' if where else ''}{type(model).__name__}: cannot be traced ({error}); "
            "its flow must not depend on tensor values, and its layers must be made in the constructor"
        ) from error
    module = fx.GraphModule(owned, graph, type(model).__name__)
    _check_used_once(module, [node for node in graph.nodes if _is_weight(node) for _ in node.users])
    adopt_functional_layers(module)
    for node in [node for node in module.graph.nodes if node.target is torch._assert]:
        module.graph.erase_node(node)  # the example tells which sizes fit
    module.graph.eliminate_dead_code()
    divide_in_parts(module.graph)
    module.delete_all_unused_submodules()
    _check(module)
    normalise(module)
    module.recompile()
    return module


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether an error stands for an interrupt that code on the way turned into it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_weight(node: fx.Node) -> bool:
    return node.op == "get_attr" and any(map(is_functional_layer, node.users))


def _check(module: fx.GraphModule) -> None:
    nodes = list(module.graph.nodes)
    _check_used_once(module, [node for node in nodes if is_site(node) or is_norm(node)])
    for node in nodes:
        if not _understood(node):
            raise UnsupportedNetworkError(
                f"{place(node)}: operation {_spelled(node)} cannot be converted{_hint(node)}; supported are {SUPPORTED}"
            )
        if writes_in_place(node) and _is_shared(tensor_operands(node)[0]):
            raise UnsupportedNetworkError(
                f"{place(node)}: {_spelled(node)} overwrites a tensor that others read too; "
                "use its form that is not in place"
            )
    inputs = [node.name for node in nodes if node.op == "placeholder"]
    if len(inputs) != 1 or not isinstance(nodes[-1].args[0], fx.Node):
        raise UnsupportedNetworkError(
            f"{type(module).__name__}: takes {', '.join(inputs)} and returns {nodes[-1].args[0]}; "
            "expected one tensor in and one out"
        )
    if not any(is_site(node) for node in nodes):
        raise UnsupportedNetworkError(f"{type(module).__name__}: no convolution or linear layer to quantise")


def _check_used_once(module: fx.GraphModule, uses: list[fx.Node]) -> None:
    for target, count in Counter(str(node.target) for node in uses).items():
        if count > 1:
            raise UnsupportedNetworkError(
                f"{type(module).__name__}: {target} is used {count} times in one forward pass; "
                "a layer's bits and norm belong to one place, so give each use a module of its own"
            )


def _understood(node: fx.Node) -> bool:
    if node.op in ("placeholder", "output") or is_size(node) or is_constant(node):
        return True
    layer = module_of(node)
    if isinstance(layer, nn.InstanceNorm1d | nn.InstanceNorm2d) and layer.track_running_stats:
        return False
    if "alpha" in node.kwargs and calls(node, ARITHMETIC):
        return False
    return any(kind(node) for kind in _UNDERSTOOD)


def _hint(node: fx.Node) -> str:
    spelled = _spelled(node)
    return next((f": {instead}" for part, instead in _INSTEAD.items() if part in spelled), "")


def _is_shared(tensor: fx.Node) -> bool:
    """Whether a tensor, or one that it is a view of, has several readers."""
    while len(tensor_users(tensor)) == 1 and is_reshape(tensor):
        tensor = tensor_operands(tensor)[0]
    return len(tensor_users(tensor)) > 1


def _spelled(node: fx.Node) -> str:
    if node.op == "call_module":
        return f"{type(module_of(node)).__name__} ({node.target})"
    return getattr(node.target, "__name__", str(node.target))
