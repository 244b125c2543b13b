"""Layers with weights, and norms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import nn

from bitmixer.interchange.constants import Constant
from bitmixer.interchange.readers.operation import Operation
from bitmixer.interchange.readers.windows import Window
from bitmixer.interchange.values import Value

CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d]] = {3: nn.Conv1d, 4: nn.Conv2d}
ZERO_PADS: dict[int, Callable[..., nn.Module]] = {3: nn.ZeroPad1d, 4: nn.ZeroPad2d}
SITES = (nn.Conv1d, nn.Conv2d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def convolution(operation: Operation) -> Value:
    """Read ``Conv``; uneven padding becomes a layer of its own."""
    x, weight, bias = operation.value(), operation.constant(1), operation.optional(2)
    rank = len(weight.shape)
    if rank not in CONVOLUTIONS or x.rank != rank:
        raise operation.error(f"weights of shape {weight.shape} on a tensor of rank {x.rank}; expected 1-d or 2-d maps")
    window = Window.read(operation, x, weight.shape[2:])
    if not window.is_even:
        padded = operation.builder.call_module(f"{operation.name}_pad", ZERO_PADS[rank](window.torch_pads), x)
        x = Value(node=padded.node, tensor=padded.tensor, scale=x.scale, bits=x.bits)
    groups = operation.attribute("group", 1)
    layer = CONVOLUTIONS[rank](
        weight.shape[1] * groups, weight.shape[0], window.kernel, window.strides,  # type: ignore[arg-type]
        window.begins if window.is_even else 0, window.dilations, groups, bias is not None, device="meta",  # type: ignore[arg-type]
    )  # fmt: skip
    return _site(operation, layer, x, weight, bias)


def general_product(operation: Operation) -> Value:
    """Read ``Gemm``: a linear layer."""
    x, weight, bias = operation.value(), operation.constant(1), operation.optional(2)
    if operation.attribute("transA", 0) or x.rank != 2:
        raise operation.error(f"on a tensor of rank {x.rank}, transA {operation.attribute('transA', 0)}; expected rows")
    weight = _times(weight, operation.attribute("alpha", 1.0))
    if bias is not None:
        bias = _times(bias, operation.attribute("beta", 1.0))
    return _linear(operation, x, weight if operation.attribute("transB", 0) else _transposed(weight), bias)


def matrix_product(operation: Operation) -> Value:
    """Read ``MatMul`` by constant weights: a linear layer without bias; an addition that follows becomes its bias."""
    x, weight = operation.value(), operation.constant(1)
    if len(weight.shape) != 2:
        raise operation.error(f"weights of shape {weight.shape}; expected (inputs, outputs)")
    return _linear(operation, x, _transposed(weight), None)


def _linear(operation: Operation, x: Value, weight: Constant, bias: Constant | None) -> Value:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    return _site(operation, layer, x, weight, bias)


def _site(operation: Operation, layer: nn.Module, x: Value, weight: Constant, bias: Constant | None) -> Value:
    sources = {"weight": lambda: weight.value * np.float32(x.scale)}
    if bias is not None:
        shape = (weight.shape[0],)
        sources["bias"] = lambda: np.broadcast_to(bias.value.reshape(-1), shape)
    result = operation.module(layer, x, sources)
    operation.builder.file_widths[str(result.node.target)] = (weight.bits, x.bits)
    return result


def _times(constant: Constant, factor: float) -> Constant:
    if factor == 1.0:
        return constant
    return Constant(constant.shape, lambda: constant.value * np.float32(factor), constant.bits)


def _transposed(constant: Constant) -> Constant:
    return Constant(constant.shape[::-1], lambda: constant.value.T, constant.bits)


def batch_normalization(operation: Operation) -> Value:
    """Read ``BatchNormalization``, which takes in the scale of its operand."""
    x = operation.value()
    if operation.attribute("training_mode", 0):
        raise operation.error("in training mode; expected statistics that are fixed: export it in evaluation mode")
    weight, bias, mean, variance = (operation.constant(position) for position in range(1, 5))
    return operation.module(batch_norm(x, operation.attribute("epsilon", 1e-5)), x, {
        "weight": lambda: weight.value * np.float32(x.scale), "bias": lambda: bias.value,
        "running_mean": lambda: mean.value / np.float32(x.scale), "running_var": lambda: variance.value,
    })  # fmt: skip


def batch_norm(x: Value, epsilon: float = 1e-5) -> nn.BatchNorm1d | nn.BatchNorm2d:
    """Return a norm over a value's channels, without values."""
    form = nn.BatchNorm2d if x.rank == 4 else nn.BatchNorm1d
    return form(x.tensor.shape[1], eps=epsilon, device="meta")
