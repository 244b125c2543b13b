"""The operations of a traced network: which ones we understand, and what each node is."""

from __future__ import annotations

import operator
import re
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from bitmixer.layers import ExactAverage, Site, StoredTensor, TransitionalNorm

SITE_MODULES = (nn.Conv1d, nn.Conv2d, nn.Linear, Site)
NORM_MODULES = (nn.BatchNorm1d, nn.BatchNorm2d, TransitionalNorm)
AVERAGE_MODULES = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, ExactAverage)
MAXIMUM_MODULES = (nn.MaxPool1d, nn.MaxPool2d)
RELU_MODULES = (nn.ReLU, nn.ReLU6)
SHAPE_MODULES = (nn.Identity, nn.Dropout, nn.Flatten)
LEAVES = (
    *SITE_MODULES, *NORM_MODULES, *AVERAGE_MODULES, *MAXIMUM_MODULES, *RELU_MODULES, *SHAPE_MODULES,
    StoredTensor,
)  # fmt: skip

AVERAGE_FUNCTIONS: tuple[Any, ...] = (
    F.avg_pool1d, F.avg_pool2d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, torch.mean, "mean"
)  # fmt: skip
MAXIMUM_FUNCTIONS: tuple[Any, ...] = (F.max_pool1d, torch.max_pool1d, F.max_pool2d, torch.max_pool2d)
RELU_FUNCTIONS: tuple[Any, ...] = (F.relu, F.relu6, torch.relu, "relu", "relu_")
ADD_FUNCTIONS: tuple[Any, ...] = (operator.add, operator.iadd, torch.add, "add", "add_")
SHAPE_FUNCTIONS: tuple[Any, ...] = (torch.flatten, "view", "reshape", "flatten", "contiguous")
SIZE_SOURCES: tuple[Any, ...] = ("size", "dim")
SIZE_ARITHMETIC: tuple[Any, ...] = (operator.getitem, operator.mul, operator.floordiv)
IN_PLACE: tuple[Any, ...] = ("relu_", "add_", operator.iadd)

_FRAME = re.compile(r'File "(.*)", line (\d+)')
_TORCH = str(Path(torch.__file__).parent)


def module_of(node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls, if it calls one."""
    if node.op != "call_module":
        return None
    assert node.graph.owning_module is not None
    return node.graph.owning_module.get_submodule(str(node.target))


def is_site(node: fx.Node) -> bool:
    """Whether the node is a layer with weights."""
    return isinstance(module_of(node), SITE_MODULES)


def is_norm(node: fx.Node) -> bool:
    """Whether the node is a batch-norm."""
    return isinstance(module_of(node), NORM_MODULES)


def is_add(node: fx.Node) -> bool:
    """Whether the node adds two tensors."""
    return _calls(node, ADD_FUNCTIONS)


def is_average(node: fx.Node) -> bool:
    """Whether the node is an average pool or a mean."""
    return isinstance(module_of(node), AVERAGE_MODULES) or _calls(node, AVERAGE_FUNCTIONS)


def is_relu(node: fx.Node) -> bool:
    """Whether the node cuts off what is negative."""
    return isinstance(module_of(node), RELU_MODULES) or _calls(node, RELU_FUNCTIONS)


def is_stored(node: fx.Node) -> bool:
    """Whether the node is a stored copy of a tensor."""
    return isinstance(module_of(node), StoredTensor)


def keeps_sign(node: fx.Node) -> bool:
    """Whether the node's result cannot be negative where its operands are not."""
    return (
        is_average(node)
        or is_add(node)
        or is_stored(node)
        or is_reshape(node)
        or isinstance(module_of(node), MAXIMUM_MODULES)
        or _calls(node, MAXIMUM_FUNCTIONS)
    )


def is_reshape(node: fx.Node) -> bool:
    """Whether the node moves no arithmetic: view, flatten, dropout, identity."""
    return isinstance(module_of(node), SHAPE_MODULES) or _calls(node, SHAPE_FUNCTIONS)


def is_size(node: fx.Node) -> bool:
    """Whether the node computes a size, not a tensor."""
    if _calls(node, SIZE_SOURCES) or (_calls(node, (getattr,)) and node.args[1] == "shape"):
        return True
    return _calls(node, SIZE_ARITHMETIC) and all(is_size(operand) for operand in node.all_input_nodes)


def writes_in_place(node: fx.Node) -> bool:
    """Whether the node overwrites its first operand."""
    inplace = getattr(module_of(node), "inplace", False) or node.kwargs.get("inplace", False)
    positional = node.target in (F.relu, F.relu6) and len(node.args) > 1 and node.args[1]
    return bool(inplace or positional) or _calls(node, IN_PLACE)


def tensor_operands(node: fx.Node) -> tuple[fx.Node, ...]:
    """Return the operands of a node that are tensors of the data flow (not sizes)."""
    return tuple(operand for operand in node.all_input_nodes if not is_size(operand))


def tensor_users(node: fx.Node) -> tuple[fx.Node, ...]:
    """Return the users of a node that take its tensor (not its size)."""
    return tuple(user for user in node.users if not is_size(user))


def place(node: fx.Node) -> str:
    """Return where in the user's code a node (or what it reads, if nothing is known) came from: ``file:line``."""
    frames = _FRAME.findall(node.stack_trace or "")
    theirs = [f"{file}:{line}" for file, line in frames if not file.startswith(_TORCH)]
    if theirs:
        return theirs[-1]
    return place(node.all_input_nodes[0]) if node.all_input_nodes else node.name


def _calls(node: fx.Node, targets: tuple[Any, ...]) -> bool:
    return node.op in ("call_function", "call_method") and node.target in targets
