"""Learned step size quantisation (LSQ): value = code x step, with the step trained by gradient descent.

Source: Esser et al., "Learned Step Size Quantization", ICLR 2020. Steps are held as logarithms, so that
they stay positive and an optimiser's learning rate is a relative change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bitmixer.quantizers.learned_step import LearnedStep


def code_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Return the lowest and the highest code of ``bits``.

    >>> code_range(2, signed=True), code_range(2, signed=False)
    ((-2, 1), (0, 3))
    """
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def best_step(values: Tensor, low: int, high: int) -> float:
    """Return the step with the least mean squared error over ``values``, found on a logarithmic grid."""
    peak = float(values.abs().max())
    if peak == 0.0:
        return 1.0
    widest = peak / max(high, -low)
    candidates = widest * torch.logspace(-2.0, 0.05, 48, device=values.device)
    steps = candidates[:, None]
    codes = (values[None, :] / steps).round_().clamp_(low, high)
    errors = (codes * steps - values[None, :]).square_().mean(dim=1)
    return float(candidates[int(errors.argmin())])


def sample(values: Tensor, count: int = 8192) -> Tensor:
    """Return at most ``count`` evenly spaced elements of a tensor, flat and detached."""
    flat = values.detach().flatten()
    return flat[:: max(1, flat.numel() // count)][:count]


class StepQuantizer(nn.Module):
    """Quantises tensors to one of several widths, each with its own learned step.

    Args:
        widths: Bit-widths it can be set to.
        signed: Two's complement codes; otherwise codes from 0 up.
    """

    def __init__(self, widths: Sequence[int], *, signed: bool) -> None:
        super().__init__()
        self.signed = signed
        self.bits = max(widths)
        self.log_steps = nn.ParameterDict({str(bits): nn.Parameter(torch.zeros(())) for bits in widths})

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` rounded to the current width, differentiable."""
        bounds = code_range(self.bits, signed=self.signed)
        arguments = (x, self.log_steps[str(self.bits)], self.step(), self.codes, bounds)
        result: Tensor = LearnedStep.apply(*arguments)  # type: ignore[no-untyped-call]
        return result

    @torch.no_grad()
    def step(self) -> Tensor:
        """Return the step of the current width (a scalar tensor)."""
        step: Tensor = self.log_steps[str(self.bits)].exp()
        return step

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Return the integer codes of ``x`` at the current width, held as floats."""
        low, high = code_range(self.bits, signed=self.signed)
        return (x / self.step()).round_().clamp_(low, high)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set every width's step to the one with the least squared error over ``x``."""
        values = sample(x)
        for bits, log_step in self.log_steps.items():
            low, high = code_range(int(bits), signed=self.signed)
            log_step.fill_(math.log(best_step(values, low, high)))

    def extra_repr(self) -> str:
        """Describe the quantiser in a printed network."""
        return f"widths={list(self.log_steps)}, signed={self.signed}"
