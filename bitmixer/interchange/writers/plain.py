"""What has no bit-widths and is no activation: pools, joins, softmax, local response norm."""

from __future__ import annotations

from typing import Any

from torch import fx

from bitmixer.errors import InterchangeError
from bitmixer.interchange.writers.elementwise import ARITHMETIC, option
from bitmixer.interchange.writers.export import Export
from bitmixer.interchange.writers.pools import pool_operation
from bitmixer.layers import ExactSoftmax
from bitmixer.operations import join_kind, module_of, place, tensor_operands

RESPONSE_NORM = {"size": (1, 5), "alpha": (2, 1e-4), "beta": (3, 0.75), "k": (4, 1.0)}
"""Options of torch's local response norm: their positions and defaults."""


def pool(export: Export, node: fx.Node) -> str:
    """Write a pool or mean; one that drops the axes of its map is flattened."""
    before, after = (export.shape(pooled)[1:] for pooled in (tensor_operands(node)[0], node))
    kind, attributes = pool_operation(node, before, after)
    if len(before) == len(after):
        return export.plain(kind, node, **attributes)
    whole_map = (export.batch, before[0], *[1] * (len(before) - 1))
    name = export.writer.operation(kind, export.operands(node), f"{node.name}.map", whole_map)
    return export.writer.operation("Flatten", (name,), node.name, export.shape(node), axis=1)


def join(export: Export, node: fx.Node) -> str:
    """Write the arithmetic of two tensors."""
    kind = join_kind(node)
    if kind not in ARITHMETIC:
        raise InterchangeError(f"{place(node)}: {node.target}: this join cannot be written as QONNX")
    return export.plain(ARITHMETIC[kind], node)


def concatenation(export: Export, node: fx.Node) -> str:
    """Write a concatenation."""
    axis = option(node, "dim", 1, 0)
    return export.plain("Concat", node, axis=axis % len(export.sizes[node]))


def softmax(export: Export, node: fx.Node) -> str:
    """Write a softmax."""
    wrapper = module_of(node)
    assert isinstance(wrapper, ExactSoftmax)
    given: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    axis = getattr(wrapper.operation, "dim", given)
    return export.plain("Softmax", node, axis=axis % len(export.sizes[node]))


def response_norm(export: Export, node: fx.Node) -> str:
    """Write a local response norm."""
    size, alpha, beta, bias = (option(node, name, *defaults) for name, defaults in RESPONSE_NORM.items())
    return export.plain("LRN", node, size=size, alpha=float(alpha), beta=float(beta), bias=float(bias))
