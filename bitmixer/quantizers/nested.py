"""Nested weight codes: stored once at the highest width, lower widths are their leading bit planes.

Double rounding (arXiv 2502.01199, eq. 1-3): ``q_h = clip(round(W / s))`` at the highest width h, then
``q_l = clip(round(q_h / 2**(h - l)))``, worth ``q_l * s * 2**(h - l)``. The second rounding adds the next
plane as a carry, so a width l below h needs l + 1 planes of the stored code.

One bit is the sign plane b of the stored code and nothing more: the code is 1 - 2 b, that is +1 or -1. It has a step
of its own, since the best spread of two levels is not that of four. The step starts at the mean size of the weights,
which errs least (Rastegari et al., "XNOR-Net", ECCV 2016, eq. 6), and is learned from there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bitmixer.kernels import CodeFormat
from bitmixer.quantizers.base import Coded, Quantizer, per_channel_shape
from bitmixer.quantizers.calibration import best_steps, rows_of
from bitmixer.quantizers.codes import code_format, code_range, covered_range, signs
from bitmixer.quantizers.learned_step import LearnedStep
from bitmixer.quantizers.lsq import lsq_gain


def nested_codes(ratio: Tensor, bits: int, highest: int) -> Tensor:
    """Return the codes at ``bits`` of values given in units of the highest width's step, which may be overwritten."""
    if highest == 1:
        return signs(ratio)
    low, high = code_range(highest, signed=True)
    codes = ratio.round_().clamp_(low, high)
    if bits == highest:
        return codes
    if bits == 1:
        return signs(codes)  # zero has no sign bit
    low, high = code_range(bits, signed=True)
    return codes.mul_(2.0 ** (bits - highest)).add_(0.5).floor_().clamp_(low, high)


class NestedWeightQuantizer(Quantizer):
    """Quantises one weight tensor to any of several widths with a single learned step (and one for the sign).

    Args:
        widths: Bit-widths it can be set to.
        channels: Output channels, where each has a step of its own; ``None`` for one step.
    """

    def __init__(self, widths: Sequence[int], *, channels: int | None = None) -> None:
        super().__init__()
        self.widths = tuple(sorted(set(widths)))
        self.highest = self.bits = self.widths[-1]
        self.largest_code = -code_range(self.highest, signed=True)[0]
        shape = () if channels is None else (channels,)
        if self.highest > 1:
            self.log_step = nn.Parameter(torch.zeros(shape))
        if self.widths[0] == 1:
            self.log_sign_step = nn.Parameter(torch.zeros(shape))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weights rounded to the current width, differentiable."""
        log_step = self.log_sign_step if self.bits == 1 else self.log_step
        slope = "scale" if self.bits == 1 else "rounding"
        gain = lsq_gain(weight.numel() // log_step.numel(), self.bits, signed=True)
        result: Tensor = LearnedStep.apply(  # type: ignore[no-untyped-call]
            weight, log_step, self.encode, covered_range(self.bits, signed=True), slope, gain
        )
        return result

    def step(self) -> Tensor:
        """Return the value of one code at the current width (a scalar, or one per output channel)."""
        if self.bits == 1:
            return self.log_sign_step.detach().exp()
        return self.log_step.detach().exp() * 2.0 ** (self.highest - self.bits)

    def encode(self, x: Tensor) -> Coded:
        """Return the codes of the weights at the current width and their step."""
        stored_step = self.log_step.detach().exp() if self.highest > 1 else self.step()
        ratio = x.detach() / per_channel_shape(stored_step, x)
        return Coded(nested_codes(ratio, self.bits, self.highest), per_channel_shape(self.step(), x))

    @property
    def code_format(self) -> CodeFormat:
        """How the codes of the current width are written in bits."""
        return code_format(self.bits, signed=True)

    @property
    def is_fitted(self) -> bool:
        """Whether a step differs from 1."""
        return any(bool(log_step.detach().any()) for log_step in self.parameters())

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the step for the least squared error at the lowest width above one, which is the one that suffers."""
        if self.widths[0] == 1:
            self._fit(self.log_sign_step, x, 1)
        if self.highest > 1:
            self._fit_from(x, min(bits for bits in self.widths if bits > 1))

    def _fit_from(self, weight: Tensor, lowest: int) -> None:
        self._fit(self.log_step, weight, lowest)
        self.log_step.sub_(math.log(2.0) * (self.highest - lowest))

    @staticmethod
    def _fit(log_step: Tensor, weight: Tensor, bits: int) -> None:
        log_step.copy_(best_steps(rows_of(weight, log_step), bits, signed=True).log().reshape(log_step.shape))

    def extra_repr(self) -> str:
        """Describe the quantiser in a printed network."""
        return f"widths={list(self.widths)}"
