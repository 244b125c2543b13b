"""The gradients of a learned step, in as few passes over memory as they take.

Rounding passes the gradient of x straight through where x lies in the covered range. Steps are held as logarithms:
they stay positive, and an optimiser's learning rate is a relative change. With value v = code x step and the gradient g
that arrives, the derivative by log(step) sums over the tensor to

- ``rounding`` (LSQ; Esser et al., ICLR 2020, eq. 3): v - x inside the range and v outside, hence
  <g, v> - <g inside, x>;
- ``clipping`` (PACT; Choi et al., 2018, eq. 3): nothing inside and v outside, hence <g, v> - <g inside, v>;
- ``scale`` (a sign, which does not depend on the step): v everywhere, hence <g, v>.

Those are dot products of tensors that are in memory anyway, since the layer before keeps x and the layer behind
keeps v: nothing else is kept, nothing computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bitmixer.quantizers.base import Coded

Slope = Literal["rounding", "clipping", "scale"]

FLOAT32_BYTES = 4

_keep_between = torch.ops.aten.hardtanh_backward.default

EDGE = 1.0 + 1e-6
"""Widens the range, so that its ends count as inside; but not zero, where a ReLU has no slope either."""


class LearnedStep(torch.autograd.Function):
    """The values of ``encode(x)``, with gradients for x and for the logarithm of the step.

    Arguments: x; log_step, a scalar or one per output channel; the encoder; the covered range in steps; the kind of
    slope; the factor by which the gradient of the step is scaled.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        log_step: Tensor,
        encode: Callable[[Tensor], Coded],
        covered: tuple[int, int],
        slope: Slope,
        gain: float,
    ) -> Tensor:
        """Return the values."""
        codes, step = encode(x)
        values = codes.mul_(step)
        ctx.save_for_backward(x, values, step)
        ctx.rule = (covered, slope, gain)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        """Return the gradients of x and of the logarithm of the step."""
        x, values, step = ctx.saved_tensors
        (low, high), slope, gain = ctx.rule
        inside = _inside(gradient, x, low * EDGE, high * EDGE, step)
        total = _total if step.dim() == 0 else _total_per_channel
        log_step_gradient = total(gradient, values)
        if slope == "rounding" and x.element_size() < FLOAT32_BYTES:
            # Two sums of few digits would cancel: the difference is taken before the sum.
            log_step_gradient = total(gradient, values - _inside(x, x, low * EDGE, high * EDGE, step))
        elif slope != "scale":
            log_step_gradient -= total(inside, x if slope == "rounding" else values)
        return inside, log_step_gradient.mul_(gain), None, None, None, None


def _inside(gradient: Tensor, x: Tensor, low: float, high: float, step: Tensor) -> Tensor:
    """Return the gradient where x lies between ``low`` and ``high`` steps, zero elsewhere."""
    if step.dim() == 0:
        unit = float(step)
        result: Tensor = _keep_between(gradient, x, low * unit, high * unit)  # one pass
        return result
    return torch.where((x > low * step) & (x < high * step), gradient, 0.0)


def _total(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum of the products of two tensors of one shape, without copying channels_last ones."""
    if second.dim() == 4 and second.is_contiguous(memory_format=torch.channels_last):
        first, second = first.permute(0, 2, 3, 1), second.permute(0, 2, 3, 1)
    if first.element_size() < FLOAT32_BYTES:
        return (first * second).sum(dtype=torch.float32)
    return torch.dot(first.reshape(-1), second.reshape(-1))


def _total_per_channel(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).flatten(1).sum(dim=1)
