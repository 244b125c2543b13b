"""Functional layers (``F.conv2d(x, self.weight)``) become modules that hold the same parameters."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from bitmixer.errors import UnsupportedNetworkError
from bitmixer.layers import StochasticDepth
from bitmixer.operations import is_constant, place


def adopt_functional_layers(module: fx.GraphModule) -> None:
    """Replace every functional layer of a traced network by a module with the same parameters.

    Raises:
        UnsupportedNetworkError: Its weights are computed on the way.
    """
    for node in list(module.graph.nodes):
        builder = _builder(node) if node.op == "call_function" else None
        if builder is None:
            continue
        arguments = [_attribute(module, argument) for argument in node.args[1:]]
        keywords = {name: _attribute(module, argument) for name, argument in node.kwargs.items() if name != "input"}
        data = node.args[0] if node.args else node.kwargs["input"]
        if is_constant(data):  # a parameter that is normalised or reshaped: no layer of the data flow
            continue
        module.add_submodule(node.name, builder(*arguments, **keywords))
        with module.graph.inserting_before(node):
            replacement = module.graph.call_module(node.name, (data,))
        replacement.stack_trace = node.stack_trace
        node.replace_all_uses_with(replacement)
        module.graph.erase_node(node)
    _disown(module, [node for node in module.graph.nodes if node.op == "get_attr" and not node.users])


def is_functional_layer(node: fx.Node) -> bool:
    """Whether the node is a layer with weights, a norm or a dropout that is written as a function."""
    return node.op == "call_function" and _builder(node) is not None


def _builder(node: fx.Node) -> Callable[..., nn.Module] | None:
    function: Any = node.target
    if getattr(function, "__module__", None) == "torchvision.ops.stochastic_depth":
        return partial(_stochastic_depth, function)
    return _BUILDERS.get(function)


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


def _convolution(kind: type[nn.Conv1d] | type[nn.Conv2d]) -> Callable[..., nn.Module]:
    def build(
        weight: nn.Parameter, bias: nn.Parameter | None = None, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1,
    ) -> nn.Module:  # fmt: skip
        kernel: Any = tuple(weight.shape[2:])
        layer = kind(
            weight.shape[1] * groups, weight.shape[0], kernel, stride, padding, dilation, groups,
            bias=bias is not None, device="meta",
        )  # fmt: skip
        layer.weight, layer.bias = weight, bias
        return layer

    return build


def _linear(weight: nn.Parameter, bias: nn.Parameter | None = None) -> nn.Module:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = weight
    if bias is not None:
        layer.bias = bias
    return layer


class FunctionalNorm(nn.BatchNorm2d):
    """Takes tensors of any rank, as ``F.batch_norm`` does."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 (the name in torch)
        pass


def _batch_norm(
    running_mean: Tensor, running_var: Tensor, weight: Any = None, bias: Any = None, training: Any = None,
    momentum: float = 0.1, eps: float = 1e-5,
) -> nn.Module:  # fmt: skip
    layer = FunctionalNorm(running_mean.shape[0], eps=eps, momentum=momentum, affine=weight is not None)
    layer.running_mean, layer.running_var = running_mean, running_var
    if weight is not None:
        layer.weight, layer.bias = weight, bias
    return layer


def _layer_norm(
    normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> nn.Module:  # fmt: skip
    layer = nn.LayerNorm(tuple(normalized_shape), eps, weight is not None, bias is not None)
    layer.weight, layer.bias = weight, bias
    return layer


def _group_norm(num_groups: int, weight: Any, bias: Any = None, eps: float = 1e-5) -> nn.Module:
    layer = nn.GroupNorm(num_groups, weight.shape[0], eps)
    layer.weight, layer.bias = weight, bias
    return layer


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    return nn.Dropout(p)  # follows the mode of the network, where the traced flag would be frozen


def _stochastic_depth(function: Callable[..., Tensor], p: float, mode: str, training: bool = True) -> nn.Module:
    return StochasticDepth(function, p, mode)


_BUILDERS: dict[Any, Callable[..., nn.Module]] = {
    F.conv1d: _convolution(nn.Conv1d), torch.conv1d: _convolution(nn.Conv1d),
    F.conv2d: _convolution(nn.Conv2d), torch.conv2d: _convolution(nn.Conv2d),
    F.linear: _linear, F.batch_norm: _batch_norm, F.layer_norm: _layer_norm, F.group_norm: _group_norm,
    F.dropout: _dropout,
}  # fmt: skip
