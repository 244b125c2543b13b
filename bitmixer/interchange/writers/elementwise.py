"""Activations and arithmetic with numbers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from bitmixer.errors import InterchangeError
from bitmixer.interchange.writers.export import Export
from bitmixer.layers import AbsorbedReLU
from bitmixer.operations import calls, is_scalar_arithmetic, module_of, place
from bitmixer.vocabulary import DIVISIONS, JOINS

PLAIN: dict[Any, str] = {
    nn.ReLU: "Relu", AbsorbedReLU: "Relu", F.relu: "Relu", torch.relu: "Relu", "relu": "Relu",
    nn.Sigmoid: "Sigmoid", F.sigmoid: "Sigmoid", torch.sigmoid: "Sigmoid", "sigmoid": "Sigmoid",
    nn.Tanh: "Tanh", F.tanh: "Tanh", torch.tanh: "Tanh", "tanh": "Tanh",
    nn.SELU: "Selu", F.selu: "Selu", nn.Softsign: "Softsign", F.softsign: "Softsign",
    torch.abs: "Abs", "abs": "Abs", nn.Hardsigmoid: "HardSigmoid", F.hardsigmoid: "HardSigmoid",
}  # fmt: skip
GATED: dict[Any, str] = {
    nn.SiLU: "Sigmoid", F.silu: "Sigmoid", nn.Hardswish: "HardSigmoid", F.hardswish: "HardSigmoid",
}  # fmt: skip
"""x times a gate of x."""
GAUSSIAN = (nn.GELU, F.gelu)
CLAMPS = (nn.ReLU6, F.relu6, nn.Hardtanh, F.hardtanh, torch.clamp, "clamp")
SLOPED: dict[Any, tuple[str, str, float]] = {
    nn.LeakyReLU: ("LeakyRelu", "negative_slope", 0.01), F.leaky_relu: ("LeakyRelu", "negative_slope", 0.01),
    nn.ELU: ("Elu", "alpha", 1.0), F.elu: ("Elu", "alpha", 1.0),
}  # fmt: skip
"""ONNX's operator, whose attribute is ``alpha``, and the option that torch calls it by, with its default."""
ARITHMETIC = {"addition": "Add", "subtraction": "Sub", "multiplication": "Mul", "matrix_product": "MatMul"}


def kind_of(node: fx.Node) -> Any:
    """Return what tells an activation's kind: the class of its module, its function or the name of its method."""
    layer = module_of(node)
    return node.target if layer is None else type(layer)


def gate_attributes(gate: str) -> dict[str, float]:
    """Return the attributes of a gate; torch's hard sigmoid has one slope, and ONNX's another by default."""
    return {"alpha": 1 / 6, "beta": 0.5} if gate == "HardSigmoid" else {}


def option(node: fx.Node, name: str, position: int, default: Any) -> Any:
    """Return an option of an activation, from its module or from how its function is called."""
    layer = module_of(node)
    if layer is not None:
        return getattr(layer, name)
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def bounds(node: fx.Node) -> tuple[float | None, float | None]:
    """Return the lowest and the highest value that a clamp lets through."""
    kind = kind_of(node)
    if kind is F.relu6:
        return 0.0, 6.0
    if kind in (torch.clamp, "clamp"):
        return option(node, "min", 1, None), option(node, "max", 2, None)
    return option(node, "min_val", 1, -1.0), option(node, "max_val", 2, 1.0)


def elementwise(export: Export, node: fx.Node) -> str:
    """Write an activation, or arithmetic of a tensor and a number."""
    kind, shape = kind_of(node), export.shape(node)
    if is_scalar_arithmetic(node):
        return _with_number(export, node)
    if kind in PLAIN:
        return export.plain(PLAIN[kind], node, **gate_attributes(PLAIN[kind]))
    if kind in SLOPED:
        operator, name, default = SLOPED[kind]
        return export.plain(operator, node, alpha=float(option(node, name, 1, default)))
    if kind in GATED:
        gate, operands = GATED[kind], export.operands(node)
        opened = export.writer.operation(gate, operands, f"{node.name}.gate", shape, **gate_attributes(gate))
        return export.writer.operation("Mul", (*operands, opened), node.name, shape)
    if kind in CLAMPS:
        named = zip(("lowest", "highest"), bounds(node), strict=True)
        limits = [
            "" if limit is None else export.writer.constant(f"{node.name}.{end}", float(limit)) for end, limit in named
        ]
        return export.writer.operation("Clip", (*export.operands(node), *limits), node.name, shape)
    if kind in GAUSSIAN:
        return _gaussian(export, node)
    raise InterchangeError(f"{place(node)}: {node.target}: this activation cannot be written as QONNX")


def _gaussian(export: Export, node: fx.Node) -> str:
    """Write x / 2 (1 + erf(x / sqrt 2)), or its approximation by tanh (Hendrycks and Gimpel, 2016), part by part."""
    (x,), shape = export.operands(node), export.shape(node)

    def part(kind: str, name: str, *operands: str | float) -> str:
        names = [
            given if isinstance(given, str) else export.writer.constant(f"{node.name}.{name}_number", given)
            for given in operands
        ]
        return export.writer.operation(kind, names, name if name == node.name else f"{node.name}.{name}", shape)

    if option(node, "approximate", 1, "none") == "tanh":
        cube = part("Mul", "cube", part("Mul", "square", x, x), x)
        bent = part("Add", "bent", x, part("Mul", "cubic", cube, 0.044715))
        gate = part("Tanh", "gate", part("Mul", "inner", bent, math.sqrt(2 / math.pi)))
    else:
        gate = part("Erf", "gate", part("Mul", "inner", x, math.sqrt(0.5)))
    return part("Mul", node.name, part("Mul", "half", x, 0.5), part("Add", "opened", gate, 1.0))


def _with_number(export: Export, node: fx.Node) -> str:
    names = []
    for position, operand in enumerate(node.args):
        if isinstance(operand, fx.Node) and operand in export.tensors:
            names.append(export.tensors[operand])
        elif isinstance(operand, int | float):
            names.append(export.writer.constant(f"{node.name}.number_{position}", float(operand)))
        elif isinstance(operand, fx.Node):
            names.append(export.constant(f"{node.name}.constant_{position}", export.value_of(operand)))
        else:
            raise InterchangeError(
                f"{place(node)}: {node.target}: only numbers and constants can be written as QONNX here"
            )
    kind = "Div" if calls(node, DIVISIONS) else ARITHMETIC[JOINS[node.target]]
    return export.writer.operation(kind, names, node.name, export.shape(node))
