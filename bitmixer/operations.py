"""What each node of a traced network is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from bitmixer import vocabulary
from bitmixer.graph import JoinKind
from bitmixer.layers import ExactAttention, ExactAverage, ExactProduct, ExactSoftmax, StoredTensor

_FRAME = re.compile(r'File "(.*)", line (\d+)')
_OUTSIDE = (
    str(Path(torch.__file__).parent),
    *(str(Path(__file__).parent / name) for name in ("tracing.py", "unfolding.py")),
)

_ELEMENTWISE = (
    *vocabulary.NON_NEGATIVE_MODULES, *vocabulary.ACTIVATION_MODULES, *vocabulary.SIGNED_MODULES, nn.Hardtanh,
)  # fmt: skip


def module_of(node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls, if it calls one."""
    if node.op != "call_module":
        return None
    assert node.graph.owning_module is not None
    return node.graph.owning_module.get_submodule(str(node.target))


def is_site(node: fx.Node) -> bool:
    """Whether the node is a layer with weights."""
    return isinstance(module_of(node), vocabulary.SITE_MODULES)


def is_norm(node: fx.Node) -> bool:
    """Whether the node is a norm: batch-norm, or one with statistics of each sample."""
    return isinstance(module_of(node), vocabulary.NORM_MODULES)


def join_kind(node: fx.Node) -> JoinKind | None:
    """Return how the node combines several tensors; ``None`` where it does not."""
    layer = module_of(node)
    if isinstance(layer, ExactProduct):
        return "matrix_product"
    if isinstance(layer, ExactAttention):
        return "attention"
    kind = vocabulary.JOINS.get(node.target) if node.op in ("call_function", "call_method") else None
    return kind if kind == "attention" or len(tensor_operands(node)) > 1 else None


def is_join(node: fx.Node) -> bool:
    """Whether the node combines several tensors, as addition does."""
    return join_kind(node) is not None


def is_product(node: fx.Node) -> bool:
    """Whether the node multiplies matrices that are both computed on the way."""
    return join_kind(node) in ("matrix_product", "attention")


def is_concatenation(node: fx.Node) -> bool:
    """Whether the node puts several tensors side by side."""
    return calls(node, vocabulary.CONCATENATE_FUNCTIONS)


def is_average(node: fx.Node) -> bool:
    """Whether the node is an average pool, a mean or a sum."""
    layer = module_of(node)
    if isinstance(layer, (*vocabulary.AVERAGE_MODULES, ExactAverage)):
        return True
    return calls(node, vocabulary.AVERAGE_FUNCTIONS)


def is_maximum(node: fx.Node) -> bool:
    """Whether the node is a maximum pool, or the largest along axes."""
    return isinstance(module_of(node), vocabulary.MAXIMUM_MODULES) or calls(node, vocabulary.MAXIMUM_FUNCTIONS)


def is_softmax(node: fx.Node) -> bool:
    """Whether the node is a softmax."""
    layer = module_of(node)
    return isinstance(layer, (*vocabulary.SOFTMAX_MODULES, ExactSoftmax)) or calls(node, vocabulary.SOFTMAX_FUNCTIONS)


def is_response_norm(node: fx.Node) -> bool:
    """Whether the node divides each element by what stands in the channels around it."""
    return isinstance(module_of(node), vocabulary.RESPONSE_NORM_MODULES) or calls(
        node, vocabulary.RESPONSE_NORM_FUNCTIONS
    )


def is_non_negative(node: fx.Node) -> bool:
    """Whether the node's result is never negative, whatever it is given."""
    layer = module_of(node)
    if isinstance(layer, vocabulary.NON_NEGATIVE_MODULES) or calls(node, vocabulary.NON_NEGATIVE_FUNCTIONS):
        return True
    lowest = layer.min_val if isinstance(layer, nn.Hardtanh) else _lowest(node)
    return is_softmax(node) or (lowest is not None and lowest >= 0)


def is_elementwise(node: fx.Node) -> bool:
    """Whether the node computes each element of its result from one element of one tensor (and constants)."""
    layer = module_of(node)
    if isinstance(layer, _ELEMENTWISE):
        return True
    functions = (*vocabulary.NON_NEGATIVE_FUNCTIONS, *vocabulary.ACTIVATION_FUNCTIONS, *vocabulary.CLAMPS)
    return calls(node, functions) or is_scalar_arithmetic(node)


def is_scalar_arithmetic(node: fx.Node) -> bool:
    """Whether the node adds to, subtracts from, multiplies or divides a tensor by a number or a constant."""
    if not calls(node, (*vocabulary.ARITHMETIC, *vocabulary.DIVISIONS)) or is_size(node):
        return False
    divides = calls(node, vocabulary.DIVISIONS)  # by a tensor is another matter: nothing bounds the result
    return len(tensor_operands(node)) == 1 and not (divides and node.args[0] not in tensor_operands(node))


def is_stored(node: fx.Node) -> bool:
    """Whether the node is a stored copy of a tensor."""
    return isinstance(module_of(node), StoredTensor)


def is_reshape(node: fx.Node) -> bool:
    """Whether the node moves data and computes nothing: view, slice, pad, nearest upsampling, dropout, identity."""
    layer = module_of(node)
    if isinstance(layer, nn.Upsample):
        return layer.mode in vocabulary.NEAREST_MODES
    if calls(node, (F.interpolate,)):
        return node.kwargs.get("mode", "nearest") in vocabulary.NEAREST_MODES and len(node.args) < 4
    return isinstance(layer, vocabulary.SHAPE_MODULES) or calls(node, vocabulary.SHAPE_FUNCTIONS)


def is_slice(node: fx.Node) -> bool:
    """Whether the node takes a part of a tensor."""
    return calls(node, vocabulary.SLICE_FUNCTIONS) and not is_size(node)


def keeps_sign(node: fx.Node) -> bool:
    """Whether the node's result cannot be negative where its operands are not."""
    if is_site(node) or is_norm(node) or isinstance(module_of(node), vocabulary.SIGNED_MODULES):
        return False
    if is_scalar_arithmetic(node):
        numbers = [value for value in (*node.args, *node.kwargs.values()) if isinstance(value, int | float)]
        return vocabulary.JOINS.get(node.target) != "subtraction" and len(numbers) == 1 and numbers[0] >= 0
    if calls(node, (F.pad,)):
        value = node.kwargs.get("value", node.args[3] if len(node.args) > 3 else None)
        return value is None or (isinstance(value, int | float) and value >= 0)
    if calls(node, vocabulary.CLAMPS):
        upper = node.kwargs.get("max", node.kwargs.get("max_val", node.args[2] if len(node.args) > 2 else None))
        return upper is None or (isinstance(upper, int | float) and upper >= 0)
    return join_kind(node) != "subtraction"


def is_size(node: fx.Node) -> bool:
    """Whether the node computes a size, not a tensor."""
    if calls(node, vocabulary.SIZE_SOURCES) or (calls(node, (getattr,)) and node.args[1] == "shape"):
        return True
    operands = node.all_input_nodes
    return calls(node, vocabulary.SIZE_ARITHMETIC) and bool(operands) and all(map(is_size, operands))


def is_constant(node: fx.Node) -> bool:
    """Whether the node is a parameter or buffer, or computed from such alone."""
    if node.op == "get_attr":
        return True
    operands = [operand for operand in node.all_input_nodes if not is_size(operand)]
    return node.op in ("call_function", "call_method") and bool(operands) and all(map(is_constant, operands))


def writes_in_place(node: fx.Node) -> bool:
    """Whether the node overwrites its first operand."""
    inplace = getattr(module_of(node), "inplace", False) or node.kwargs.get("inplace", False)
    positional = node.target in (F.relu, F.relu6, F.silu) and len(node.args) > 1 and node.args[1]
    return bool(inplace or positional) or calls(node, tuple(vocabulary.PLAIN_FORM))


def tensor_operands(node: fx.Node) -> tuple[fx.Node, ...]:
    """Return the operands of a node that are tensors of the data flow (not sizes, not constants)."""
    return data_flow(node.all_input_nodes)


def tensor_users(node: fx.Node) -> tuple[fx.Node, ...]:
    """Return the users of a node that take its tensor (not its size)."""
    return tuple(user for user in node.users if not is_size(user))


def data_flow(nodes: Iterable[fx.Node]) -> tuple[fx.Node, ...]:
    """Return the nodes that are tensors of the data flow (not sizes, not constants)."""
    return tuple(node for node in nodes if not (is_size(node) or is_constant(node)))


def place(node: fx.Node) -> str:
    """Return where in the user's code a node (or what it reads, if nothing is known) came from: ``file:line``."""
    theirs = innermost(_FRAME.findall(node.stack_trace or ""))
    if theirs:
        return theirs
    return place(node.all_input_nodes[0]) if node.all_input_nodes else node.name


def innermost(frames: Iterable[tuple[str, str | int]]) -> str | None:
    """Return the innermost place of the user's code, ``file:line``, in a call stack from the outside in."""
    theirs = [f"{file}:{line}" for file, line in frames if not file.startswith((*_OUTSIDE, "<"))]  # "<": generated
    return theirs[-1] if theirs else None


def calls(node: fx.Node, targets: tuple[Any, ...]) -> bool:
    """Whether the node calls one of these functions or methods."""
    return node.op in ("call_function", "call_method") and node.target in targets


def _lowest(node: fx.Node) -> float | None:
    """Return the lower bound of a clamp."""
    if not calls(node, vocabulary.CLAMPS):
        return None
    named = node.kwargs.get("min", node.kwargs.get("min_val"))
    bound = named if named is not None else (node.args[1] if len(node.args) > 1 else None)
    return float(bound) if isinstance(bound, int | float) else None
