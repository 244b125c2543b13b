"""Learned step size quantisation (LSQ): an independent step per width, trained by gradient descent.

Source: Esser et al., "Learned Step Size Quantization", ICLR 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from bitmixer.kernels import CodeFormat
from bitmixer.quantizers.base import Coded, Quantizer, per_channel_shape
from bitmixer.quantizers.calibration import best_steps, rows_of, sample
from bitmixer.quantizers.codes import code_format, code_range, covered_range, round_to_codes_
from bitmixer.quantizers.learned_step import LearnedStep, Slope


class StepQuantizer(Quantizer):
    """Quantises tensors to one of several widths, each with its own learned step.

    Args:
        widths: Bit-widths it can be set to.
        signed: Two's complement codes, and the sign for one bit; otherwise codes from 0 up.
        channels: Output channels of a weight tensor that has a step for each; ``None`` for one step.
        symmetric: Without the lowest code of two's complement, so that a sign and a magnitude hold every code.
    """

    slope: ClassVar[Slope] = "rounding"

    def __init__(
        self, widths: Sequence[int], *, signed: bool, channels: int | None = None, symmetric: bool = False
    ) -> None:
        super().__init__()
        self.signed = signed
        self.symmetric = symmetric
        self.widths = tuple(sorted(set(widths)))
        self.bits = self.widths[-1]
        self.largest_code = max(-low if signed else high for low, high in self._ranges())
        shape = () if channels is None else (channels,)
        self.log_steps = nn.ParameterDict({str(bits): nn.Parameter(torch.zeros(shape)) for bits in widths})

    def _ranges(self) -> list[tuple[int, int]]:
        return [code_range(bits, signed=self.signed, symmetric=self.symmetric) for bits in self.widths]

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` rounded to the current width, differentiable."""
        log_step = self.log_steps[str(self.bits)]
        covered = covered_range(self.bits, signed=self.signed, symmetric=self.symmetric)
        slope = "scale" if self.signed and self.bits == 1 else self.slope
        result: Tensor = LearnedStep.apply(  # type: ignore[no-untyped-call]
            x, log_step, self.encode, covered, slope, self.gain(x.numel() // log_step.numel())
        )
        return result

    def gain(self, elements: int) -> float:
        """Return the factor of the step's gradient, a sum over many elements (Esser et al., section 2.2)."""
        return lsq_gain(elements, self.bits, signed=self.signed)

    def step(self) -> Tensor:
        """Return the step of the current width (a scalar, or one per output channel)."""
        step: Tensor = self.log_steps[str(self.bits)].detach().exp()
        return step

    def encode(self, x: Tensor) -> Coded:
        """Return the codes of ``x`` at the current width and their step."""
        step = per_channel_shape(self.step(), x)
        ratio = x.detach() / step
        return Coded(round_to_codes_(ratio, self.bits, signed=self.signed, symmetric=self.symmetric), step)

    @property
    def code_format(self) -> CodeFormat:
        """How the codes of the current width are written in bits."""
        return code_format(self.bits, signed=self.signed)

    @property
    def is_fitted(self) -> bool:
        """Whether a step differs from 1."""
        return any(bool(log_step.detach().any()) for log_step in self.log_steps.values())

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set every width's steps to those with the least squared error over ``x``."""
        for bits, log_step in self.log_steps.items():
            rows = sample(x) if log_step.dim() == 0 else rows_of(x, log_step)
            steps = best_steps(rows, int(bits), signed=self.signed, symmetric=self.symmetric)
            log_step.copy_(steps.log().reshape(log_step.shape))

    def extra_repr(self) -> str:
        """Describe the quantiser in a printed network."""
        return f"widths={list(self.widths)}, signed={self.signed}"


def lsq_gain(elements: int, bits: int, *, signed: bool) -> float:
    """Return 1/sqrt(elements x highest code), LSQ's factor of the gradient of a step."""
    return 1.0 / math.sqrt(max(elements, 1) * code_range(bits, signed=signed)[1])
