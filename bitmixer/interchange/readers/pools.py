"""Pools, and norms that look at a neighbourhood."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from bitmixer.interchange.readers.operation import Operation
from bitmixer.interchange.readers.windows import Window
from bitmixer.interchange.values import Value
from bitmixer.padded_pools import PaddedAvgPool2d, PaddedMaxPool2d

MAXIMA = {3: nn.MaxPool1d, 4: nn.MaxPool2d}
AVERAGES = {3: nn.AvgPool1d, 4: nn.AvgPool2d}
PADDED = {nn.MaxPool2d: PaddedMaxPool2d, nn.AvgPool2d: PaddedAvgPool2d}
GLOBAL_MAXIMA = {3: nn.AdaptiveMaxPool1d, 4: nn.AdaptiveMaxPool2d}
GLOBAL_AVERAGES = {3: nn.AdaptiveAvgPool1d, 4: nn.AdaptiveAvgPool2d}


def maximum_pool(operation: Operation) -> Value:
    """Read ``MaxPool``; what a quantiser gave its operand stays."""
    x = operation.value()
    window = Window.read(operation, x)
    pooled = _pool(operation, MAXIMA, x, window, dilation=window.dilations)
    return dataclasses.replace(pooled, bits=x.bits)


def average_pool(operation: Operation) -> Value:
    """Read ``AveragePool``."""
    x = operation.value()
    window = Window.read(operation, x)
    if set(window.dilations) != {1}:
        raise operation.error(f"dilations {window.dilations}; expected an average over neighbours")
    return _pool(operation, AVERAGES, x, window, count_include_pad=bool(operation.attribute("count_include_pad", 0)))


def _pool(operation: Operation, forms: dict[int, Any], x: Value, window: Window, **options: Any) -> Value:
    form = _form(operation, forms, x)
    options |= {"stride": window.strides, "ceil_mode": bool(operation.attribute("ceil_mode", 0))}
    fits = all(2 * pad <= size for pad, size in zip(window.begins, window.kernel, strict=True))  # what torch takes
    if window.is_even and fits:
        layer = form(window.kernel, padding=window.begins, **options)
    elif form in PADDED:
        layer = PADDED[form](window.kernel, pads=window.torch_pads, **options)
    else:
        raise operation.error(f"pads {window.begins} and {window.ends} on a 1-d map; expected the same on both sides")
    return dataclasses.replace(operation.module(layer, x), scale=x.scale)


def global_maximum(operation: Operation) -> Value:
    """Read ``GlobalMaxPool``."""
    x = operation.value()
    layer = _form(operation, GLOBAL_MAXIMA, x)(1)
    return dataclasses.replace(operation.module(layer, x), scale=x.scale, bits=x.bits)


def global_average(operation: Operation) -> Value:
    """Read ``GlobalAveragePool``."""
    x = operation.value()
    return dataclasses.replace(operation.module(_form(operation, GLOBAL_AVERAGES, x)(1), x), scale=x.scale)


def mean(operation: Operation) -> Value:
    """Read ``ReduceMean`` over axes of the map."""
    x = operation.value()
    given = operation.optional(1)
    axes = operation.attribute("axes", None) if given is None else given.value.tolist()
    if not axes:
        raise operation.error("over all axes; expected some that are not the batch's")
    axes = tuple(operation.axis(axis, x.rank) for axis in axes)
    keep = bool(operation.attribute("keepdims", 1))
    return dataclasses.replace(operation.function(torch.mean, x, axes, keep), scale=x.scale)


def response_normalization(operation: Operation) -> Value:
    """Read ``LRN``."""
    size = operation.attribute("size", 0)
    if size % 2 == 0:
        raise operation.error(f"size {size}; expected an odd number of channels, the same on both sides")
    layer = nn.LocalResponseNorm(
        size, operation.attribute("alpha", 1e-4), operation.attribute("beta", 0.75), operation.attribute("bias", 1.0)
    )
    return operation.module(layer, operation.plain())


def _form(operation: Operation, forms: dict[int, Any], x: Value) -> Any:
    if x.rank not in forms:
        raise operation.error(f"on a tensor of rank {x.rank}; expected (batch, channels, length) or a 2-d map")
    return forms[x.rank]
