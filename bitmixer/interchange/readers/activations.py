"""Activations, element by element, and softmax."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from bitmixer.interchange.readers.operation import Operation
from bitmixer.interchange.values import Value

Maker = Callable[[Operation], nn.Module]


def rectifier(operation: Operation) -> Value:
    """Read ``Relu``, which a positive scale passes through."""
    x = operation.value()
    return dataclasses.replace(operation.module(nn.ReLU(), x), scale=x.scale, bits=x.bits)


def clip(operation: Operation) -> Value:
    """Read ``Clip``: a ReLU with or without a ceiling."""
    low, high = (_bound(operation, name, position) for position, name in ((1, "min"), (2, "max")))
    if (low, high) == (0.0, math.inf):
        return rectifier(operation)
    layer = nn.ReLU6() if (low, high) == (0.0, 6.0) else nn.Hardtanh(low, high)
    return operation.module(layer, operation.plain())


def _bound(operation: Operation, name: str, position: int) -> float:
    given = operation.optional(position)
    nothing = -math.inf if name == "min" else math.inf
    bound = operation.attribute(name, nothing) if given is None else float(given.value.reshape(()))
    return nothing if abs(bound) >= float(np.finfo(np.float32).max) else bound


def softmax(operation: Operation) -> Value:
    """Read ``Softmax``; before opset 13 it ran over everything from its axis on."""
    x = operation.plain()
    axis = operation.axis(operation.attribute("axis", 1 if operation.opset < 13 else -1), x.rank)
    if operation.opset < 13 and any(size != 1 for size in x.tensor.shape[axis + 1 :]):
        raise operation.error(f"over the axes from {axis} of {tuple(x.tensor.shape)} on; expected one axis")
    return operation.module(nn.Softmax(axis), x)


def activation(make: Maker) -> Callable[[Operation], Value]:
    """Return the reader of an operator that becomes a module of its own."""
    return lambda operation: operation.module(make(operation), operation.plain())


def parametric_rectifier(operation: Operation) -> Value:
    """Read ``PRelu`` with one slope, or one per channel."""
    x, slope = operation.plain(), operation.constant(1)
    if slope.size not in (1, x.tensor.shape[1]):
        raise operation.error(f"slopes of shape {slope.shape}; expected one, or one per channel")
    layer = nn.PReLU(slope.size, device="meta")
    return operation.module(layer, x, {"weight": lambda: slope.value.reshape(-1)})


def hard_sigmoid(operation: Operation) -> nn.Module:
    """Return the only hard sigmoid that torch has."""
    slope, offset = operation.attribute("alpha", 0.2), operation.attribute("beta", 0.5)
    if abs(slope - 1 / 6) > 1e-6 or offset != 0.5:
        raise operation.error(f"alpha {slope}, beta {offset}; expected 1/6 and 1/2")
    return nn.Hardsigmoid()


def gaussian(operation: Operation) -> nn.Module:
    """Return the GELU of the node's form."""
    return nn.GELU(operation.attribute("approximate", "none"))


MODULES: dict[str, Maker] = {
    "Elu": lambda operation: nn.ELU(operation.attribute("alpha", 1.0)),
    "Gelu": gaussian,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": lambda operation: nn.Hardswish(),
    "LeakyRelu": lambda operation: nn.LeakyReLU(operation.attribute("alpha", 0.01)),
    "Mish": lambda operation: nn.Mish(),
    "Selu": lambda operation: nn.SELU(),
    "Sigmoid": lambda operation: nn.Sigmoid(),
    "Softplus": lambda operation: nn.Softplus(),
    "Softsign": lambda operation: nn.Softsign(),
    "Tanh": lambda operation: nn.Tanh(),
}
READERS: dict[str, Callable[[Operation], Any]] = {kind: activation(make) for kind, make in MODULES.items()}
