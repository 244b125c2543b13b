"""Movements of data."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from bitmixer.errors import InterchangeError
from bitmixer.interchange.writers.elementwise import kind_of
from bitmixer.interchange.writers.export import Export
from bitmixer.operations import module_of, place, tensor_operands

UNCHANGED = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, "contiguous", "clone")
RESHAPED = (
    nn.Flatten, nn.Unflatten, torch.flatten, "flatten", "view", torch.reshape, "reshape", "unflatten",
    torch.unsqueeze, "unsqueeze", torch.squeeze, "squeeze",
)  # fmt: skip
ZERO_PADS = (nn.ZeroPad1d, nn.ZeroPad2d)
TRANSPOSES = (torch.transpose, "transpose")
PERMUTES = (torch.permute, "permute")


def reshape(export: Export, node: fx.Node) -> str:
    """Write a view, transpose or pad of zeros; what changes nothing is left out."""
    (source,) = tensor_operands(node)
    kind, before, after = kind_of(node), export.sizes[source], export.sizes[node]
    if kind in UNCHANGED or (kind in RESHAPED and before == after):
        return export.tensors[source]
    if kind in RESHAPED and len(after) == 2:
        return export.plain("Flatten", node, axis=1)
    if kind in RESHAPED:
        sizes = export.writer.constant(f"{node.name}.shape", [-1, *after[1:]])
        return export.writer.operation("Reshape", (*export.operands(node), sizes), node.name, export.shape(node))
    if kind in ZERO_PADS:
        pads = export.writer.constant(f"{node.name}.pads", _zero_pads(node, len(before)))
        return export.writer.operation("Pad", (*export.operands(node), pads), node.name, export.shape(node))
    order = _axis_order(node, len(before))
    if order is None or order[0] != 0:
        raise InterchangeError(f"{place(node)}: {node.target}: this movement of data cannot be written as QONNX")
    return export.plain("Transpose", node, perm=order)


def _axis_order(node: fx.Node, rank: int) -> list[int] | None:
    """Return the order in which a transpose takes the axes, the batch's included; ``None`` if the node is none."""
    kind = kind_of(node)
    given: list[Any] = [*node.args[1:], *node.kwargs.values()]
    order = list(range(rank))
    if kind in TRANSPOSES:
        first, second = (axis % rank for axis in given)
        order[first], order[second] = second, first
        return order
    if kind in PERMUTES:
        axes = given[0] if isinstance(given[0], tuple | list) else given
        return [axis % rank for axis in axes]
    return None


def _zero_pads(node: fx.Node, rank: int) -> list[int]:
    """Return the pads of a zero pad as ONNX has them: before every axis, then behind every axis."""
    layer = module_of(node)
    assert isinstance(layer, nn.ZeroPad1d | nn.ZeroPad2d)
    sides = list(layer.padding)  # last axis first, both sides of each
    missing = [0] * (rank - len(sides) // 2)
    return [*missing, *reversed(sides[::2]), *missing, *reversed(sides[1::2])]
