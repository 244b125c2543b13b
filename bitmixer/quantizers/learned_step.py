"""The gradients of a learned step, in as few passes over memory as they take.

Rounding passes the gradient straight through. With value v = code x step, LSQ's derivative (Esser et al., ICLR
2020, eq. 3) is dv/d(step) = code - x/step inside the range and the code outside; steps are held as logarithms,
so dv/d(log step) = v - x inside and v outside. Summed over a tensor with the gradient g that arrives, this is
<g, v> - <g inside, x>: two dot products of tensors that are in memory anyway, since the layer before keeps x
and the layer behind keeps v. Nothing else is kept or computed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EDGE = 1.0 + 1e-6
"""Widens the range, so that its ends count as inside; but not zero, where a ReLU has no slope either."""


class LearnedStep(torch.autograd.Function):
    """``encode(x) * step`` with a straight-through gradient for x and LSQ's for log(step)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        log_step: Tensor,
        step: Tensor,
        encode: Callable[[Tensor], Tensor],
        bounds: tuple[int, int],
    ) -> Tensor:
        """Return the values."""
        values = encode(x).mul_(step)
        ctx.save_for_backward(x, values, step)
        ctx.bounds = bounds
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Return the gradients of x and of the logarithm of the step."""
        x, values, step = ctx.saved_tensors
        low, high = ctx.bounds
        unit = float(step)
        inside = torch.ops.aten.hardtanh_backward(gradient, x, low * EDGE * unit, high * EDGE * unit)
        slope = aligned_dot(gradient, values) - aligned_dot(inside, x)
        # Esser et al., section 2.2: steps see the sum over many elements, so their gradient is scaled down.
        return inside, slope.mul_(1.0 / math.sqrt(x.numel() * max(high, 1))), None, None, None


def _slope(gradient: Tensor, inside: Tensor, x: Tensor, values: Tensor, low: float, high: float) -> Tensor:
    if x.dtype is torch.float32:
        return aligned_dot(gradient, values) - aligned_dot(inside, x)
    # Two sums of few digits would cancel: the difference is taken before the sum, and the sum in float32.
    difference: Tensor = values - torch.ops.aten.hardtanh_backward(x, x, low, high)
    return difference.mul_(gradient).sum(dtype=torch.float32)


def aligned_dot(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum of the products of two tensors of one shape, without copying channels_last ones."""
    if second.dim() == 4 and second.is_contiguous(memory_format=torch.channels_last):
        first, second = first.permute(0, 2, 3, 1), second.permute(0, 2, 3, 1)
    return torch.dot(first.reshape(-1), second.reshape(-1))
