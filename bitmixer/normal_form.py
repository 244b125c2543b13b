"""The normal form of a traced graph: the same numbers to the bit, in fewer ways to write them.

No operation overwrites its operand; every part of a divided tensor is a node of its own; padding that a
convolution cannot carry is an operation before it. The rules of concatenations are in
``bitmixer.concatenation``.
"""

from __future__ import annotations

import operator
from typing import Any

from torch import fx, nn
from torch.nn import functional as F

from bitmixer.concatenation import normalise_concatenations
from bitmixer.errors import UnsupportedNetworkError
from bitmixer.operations import calls, module_of, place
from bitmixer.vocabulary import DIVIDE_FUNCTIONS, PLAIN_FORM, part


def divide_in_parts(graph: fx.Graph) -> None:
    """Make of ``chunk``, ``split`` and ``unbind`` one node for each part that is read.

    Raises:
        UnsupportedNetworkError: All parts are used as one.
    """
    for node in list(graph.nodes):
        if not calls(node, DIVIDE_FUNCTIONS):
            continue
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        for user in list(node.users):
            if not calls(user, (operator.getitem,)) or not isinstance(user.args[1], int):
                raise UnsupportedNetworkError(f"{place(node)}: {name}: take its parts one by one: a, b = x.{name}(...)")
            with graph.inserting_before(user):
                piece = graph.call_function(part, (name, user.args[1], *node.args), dict(node.kwargs))
            piece.stack_trace = node.stack_trace
            user.replace_all_uses_with(piece)
            graph.erase_node(user)
        graph.erase_node(node)


def normalise(module: fx.GraphModule) -> None:
    """Bring a graph that is understood, and whose tensors nobody overwrites while others read, to its normal form."""
    for node in list(module.graph.nodes):
        _overwrite_nothing(node)
        layer = module_of(node)
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            _pad_before(module, node, layer)
    normalise_concatenations(module)


def _overwrite_nothing(node: fx.Node) -> None:
    """Use an operation's form that makes a new tensor: parts and stored copies must not change behind its back."""
    layer = module_of(node)
    if getattr(layer, "inplace", False):
        setattr(layer, "inplace", False)  # noqa: B010 (it is no declared attribute of every module)
    if node.kwargs.get("inplace"):
        node.kwargs = {**node.kwargs, "inplace": False}
    if node.target in (F.relu, F.relu6, F.silu) and len(node.args) > 1:
        node.args = node.args[:1]
    if node.op in ("call_function", "call_method"):
        node.target = PLAIN_FORM.get(node.target, node.target)


def _pad_before(module: fx.GraphModule, node: fx.Node, layer: nn.Conv1d | nn.Conv2d) -> None:
    """Resolve padding that is named, or of other than zeros, as torch itself does."""
    padding: Any = layer.padding
    if layer.padding_mode != "zeros":
        _insert_pad(module, node, layer._reversed_padding_repeated_twice, layer.padding_mode)
        padding = (0,) * len(layer.kernel_size)
    elif padding == "valid":
        padding = (0,) * len(layer.kernel_size)
    elif padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        odd = [amount for total in reversed(totals) for amount in (0, total % 2)]
        if any(odd):
            _insert_pad(module, node, odd, "constant")
        padding = tuple(total // 2 for total in totals)
    layer.padding, layer.padding_mode = padding, "zeros"


def _insert_pad(module: fx.GraphModule, node: fx.Node, amounts: list[int], mode: str) -> None:
    (source,) = node.all_input_nodes
    with module.graph.inserting_before(node):
        padded = module.graph.call_function(F.pad, (source, amounts), {"mode": mode})
    padded.stack_trace = node.stack_trace
    node.replace_input_with(source, padded)
