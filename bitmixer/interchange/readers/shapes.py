"""Operators that move no arithmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from bitmixer.interchange.constants import Constant, known
from bitmixer.interchange.readers.layers import ZERO_PADS
from bitmixer.interchange.readers.operation import Operation
from bitmixer.interchange.values import Value


def same(operation: Operation) -> Value:
    """Read what does nothing in evaluation: ``Identity``, ``Dropout``, ``Cast`` between floats."""
    return operation.value()


def shape(operation: Operation) -> Constant:
    """Read ``Shape``."""
    return known(np.array(operation.value().tensor.shape, dtype=np.int64))


def flatten(operation: Operation) -> Value:
    """Read ``Flatten``."""
    x = operation.value()
    axis = operation.attribute("axis", 1)
    if axis % x.rank != 1:
        raise operation.error(f"axis {axis}; expected 1, which leaves the batch alone")
    return _reshaped(operation, x, (x.tensor.shape[0], x.tensor[0].numel()))


def reshape(operation: Operation) -> Value:
    """Read ``Reshape`` to a constant shape."""
    x = operation.value()
    target = operation.constant(1).value.tolist()
    if not operation.attribute("allowzero", 0):
        target = [x.tensor.shape[axis] if size == 0 else size for axis, size in enumerate(target)]
    return _reshaped(operation, x, target)


def squeeze(operation: Operation) -> Value:
    """Read ``Squeeze``."""
    x = operation.value()
    axes = _axes(operation, x.rank)
    kept = [size for axis, size in enumerate(x.tensor.shape) if (axis not in axes if axes else size != 1 or axis == 0)]
    return _reshaped(operation, x, kept)


def unsqueeze(operation: Operation) -> Value:
    """Read ``Unsqueeze``."""
    x = operation.value()
    given = operation.optional(1)
    count = len(operation.attribute("axes", ())) if given is None else given.size
    sizes = list(x.tensor.shape)
    for axis in sorted(_axes(operation, x.rank + count)):
        sizes.insert(axis, 1)
    return _reshaped(operation, x, sizes)


def transpose(operation: Operation) -> Value:
    """Read ``Transpose`` of axes behind the batch."""
    x = operation.value()
    order = operation.attribute("perm", list(reversed(range(x.rank))))
    if order[0] != 0:
        raise operation.error(f"perm {order}; expected the batch to stay the first axis")
    return _kept(operation.function(torch.permute, x, tuple(order)), x)


def pad(operation: Operation) -> Value:
    """Read ``Pad`` with zeros around a map."""
    x = operation.value()
    given, number = operation.optional(1), operation.optional(2)
    pads = list(operation.attribute("pads", ()) if given is None else given.value.tolist())
    fill = operation.attribute("value", 0.0) if number is None else float(number.value.reshape(()))
    mode = operation.attribute("mode", "constant")
    begins, ends = pads[: x.rank], pads[x.rank :]
    is_plain = mode == "constant" and fill == 0 and operation.optional(3) is None and x.rank in ZERO_PADS
    if not is_plain or len(pads) != 2 * x.rank or any(begins[:2] + ends[:2]):
        raise operation.error(f"mode {mode}, value {fill}, pads {pads}; expected zeros around a map")
    sides = [side for pair in zip(begins[:1:-1], ends[:1:-1], strict=True) for side in pair]
    return _kept(operation.module(ZERO_PADS[x.rank](tuple(sides)), x), x)


def split(operation: Operation) -> tuple[Value, ...]:
    """Read ``Split`` along an axis of one input."""
    x = operation.value()
    axis = operation.axis(operation.attribute("axis", 0), x.rank)
    given = operation.optional(1)
    sizes = operation.attribute("split", None) if given is None else given.value.tolist()
    if sizes is None:
        whole, count = x.tensor.shape[axis], len(operation.node.output)
        largest = -(-whole // count)
        sizes = [min(largest, whole - largest * position) for position in range(count)]
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    return tuple(
        _kept(operation.function(torch.narrow, x, axis, start, size), x)
        for start, size in zip(starts, sizes, strict=True)
    )


def cut(operation: Operation) -> Value:
    """Read ``Slice`` with constant bounds."""
    x = operation.value()
    names = ("starts", "ends", "axes", "steps")
    if operation.opset < 10:
        bounds = [operation.attribute(name, None) for name in names]
    else:
        given = [operation.optional(position) for position in range(1, 5)]
        bounds = [None if constant is None else constant.value.tolist() for constant in given]
    starts, ends, axes, steps = bounds
    if set(steps or (1,)) != {1}:
        raise operation.error(f"steps {steps}; expected 1")
    for start, end, axis in zip(starts, ends, axes or range(len(starts)), strict=True):
        along = operation.axis(axis, x.rank)
        begin, behind, _ = slice(start, end).indices(x.tensor.shape[along])
        x = _kept(operation.function(torch.narrow, x, along, begin, behind - begin), x)
    return x


def _reshaped(operation: Operation, x: Value, target: Sequence[int]) -> Value:
    shape = x.tensor.reshape(tuple(target)).shape
    if shape == x.tensor.shape:
        return x
    if not shape or shape[0] != x.tensor.shape[0]:
        raise operation.error(
            f"from {tuple(x.tensor.shape)} to {tuple(shape)} would mix the batch with other axes; expected it to stay"
        )
    if len(shape) == 2:
        return _kept(operation.module(nn.Flatten(), x), x)
    return _kept(operation.function(torch.reshape, x, (-1, *shape[1:])), x)  # whatever the batch


def _kept(result: Value, x: Value) -> Value:
    return dataclasses.replace(result, scale=x.scale, bits=x.bits)


def _axes(operation: Operation, rank: int) -> set[int]:
    given = operation.optional(1)
    axes = operation.attribute("axes", ()) if given is None else given.value.tolist()
    return {axis % rank for axis in axes}
