"""Nested weight codes: stored once at the highest width, lower widths are their leading bit planes.

Double rounding (arXiv 2502.01199, eq. 1-3): ``q_h = clip(round(W / s))`` at the highest width h, then
``q_l = clip(round(q_h / 2**(h - l)))``, worth ``q_l * s * 2**(h - l)``. The second rounding adds the next
plane as a carry, so a width l below h needs l + 1 planes of the stored code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bitmixer.quantizers.learned_step import LearnedStep
from bitmixer.quantizers.lsq import best_step, code_range, sample


def nested_codes(ratio: Tensor, bits: int, highest: int) -> Tensor:
    """Return the codes at ``bits`` of values given in units of the highest width's step."""
    low, high = code_range(highest, signed=True)
    codes = ratio.round().clamp_(low, high)
    if bits == highest:
        return codes
    low, high = code_range(bits, signed=True)
    return codes.mul_(2.0 ** (bits - highest)).add_(0.5).floor_().clamp_(low, high)


class NestedWeightQuantizer(nn.Module):
    """Quantises one weight tensor to any of several widths with a single learned step.

    Args:
        widths: Bit-widths it can be set to.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.lowest, self.highest = min(widths), max(widths)
        self.bits = self.highest
        self.log_step = nn.Parameter(torch.zeros(()))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weights rounded to the current width, differentiable."""
        bounds = code_range(self.bits, signed=True)
        arguments = (weight, self.log_step, self.step(), self.codes, bounds)
        result: Tensor = LearnedStep.apply(*arguments)  # type: ignore[no-untyped-call]
        return result

    @torch.no_grad()
    def step(self) -> Tensor:
        """Return the value of one code at the current width (a scalar tensor)."""
        return self.log_step.exp() * 2.0 ** (self.highest - self.bits)

    @torch.no_grad()
    def codes(self, weight: Tensor) -> Tensor:
        """Return the integer codes of the weights at the current width, held as floats."""
        return nested_codes(weight / self.log_step.exp(), self.bits, self.highest)

    @torch.no_grad()
    def calibrate(self, weight: Tensor) -> None:
        """Set the step for the least squared error at the lowest width, which is the one that suffers."""
        low, high = code_range(self.lowest, signed=True)
        coarse_step = best_step(sample(weight, count=65536), low, high)
        self.log_step.fill_(math.log(coarse_step * 2.0 ** (self.lowest - self.highest)))

    def extra_repr(self) -> str:
        """Describe the quantiser in a printed network."""
        return f"lowest={self.lowest}, highest={self.highest}"
