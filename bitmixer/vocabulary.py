"""What conversion understands: modules, functions and methods, by what they do to a tensor.

Functions and methods stand in one table: a callable is a function, a string names a method.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer.graph import JoinKind
from bitmixer.layers import (
    Affine,
    BitPlaneCode,
    ExactReduction,
    RepeatedChannels,
    ShiftedPReLU,
    Site,
    StochasticDepth,
    StoredTensor,
    ThermometerCode,
    TransitionalNorm,
)

Targets = tuple[Any, ...]

SITE_MODULES = (nn.Conv1d, nn.Conv2d, nn.Linear, Site)
BATCH_NORM_MODULES = (nn.BatchNorm1d, nn.BatchNorm2d)
SAMPLE_NORM_MODULES = (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d)
NORM_MODULES = (*BATCH_NORM_MODULES, *SAMPLE_NORM_MODULES, Affine, TransitionalNorm)

AVERAGE_MODULES = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
AVERAGE_FUNCTIONS: Targets = (
    F.avg_pool1d, F.avg_pool2d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, torch.mean, "mean", torch.sum, "sum",
)  # fmt: skip
MAXIMUM_MODULES = (nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)
MAXIMUM_FUNCTIONS: Targets = (
    F.max_pool1d, torch.max_pool1d, F.max_pool2d, torch.max_pool2d, F.adaptive_max_pool1d, F.adaptive_max_pool2d,
    torch.amax, "amax",
)  # fmt: skip

SOFTMAX_MODULES = (nn.Softmax,)
SOFTMAX_FUNCTIONS: Targets = (F.softmax, torch.softmax, "softmax")

RESPONSE_NORM_MODULES = (nn.LocalResponseNorm,)
RESPONSE_NORM_FUNCTIONS: Targets = (F.local_response_norm,)

NON_NEGATIVE_MODULES = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid, nn.Softplus)
NON_NEGATIVE_FUNCTIONS: Targets = (
    F.relu, F.relu6, torch.relu, torch.relu_, "relu", "relu_",
    F.sigmoid, torch.sigmoid, "sigmoid", "sigmoid_", F.hardsigmoid, F.softplus,
    torch.abs, "abs", torch.square, "square", torch.exp, "exp",
)  # fmt: skip
"""Their results hold no negative value, whatever they are given."""

ACTIVATION_MODULES = (
    nn.SiLU, nn.Hardswish, nn.GELU, nn.ELU, nn.CELU, nn.SELU, nn.LeakyReLU, nn.PReLU, nn.Mish, nn.Tanh, nn.Softsign,
)  # fmt: skip
ACTIVATION_FUNCTIONS: Targets = (
    F.silu, F.hardswish, F.gelu, F.elu, F.celu, F.selu, F.leaky_relu, F.mish, F.tanh, torch.tanh, "tanh", "tanh_",
    F.softsign, operator.pow, torch.pow, "pow", torch.sqrt, "sqrt",
)  # fmt: skip
"""Element by element; what was not negative stays so."""

SIGNED_MODULES = (ShiftedPReLU, ThermometerCode, BitPlaneCode)
"""Element by element; their results may be negative, whatever they are given."""

SHAPE_MODULES = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle,
    nn.ChannelShuffle, nn.ZeroPad1d, nn.ZeroPad2d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d,
    nn.ReplicationPad2d, StochasticDepth, RepeatedChannels,
)  # fmt: skip
NEAREST_MODES = ("nearest", "nearest-exact")


def part(divide: str, index: int, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Return one of the parts into which a method (chunk, split, unbind) cuts a tensor."""
    parts: Sequence[Tensor] = getattr(x, divide)(*args, **kwargs)
    return parts[index]


DIVIDE_FUNCTIONS: Targets = (torch.chunk, "chunk", torch.split, "split", torch.unbind, "unbind")
"""They return several tensors; tracing makes a :func:`part` of each."""
SLICE_FUNCTIONS: Targets = (operator.getitem, part, torch.narrow, "narrow", torch.select, "select")
SHAPE_FUNCTIONS: Targets = (
    *SLICE_FUNCTIONS, torch.flatten, "flatten", "view", torch.reshape, "reshape", "unflatten", "contiguous", "clone",
    torch.transpose, "transpose", torch.permute, "permute", torch.unsqueeze, "unsqueeze", torch.squeeze, "squeeze",
    "expand", F.pixel_shuffle, F.channel_shuffle, F.pad,
)  # fmt: skip

CONCATENATE_FUNCTIONS: Targets = (torch.cat, torch.concat, torch.concatenate)
JOINS: dict[Any, JoinKind] = {
    operator.add: "addition", operator.iadd: "addition", torch.add: "addition",
    "add": "addition", "add_": "addition",
    operator.sub: "subtraction", operator.isub: "subtraction", torch.sub: "subtraction",
    "sub": "subtraction", "sub_": "subtraction",
    operator.neg: "subtraction", torch.neg: "subtraction", "neg": "subtraction",
    operator.mul: "multiplication", operator.imul: "multiplication", torch.mul: "multiplication",
    "mul": "multiplication", "mul_": "multiplication",
    operator.matmul: "matrix_product", torch.matmul: "matrix_product", torch.bmm: "matrix_product",
    "matmul": "matrix_product", "bmm": "matrix_product",
    F.scaled_dot_product_attention: "attention",
}  # fmt: skip
ARITHMETIC: Targets = tuple(
    target for target, kind in JOINS.items() if kind in ("addition", "subtraction", "multiplication")
)
DIVISIONS: Targets = (operator.truediv, torch.div, "div")
CLAMPS: Targets = (torch.clamp, "clamp", F.hardtanh)

SIZE_SOURCES: Targets = ("size", "dim")
SIZE_ARITHMETIC: Targets = (
    operator.getitem, operator.mul, operator.floordiv, operator.truediv, operator.add, operator.sub, operator.neg,
    operator.pow, operator.mod, operator.eq,
)  # fmt: skip
PLAIN_FORM: dict[Any, Any] = {
    "relu_": "relu", torch.relu_: torch.relu, "sigmoid_": "sigmoid", "tanh_": "tanh",
    "add_": "add", operator.iadd: operator.add, "sub_": "sub", operator.isub: operator.sub,
    "mul_": "mul", operator.imul: operator.mul,
}  # fmt: skip
"""Operations that overwrite their first operand, and their like that do not."""

LEAVES = (
    *SITE_MODULES, *NORM_MODULES, *AVERAGE_MODULES, *MAXIMUM_MODULES, *SOFTMAX_MODULES, *RESPONSE_NORM_MODULES,
    *NON_NEGATIVE_MODULES,
    *ACTIVATION_MODULES, *SIGNED_MODULES, nn.Hardtanh, *SHAPE_MODULES, nn.Upsample, StoredTensor, ExactReduction,
)  # fmt: skip
SUPPORTED = (
    "convolution, linear, batch, layer, group, instance and local response norm, activations, pooling, softmax, "
    "addition, subtraction, multiplication, matrix products, attention, concatenation, nearest upsampling, slicing and "
    "reshaping"
)
