"""Arithmetic with constants: scales and shifts go into the layer before them, or become a norm of their own."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable

import numpy as np
from torch import nn

from bitmixer.interchange.constants import Array, Constant
from bitmixer.interchange.module_builder import scaled
from bitmixer.interchange.readers.layers import NORMS, SITES, batch_norm
from bitmixer.interchange.readers.operation import Operation
from bitmixer.interchange.values import Value

EPSILON = 1e-5

Norm = nn.BatchNorm1d | nn.BatchNorm2d
Affine = nn.Conv1d | nn.Conv2d | nn.Linear | Norm


def multiplied(operation: Operation, x: Value, factor: Constant, *, inverse: bool = False) -> Value:
    """Return a value times a constant (or divided by it)."""

    def values() -> Array:
        given = factor.value.astype(np.float32)
        return np.reciprocal(given) if inverse else given

    if factor.size == 1:
        return _by_number(operation, x, float(values().reshape(())))
    _require_per_channel(operation, x, factor)
    if operation.builder.take_step(x):
        layer = _layer_before(operation, x)
        assert layer is not None
        operation.builder.adjust(layer.weight, lambda before: before * values().reshape(-1, *[1] * (before.ndim - 1)))
        if layer.bias is not None:
            operation.builder.adjust(layer.bias, lambda before: before * values().reshape(-1))
        return x
    x, layer = _affine_layer(operation, x)
    for tensor in (layer.weight, layer.bias):
        operation.builder.adjust(tensor, lambda before: before * values().reshape(-1))
    return x


def shifted(operation: Operation, x: Value, shift: Constant, *, negative: bool = False) -> Value:
    """Return a value plus a constant (or minus it)."""

    def values() -> Array:
        given = shift.value.reshape(-1).astype(np.float32)
        return -given if negative else given

    layer = _layer_before(operation, x)
    if layer is None:
        if shift.size == 1:
            return operation.function(operator.add, operation.builder.unscaled(x), float(values()[0]))
        _require_per_channel(operation, x, shift)
        x, layer = _affine_layer(operation, x)
    elif shift.size > 1:
        _require_per_channel(operation, x, shift)
    _shift(operation, layer, values)
    return x


def _by_number(operation: Operation, x: Value, factor: float) -> Value:
    layer = _layer_before(operation, x)
    if layer is not None:
        operation.builder.take_step(x)
        for tensor in (layer.weight, layer.bias):
            if tensor is not None:
                operation.builder.adjust(tensor, lambda before: before * np.float32(factor))
        return x
    if factor > 0:
        return scaled(x, factor)
    return operation.function(operator.mul, x, x.scale * factor)


def _shift(operation: Operation, layer: Affine, values: Callable[[], Array]) -> None:
    """Add to a layer's bias, which it may not have yet."""
    bias = layer.bias
    if bias is not None:
        operation.builder.adjust(bias, lambda before: before + values())
        return
    channels = layer.weight.shape[0]
    operation.builder.adopt(layer, "bias", channels, lambda: np.broadcast_to(values(), (channels,)))


def _affine_layer(operation: Operation, x: Value) -> tuple[Value, Norm]:
    """Return the norm before, or a new one that changes nothing yet."""
    layer = _layer_before(operation, x)
    if isinstance(layer, NORMS):
        return x, layer
    channels = x.tensor.shape[1]
    norm = batch_norm(x, EPSILON)
    scale = x.scale
    normed = operation.module(norm, x, {
        "weight": lambda: np.full(channels, scale, np.float32), "bias": lambda: np.zeros(channels, np.float32),
        "running_mean": lambda: np.zeros(channels, np.float32),
        "running_var": lambda: np.full(channels, 1.0 - EPSILON, np.float32),
    })  # fmt: skip
    return dataclasses.replace(normed, bits=x.bits), norm


def _layer_before(operation: Operation, x: Value) -> Affine | None:
    """Return the module whose result this is, where nothing else reads it."""
    layer = operation.builder.module_of(x) if x.exclusive and x.scale == 1.0 else None
    return layer if isinstance(layer, SITES + NORMS) else None


def _require_per_channel(operation: Operation, x: Value, constant: Constant) -> None:
    layer = operation.builder.module_of(x)
    axis = x.rank - 1 if isinstance(layer, nn.Linear) else 1
    expected = [1] * x.rank
    expected[axis] = x.tensor.shape[axis]
    shape = [1] * (x.rank - len(constant.shape)) + list(constant.shape)
    if shape != expected or (axis != 1 and not isinstance(layer, SITES)):
        raise operation.error(
            f"a constant of shape {constant.shape} on a tensor of shape {tuple(x.tensor.shape)}; expected one number, "
            f"or one per channel: {tuple(expected)}"
        )
