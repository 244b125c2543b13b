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
from bitmixer.layers import Site
from bitmixer.operations import (
    LEAVES,
    is_add,
    is_norm,
    is_relu,
    is_reshape,
    is_site,
    is_size,
    keeps_sign,
    module_of,
    place,
    tensor_operands,
    tensor_users,
    writes_in_place,
)


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
    if not isinstance(model, nn.Module):
        raise UnsupportedNetworkError(f"{model!r} is not a torch.nn.Module: give a network")
    if any(isinstance(module, Site) for module in model.modules()):
        raise UnsupportedNetworkError(f"{type(model).__name__}: is converted already: convert the original")
    owned = copy.deepcopy(model)
    try:
        graph = _Tracer().trace(owned)
    except (fx.proxy.TraceError, RuntimeError, TypeError, NameError) as error:
        raise UnsupportedNetworkError(
            f"{type(model).__name__}: cannot be traced ({error}); its flow must not depend on tensor values, "
            "and its layers must be made in the constructor"
        ) from error
    module = fx.GraphModule(owned, graph, type(model).__name__)
    _check_used_once(module, [node for node in graph.nodes if node.op == "get_attr" for _ in node.users])
    _adopt_functional_layers(module)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    _check(module)
    module.recompile()
    return module


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
        keywords = {name: _attribute(module, argument) for name, argument in node.kwargs.items() if name != "input"}
        data = node.args[0] if node.args else node.kwargs["input"]
        module.add_submodule(node.name, builders[node.target](*arguments, **keywords))
        with module.graph.inserting_before(node):
            replacement = module.graph.call_module(node.name, (data,))
        replacement.stack_trace = node.stack_trace
        node.replace_all_uses_with(replacement)
        module.graph.erase_node(node)
    _disown(module, [node for node in module.graph.nodes if node.op == "get_attr" and not node.users])


def _disown(module: fx.GraphModule, adopted: list[fx.Node]) -> None:
    """Remove the first names of parameters and buffers that a layer holds now, so that none has two."""
    for node in adopted:
        owner, _, name = str(node.target).rpartition(".")
        delattr(module.get_submodule(owner), name)
        module.graph.erase_node(node)


def _attribute(module: fx.GraphModule, argument: Any) -> Any:
    if not isinstance(argument, fx.Node):
        return argument
    if argument.op != "get_attr":
        raise UnsupportedNetworkError(f"{place(argument)}: weights computed on the way; hold them as parameters")
    return operator.attrgetter(str(argument.target))(module)


def _conv2d(
    weight: nn.Parameter, bias: nn.Parameter | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> nn.Module:  # fmt: skip
    layer = nn.Conv2d(
        weight.shape[1] * groups, weight.shape[0], (weight.shape[2], weight.shape[3]),
        stride, padding, dilation, groups, bias=bias is not None, device="meta",
    )  # fmt: skip
    layer.weight, layer.bias = weight, bias
    return layer


def _linear(weight: nn.Parameter, bias: nn.Parameter | None = None) -> nn.Module:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = weight
    if bias is not None:
        layer.bias = bias
    return layer


class _FunctionalNorm(nn.BatchNorm2d):
    """Takes tensors of any rank, as ``F.batch_norm`` does."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 (the name in torch)
        pass


def _batch_norm(
    running_mean: Tensor, running_var: Tensor, weight: Any = None, bias: Any = None, training: Any = None,
    momentum: float = 0.1, eps: float = 1e-5,
) -> nn.Module:  # fmt: skip
    layer = _FunctionalNorm(running_mean.shape[0], eps=eps, momentum=momentum, affine=weight is not None)
    layer.running_mean, layer.running_var = running_mean, running_var
    if weight is not None:
        layer.weight, layer.bias = weight, bias
    return layer


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    return nn.Dropout(p)  # follows the mode of the network, where the traced flag would be frozen


def _check(module: fx.GraphModule) -> None:
    nodes = list(module.graph.nodes)
    _check_used_once(module, [node for node in nodes if is_site(node) or is_norm(node)])
    for node in nodes:
        if not _understood(node):
            raise UnsupportedNetworkError(
                f"{place(node)}: operation {_spelled(node)} cannot be converted; supported are convolution, "
                "linear, batch-norm, ReLU, pooling, addition of two tensors and reshaping"
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
    if node.op in ("placeholder", "output"):
        return True
    if node.op == "call_module":
        layer = module_of(node)
        return isinstance(layer, LEAVES) and _padding_is_plain(layer)
    if is_add(node):
        return len(tensor_operands(node)) == 2 and "alpha" not in node.kwargs
    return is_relu(node) or keeps_sign(node) or is_size(node)


def _padding_is_plain(layer: nn.Module | None) -> bool:
    if not isinstance(layer, nn.Conv1d | nn.Conv2d):
        return True
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _is_shared(tensor: fx.Node) -> bool:
    """Whether a tensor, or one that it is a view of, has several readers."""
    while len(tensor_users(tensor)) == 1 and is_reshape(tensor):
        tensor = tensor_operands(tensor)[0]
    return len(tensor_users(tensor)) > 1


def _spelled(node: fx.Node) -> str:
    if node.op == "call_module":
        return f"{type(module_of(node)).__name__} ({node.target})"
    return getattr(node.target, "__name__", str(node.target))
