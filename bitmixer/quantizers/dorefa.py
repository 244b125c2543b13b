"""DoReFa weights as in AdaBits: squeezed by tanh, cut into even cells, scaled to a fixed spread.

Sources: Zhou et al., "DoReFa-Net", 2016, eq. 9; Jin et al., "AdaBits", CVPR 2020 (the "modified" scheme, which
rounds down, and scale-adjusted weights).

With u = (tanh(W) / max|tanh(W)| + 1) / 2 in [0, 1], the cell is k = min(floor(2**b u), 2**b - 1). A lower width's
cell is the leading planes of a higher one's, without a carry: that is why we take this scheme and not the original,
which rounds (2**b - 1) u and shares nothing between widths. We give a cell the value of its middle, where AdaBits
takes its lower end: the weights keep their mean, and one bit is a sign. In units of half a cell the middles are the
odd codes 2 k + 1 - 2**b, from 1 - 2**b to 2**b - 1. In hardware every plane of k then stands for -1 or +1 instead of
0 or 1.

The weights are then scaled to a root mean square of 1 / sqrt(output channels x kernel area). AdaBits divides by their
standard deviation; the root mean square of odd codes cannot be zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bitmixer.kernels import CodeFormat
from bitmixer.quantizers.base import Coded, Quantizer


class _StraightThrough(torch.autograd.Function):
    """Returns its second argument, whose gradient goes to the first."""

    @staticmethod
    def forward(ctx: Any, smooth: Tensor, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class DoReFaWeightQuantizer(Quantizer):
    """Quantises one weight tensor to any of several widths; nothing is learned.

    Args:
        widths: Bit-widths it can be set to.
        per_channel: Whether every output channel has a maximum and a scale of its own.
    """

    def __init__(self, widths: Sequence[int], *, per_channel: bool = False) -> None:
        super().__init__()
        self.widths = tuple(sorted(set(widths)))
        self.bits = self.widths[-1]
        self.largest_code = 2**self.bits - 1
        self.per_channel = per_channel

    def forward(self, x: Tensor) -> Tensor:
        """Return the weights rounded to the current width, differentiable.

        The maximum and the scale count as constants.
        """
        squeezed = self._squeezed(x)
        codes, step = self._encoded(squeezed.detach())
        result: Tensor = _StraightThrough.apply(squeezed * (step * 2.0**self.bits), codes * step)  # type: ignore[no-untyped-call]
        return result

    def encode(self, x: Tensor) -> Coded:
        """Return the odd codes of the weights at the current width and the value of half a cell."""
        return self._encoded(self._squeezed(x.detach()))

    @property
    def code_format(self) -> CodeFormat:
        """How the codes of the current width are written in bits: every plane stands for -1 or +1."""
        return CodeFormat(bits=self.bits, encoding="bipolar")

    @property
    def is_fitted(self) -> bool:
        """Always: the weights say it all."""
        return True

    def calibrate(self, x: Tensor) -> None:
        """Do nothing: the weights say it all."""

    def _squeezed(self, weight: Tensor) -> Tensor:
        """Return the weights squeezed into [-1, 1]."""
        squeezed = torch.tanh(weight)
        peak = squeezed.detach().abs()
        peak = peak.amax(dim=self._within(weight), keepdim=True) if self.per_channel else peak.amax()
        return squeezed / torch.where(peak > 0, peak, torch.ones_like(peak))

    def _encoded(self, squeezed: Tensor) -> Coded:
        cells = 2.0**self.bits
        codes = ((squeezed + 1.0) * (cells / 2.0)).floor_().clamp_(0.0, cells - 1.0).mul_(2.0).add_(1.0 - cells)
        squares = codes.square()
        mean_square = squares.mean(dim=self._within(codes), keepdim=True) if self.per_channel else squares.mean()
        fan_out = len(codes) * math.prod(codes.shape[2:])
        return Coded(codes, (mean_square * fan_out).rsqrt())

    @staticmethod
    def _within(weight: Tensor) -> tuple[int, ...]:
        return tuple(range(1, weight.dim()))

    def extra_repr(self) -> str:
        """Describe the quantiser in a printed network."""
        return f"widths={list(self.widths)}, per_channel={self.per_channel}"
