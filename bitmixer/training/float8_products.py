"""The three products of a layer, whose operands are rounded to eight-bit floats; sums are in float32.

A layer's result is not rounded once more: the norm reads the accumulators, as in the accelerators of this project, and
what the next layer reads is rounded where it reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

Rounder = Callable[[Tensor], Tensor]


class Rounders(NamedTuple):
    """Round the tensors of each class to their format."""

    weights: Rounder
    activations: Rounder
    errors: Rounder
    gradients: Rounder


class Geometry(NamedTuple):
    """How a convolution moves over its input; one entry per axis of a map."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


class Multiplier(Protocol):
    """Computes products of operands that are rounded already."""

    def multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry | None) -> Tensor:
        """Return the forward product; a linear layer's, where there is no geometry."""
        ...

    def gradients(
        self, error: Tensor, x: Tensor, weight: Tensor, geometry: Geometry | None, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of the input and of the weights, each where it is wanted."""
        ...


class Underflow:
    """Counts elements of errors that are rounded to zero.

    Attributes:
        lost: Elements that were not zero before.
        counted: Elements that were not zero before, or that stayed.
    """

    def __init__(self) -> None:
        self.lost = self.counted = 0

    def count(self, before: Tensor, after: Tensor) -> None:
        """Count a tensor."""
        present = int(torch.count_nonzero(before))
        self.counted += present
        self.lost += present - int(torch.count_nonzero(after))

    @property
    def share(self) -> float:
        """Share of the elements that was lost; 0 where there were none."""
        return self.lost / self.counted if self.counted else 0.0


class LayerProducts:
    """Takes the place of a convolution's or linear layer's product.

    Args:
        rounders: How operands are rounded.
        reads_codes: Returns whether the layer's input and its weights are codes of few bits already, which the forward
            product takes as they are. The backward products read them rounded.
        multiplier: What multiplies the rounded operands.

    Attributes:
        underflow: Errors lost to rounding, counted while ``is_counted``.
        is_counted: Whether they are counted.
    """

    def __init__(
        self, rounders: Rounders, reads_codes: Callable[[], tuple[bool, bool]], multiplier: Multiplier
    ) -> None:
        self.rounders = rounders
        self.multiplier = multiplier
        self.reads_codes = reads_codes
        self.underflow = Underflow()
        self.is_counted = False

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply as ``torch.nn.functional.linear`` does."""
        result: Tensor = _Product.apply(x, weight, bias, self, None)  # type: ignore[no-untyped-call]
        return result

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
    ) -> Tensor:
        """Convolve as ``torch.nn.functional.conv1d`` and ``conv2d`` do."""
        axes = weight.dim() - 2
        geometry = Geometry(_each(stride, axes), _each(padding, axes), _each(dilation, axes), groups)
        result: Tensor = _Product.apply(x, weight, bias, self, geometry)  # type: ignore[no-untyped-call]
        return result


def _each(size: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    return (size,) * axes if isinstance(size, int) else tuple(size)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, x: Tensor, weight: Tensor, bias: Tensor | None, products: LayerProducts, geometry: Geometry | None
    ) -> Tensor:
        precision = _precision(x)
        narrow_x = products.rounders.activations(x).to(precision)  # exact: bfloat16 has more digits
        narrow_weight = products.rounders.weights(weight).to(precision)
        ctx.save_for_backward(narrow_x, narrow_weight)
        ctx.products, ctx.geometry = products, geometry
        x_is_codes, weight_is_codes = products.reads_codes()
        if x_is_codes or weight_is_codes:
            operands = x if x_is_codes else narrow_x, weight if weight_is_codes else narrow_weight
            return EMULATED.multiply(*operands, bias, geometry)
        return products.multiplier.multiply(narrow_x, narrow_weight, bias, geometry)

    @staticmethod
    def backward(ctx, error: Tensor):  # type: ignore[no-untyped-def]
        x, weight = ctx.saved_tensors
        products: LayerProducts = ctx.products
        narrow = products.rounders.errors(error).to(x.dtype)
        if products.is_counted:
            products.underflow.count(error, narrow)
        wanted = ctx.needs_input_grad
        to_x, to_weight = products.multiplier.gradients(narrow, x, weight, ctx.geometry, wanted[:2])
        if to_weight is not None:
            to_weight = products.rounders.gradients(to_weight)
        channels = narrow.dim() - 1 if ctx.geometry is None else 1
        others = [axis for axis in range(narrow.dim()) if axis != channels]
        to_bias = narrow.sum(others, dtype=torch.float32) if wanted[2] else None
        return to_x, to_weight, to_bias, None, None


def _precision(x: Tensor) -> torch.dtype:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32


class EmulatedProducts:
    """Products of wider floats, which hold the rounded operands exactly."""

    def multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry | None) -> Tensor:
        """Return the forward product."""
        if geometry is None:
            return F.linear(x, weight, bias)
        convolve = F.conv1d if weight.dim() == 3 else F.conv2d
        return convolve(x, weight, bias, *geometry)

    def gradients(
        self, error: Tensor, x: Tensor, weight: Tensor, geometry: Geometry | None, wanted: tuple[bool, bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of the input and of the weights, each where it is wanted."""
        if geometry is None:
            to_x = error @ weight if wanted[0] else None
            to_weight = error.flatten(0, -2).t() @ x.flatten(0, -2) if wanted[1] else None
            return to_x, to_weight
        stride, padding, dilation, groups = geometry
        to_x, to_weight, _ = torch.ops.aten.convolution_backward(
            error, x, weight, None, stride, padding, dilation, False, (0,) * len(stride), groups, (*wanted, False)
        )
        return to_x, to_weight


EMULATED = EmulatedProducts()
