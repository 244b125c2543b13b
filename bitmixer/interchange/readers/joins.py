"""Operators that bring several tensors together."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from functools import reduce

import torch

from bitmixer.interchange.constants import Constant
from bitmixer.interchange.readers.layers import matrix_product
from bitmixer.interchange.readers.operation import Operation
from bitmixer.interchange.readers.scaling import multiplied, shifted
from bitmixer.interchange.values import Value


def add(operation: Operation) -> Value:
    """Read ``Add``, of two tensors or of one and a constant."""
    first, second = operation.operand(0), operation.operand(1)
    if isinstance(second, Constant):
        return shifted(operation, operation.value(0), second)
    if isinstance(first, Constant):
        return shifted(operation, second, first)
    return _combined(operation, operator.add, first, second)


def subtract(operation: Operation) -> Value:
    """Read ``Sub``."""
    first, second = operation.operand(0), operation.operand(1)
    if isinstance(second, Constant):
        return shifted(operation, operation.value(0), second, negative=True)
    if isinstance(first, Constant):
        raise operation.error("subtracts from a constant; expected a tensor minus a constant")
    return _combined(operation, operator.sub, first, second)


def multiply(operation: Operation) -> Value:
    """Read ``Mul``; scales of both operands travel on."""
    first, second = operation.operand(0), operation.operand(1)
    if isinstance(second, Constant):
        return multiplied(operation, operation.value(0), second)
    if isinstance(first, Constant):
        return multiplied(operation, second, first)
    product = operation.function(operator.mul, first, second)
    return dataclasses.replace(product, scale=first.scale * second.scale)


def divide(operation: Operation) -> Value:
    """Read ``Div`` by a constant."""
    return multiplied(operation, operation.value(0), operation.constant(1), inverse=True)


def sum_of_all(operation: Operation) -> Value:
    """Read ``Sum`` of any number of tensors."""
    values = [operation.value(position) for position in range(len(operation.operands))]
    return reduce(lambda first, second: _combined(operation, operator.add, first, second), values)


def concatenate(operation: Operation) -> Value:
    """Read ``Concat``; its width is the largest of its parts'."""
    parts = [operation.value(position) for position in range(len(operation.operands))]
    if len({part.scale for part in parts}) > 1:
        parts = [operation.builder.unscaled(part) for part in parts]
    axis = operation.axis(operation.attribute("axis", 1), parts[0].rank)
    widths = [part.bits for part in parts if part.bits is not None]
    bits = max(widths) if len(widths) == len(parts) else None
    joined = operation.function(torch.cat, parts, dim=axis)
    return dataclasses.replace(joined, scale=parts[0].scale, bits=bits)


def any_matrix_product(operation: Operation) -> Value:
    """Read ``MatMul``: a linear layer, or a product of two tensors that the network computes."""
    first, second = operation.operand(0), operation.operand(1)
    if isinstance(first, Constant) or isinstance(second, Constant):
        return matrix_product(operation)
    product = operation.function(torch.matmul, first, second)
    return dataclasses.replace(product, scale=first.scale * second.scale)


def _combined(operation: Operation, function: Callable[..., torch.Tensor], first: Value, second: Value) -> Value:
    """Add or subtract, and remember the width at which what waits for it is stored."""
    if first.scale != second.scale:
        first, second = operation.builder.unscaled(first), operation.builder.unscaled(second)
    operation.builder.stored_widths.update(value.bits for value in (first, second) if value.bits is not None)
    return dataclasses.replace(operation.function(function, first, second), scale=first.scale)
