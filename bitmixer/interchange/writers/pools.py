"""Pools as torch has them -> pools as ONNX has them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.operator_schemas import normalize_function
from torch.nn import functional as F

from bitmixer.errors import InterchangeError
from bitmixer.layers import ExactAverage
from bitmixer.operations import module_of, place

MEANS = (torch.mean, Tensor.mean)
ADAPTIVE = (
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, F.adaptive_max_pool1d, F.adaptive_max_pool2d,
)  # fmt: skip
SLIDING = (
    nn.AvgPool1d, nn.AvgPool2d, F.avg_pool1d, F.avg_pool2d,
    nn.MaxPool1d, nn.MaxPool2d, F.max_pool1d, torch.max_pool1d, F.max_pool2d, torch.max_pool2d,
)  # fmt: skip
WINDOW = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "count_include_pad", "divisor_override")

Sizes = tuple[int, ...]


def pool_operation(node: fx.Node, before: Sizes, after: Sizes) -> tuple[str, dict[str, Any]]:
    """Return the ONNX operator and attributes of a pool or mean.

    Args:
        node: The pool, wrapped or not.
        before: Shape of its operand, without the batch.
        after: Shape of its result.

    Raises:
        InterchangeError: ONNX has no such pool.
    """
    pool: Any = module_of(node) or node.target
    kind = "Average" if isinstance(pool, ExactAverage) else "Max"
    if isinstance(pool, ExactAverage):
        pool = pool.operation
    if pool in MEANS and _averaged_axes(node, len(before)) == set(range(2, len(before) + 1)):
        return "GlobalAveragePool", {}
    if pool in ADAPTIVE or type(pool) in ADAPTIVE:
        return _adaptive(node, kind, before[1:], after[1:])
    if pool in SLIDING or isinstance(pool, tuple(form for form in SLIDING if isinstance(form, type))):
        return f"{kind}Pool", _sliding(node, pool, kind, len(before) - 1)
    raise InterchangeError(f"{place(node)}: {node.target}: expected a pool over windows or a mean over the whole map")


def _averaged_axes(node: fx.Node, rank: int) -> set[int]:
    axes: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    return {axis % (rank + 1) for axis in ([axes] if isinstance(axes, int) else axes or ())}


def _adaptive(node: fx.Node, kind: str, before: Sizes, after: Sizes) -> tuple[str, dict[str, Any]]:
    if set(after) == {1}:
        return f"Global{kind}Pool", {}
    if any(large % small for large, small in zip(before, after, strict=True)):
        raise InterchangeError(f"{place(node)}: {node.target}: map {before} to {after}; expected equal windows")
    window = [large // small for large, small in zip(before, after, strict=True)]
    return f"{kind}Pool", {"kernel_shape": window, "strides": window}


def _sliding(node: fx.Node, pool: Any, kind: str, axes: int) -> dict[str, Any]:
    window = _window(node, pool)
    kernel = _per_axis(window["kernel_size"], axes)
    pads = _per_axis(window.get("padding", 0), axes) * 2
    attributes: dict[str, Any] = {
        "kernel_shape": kernel, "strides": _per_axis(window.get("stride") or kernel, axes), "pads": pads,
        "ceil_mode": int(window.get("ceil_mode", False)),
    }  # fmt: skip
    if sides := getattr(pool, "pads", None):  # a pool that was read from ONNX: last axis first, both sides of each
        attributes["pads"] = [*reversed(sides[::2]), *reversed(sides[1::2])]
    if kind == "Max":
        return {**attributes, "dilations": _per_axis(window.get("dilation", 1), axes)}
    if window.get("divisor_override") is not None:
        raise InterchangeError(f"{place(node)}: {node.target}: has a divisor of its own; expected that of its window")
    return {**attributes, "count_include_pad": int(window.get("count_include_pad", True))}


def _window(node: fx.Node, pool: Any) -> dict[str, Any]:
    if isinstance(pool, nn.Module):
        return {name: getattr(pool, name) for name in WINDOW if hasattr(pool, name)}
    normal = normalize_function(pool, node.args, node.kwargs, normalize_to_only_use_kwargs=True)
    if normal is None:
        raise InterchangeError(f"{place(node)}: {node.target}: cannot tell the window of this pool")
    return normal.kwargs


def _per_axis(size: Any, axes: int) -> list[int]:
    return [size] * axes if isinstance(size, int) else list(size)
