"""From any ``nn.Module`` to a torch.fx graph in which every operation is one that we understand."""

from __future__ import annotations

import copy
import operator
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from bitmixer.errors import UnsupportedNetworkError
from bitmixer.layers import ExactAverage, Site, StoredTensor, TransitionalNorm

SITE_MODULES = (nn.Conv2d, nn.Linear, Site)
NORM_MODULES = (nn.BatchNorm1d, nn.BatchNorm2d, TransitionalNorm)
AVERAGE_MODULES = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, ExactAverage)
MAXIMUM_MODULES = (nn.MaxPool2d,)
RELU_MODULES = (nn.ReLU, nn.ReLU6)
SHAPE_MODULES = (nn.Identity, nn.Dropout, nn.Flatten)
LEAVES = (
    *SITE_MODULES, *NORM_MODULES, *AVERAGE_MODULES, *MAXIMUM_MODULES, *RELU_MODULES, *SHAPE_MODULES, StoredTensor
)  # fmt: skip

AVERAGE_FUNCTIONS: tuple[Any, ...] = (F.avg_pool2d, F.adaptive_avg_pool2d, torch.mean, "mean")
MAXIMUM_FUNCTIONS: tuple[Any, ...] = (F.max_pool2d, torch.max_pool2d)
RELU_FUNCTIONS: tuple[Any, ...] = (F.relu, F.relu6, torch.relu, "relu", "relu_")
ADD_FUNCTIONS: tuple[Any, ...] = (operator.add, operator.iadd, torch.add, "add", "add_")
SHAPE_FUNCTIONS: tuple[Any, ...] = (torch.flatten, "view", "reshape", "flatten", "contiguous")
SIZE_FUNCTIONS: tuple[Any, ...] = ("size", getattr, operator.getitem, operator.mul, operator.floordiv)


class _Tracer(fx.Tracer):
    """Keeps understood modules whole and enters all others."""

    record_stack_traces = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module) -> fx.GraphModule:
    """Return a graph of a copy of ``model`` in which all layers with weights are modules used once.

    Raises:
        UnsupportedNetworkError: Control flow depends on values, a layer is used twice, or an operation is
            not one of convolution, linear, batch-norm, ReLU, pooling, addition and reshaping.
    """
    owned = copy.deepcopy(model)
    tracer = _Tracer()
    try:
        graph = tracer.trace(owned)
    except fx.proxy.TraceError as error:
        raise UnsupportedNetworkError(
            f"{type(model).__name__}: its flow depends on tensor values ({error}); make it static, then convert"
        ) from None
    module = fx.GraphModule(owned, graph, type(model).__name__)
    _adopt_functional_layers(module)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    _check(module)
    module.recompile()
    return module


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
    return node.op in ("call_function", "call_method") and node.target in ADD_FUNCTIONS


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


def tensor_operands(node: fx.Node) -> tuple[fx.Node, ...]:
    """Return the operands of a node that are tensors of the data flow (not sizes)."""
    return tuple(operand for operand in node.all_input_nodes if not is_size(operand))


def tensor_users(node: fx.Node) -> tuple[fx.Node, ...]:
    """Return the users of a node that take its tensor (not its size)."""
    return tuple(user for user in node.users if not is_size(user))


def is_size(node: fx.Node) -> bool:
    """Whether the node computes a size, not a tensor."""
    return _calls(node, SIZE_FUNCTIONS)


def _calls(node: fx.Node, targets: tuple[Any, ...]) -> bool:
    return node.op in ("call_function", "call_method") and node.target in targets


def _adopt_functional_layers(module: fx.GraphModule) -> None:
    """Turn ``F.conv2d(x, self.weight)`` and its like into modules that hold the same parameters."""
    builders: dict[Any, Callable[..., nn.Module]] = {
        F.conv2d: _conv2d, torch.conv2d: _conv2d, F.linear: _linear, F.batch_norm: _batch_norm,
        F.dropout: _dropout,
    }  # fmt: skip
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target not in builders:
            continue
        arguments = [_attribute(module, argument) for argument in node.args[1:]]
        keywords = {
            name: _attribute(module, argument) for name, argument in node.kwargs.items() if name != "input"
        }
        data = node.args[0] if node.args else node.kwargs["input"]
        module.add_submodule(node.name, builders[node.target](*arguments, **keywords))
        with module.graph.inserting_before(node):
            replacement = module.graph.call_module(node.name, (data,))
        replacement.stack_trace = node.stack_trace
        node.replace_all_uses_with(replacement)
        module.graph.erase_node(node)


def _attribute(module: fx.GraphModule, argument: Any) -> Any:
    if not isinstance(argument, fx.Node):
        return argument
    if argument.op != "get_attr":
        raise UnsupportedNetworkError(
            f"{place(argument)}: weights computed on the way; hold them as parameters"
        )
    return operator.attrgetter(str(argument.target))(module)


def _conv2d(
    weight: nn.Parameter, bias: nn.Parameter | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> nn.Module:  # fmt: skip
    size = (weight.shape[2], weight.shape[3])
    layer = nn.Conv2d(
        weight.shape[1] * groups, weight.shape[0], size, stride, padding, dilation, groups, bias is not None, device="meta"
    )  # fmt: skip
    layer.weight, layer.bias = weight, bias
    return layer


def _linear(weight: nn.Parameter, bias: nn.Parameter | None = None) -> nn.Module:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = weight
    if bias is not None:
        layer.bias = bias
    return layer


def _batch_norm(
    running_mean: Tensor, running_var: Tensor, weight: Any = None, bias: Any = None, training: Any = None,
    momentum: float = 0.1, eps: float = 1e-5,
) -> nn.Module:  # fmt: skip
    layer = nn.BatchNorm2d(running_mean.shape[0], eps=eps, momentum=momentum, affine=weight is not None)
    layer.running_mean, layer.running_var = running_mean, running_var
    if weight is not None:
        layer.weight, layer.bias = weight, bias
    return layer


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    return nn.Dropout(p)  # follows the mode of the network, where the traced flag would be frozen


def _check(module: fx.GraphModule) -> None:
    uses = Counter(str(node.target) for node in module.graph.nodes if is_site(node) or is_norm(node))
    for target, count in uses.items():
        if count > 1:
            raise UnsupportedNetworkError(
                f"{target}: used {count} times in one forward pass; a layer's bits and norm belong to one place, "
                "so give each use a module of its own"
            )
    sites = 0
    for node in module.graph.nodes:
        sites += is_site(node)
        if not _understood(node):
            raise UnsupportedNetworkError(
                f"{place(node)}: operation {_spelled(node)} cannot be converted; supported are convolution, linear, "
                "batch-norm, ReLU, pooling, addition and reshaping"
            )
    if sites == 0:
        raise UnsupportedNetworkError(f"{type(module).__name__}: no convolution or linear layer to quantise")


def _understood(node: fx.Node) -> bool:
    if node.op in ("placeholder", "output", "get_attr"):
        return node.op != "get_attr"
    if node.op == "call_module":
        layer = module_of(node)
        return isinstance(layer, LEAVES) and _padding_is_plain(layer)
    return any((is_add(node), is_average(node), is_relu(node), keeps_sign(node), is_size(node)))


def _padding_is_plain(layer: nn.Module | None) -> bool:
    return not isinstance(layer, nn.Conv2d) or (
        layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    )


def _spelled(node: fx.Node) -> str:
    if node.op == "call_module":
        return f"{type(module_of(node)).__name__} ({node.target})"
    return getattr(node.target, "__name__", str(node.target))


def place(node: fx.Node) -> str:
    """Return where in the user's code a node came from, as ``file:line``."""
    frames = [
        line.strip() for line in (node.stack_trace or "").splitlines() if line.strip().startswith("File ")
    ]
    if not frames:
        return node.name
    file, line, *_ = frames[-1].removeprefix("File ").split(", ")
    return f"{file.strip(chr(34))}:{line.removeprefix('line ')}"
