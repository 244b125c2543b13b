"""One bit as binary networks have it: signs about learned thresholds, times a scale per output channel.

Weights are alpha sign(W) with alpha the mean of |W|, which errs least (Rastegari et al., "XNOR-Net", ECCV 2016,
eq. 6); their gradient passes where W lies in [-1, 1] (Courbariaux et al., "Binarized Neural Networks", 2016, eq. 4).
Activations are sign(x - t) with a learned threshold t per channel (Liu et al., "ReActNet", ECCV 2020, section 4.2) and
the gradient of a piecewise quadratic in the place of the sign's (Liu et al., "Bi-Real Net", ECCV 2018, section 3.3).

The sign of zero is +1, and so is what lies outside of a map: zero is not one of the two values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bitmixer.kernels import CodeFormat
from bitmixer.quantizers.base import Coded, Quantizer
from bitmixer.quantizers.codes import code_format, signs
from bitmixer.quantizers.lsq import StepQuantizer
from bitmixer.quantizers.nested import NestedWeightQuantizer


class _SignOfDifference(torch.autograd.Function):
    """The sign of x - threshold; its slope is taken as 2 - 2 |x - threshold| where that is positive."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: Tensor) -> Tensor:
        difference = x - threshold
        ctx.save_for_backward(difference)
        ctx.threshold_shape = threshold.shape
        return difference.ge(0.0).to(x.dtype).mul_(2.0).sub_(1.0)  # quicker than a selection

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (difference,) = ctx.saved_tensors
        slope = difference.abs_().mul_(-2.0).add_(2.0).clamp_(min=0.0)
        own = slope.mul_(gradient)
        return own, own.sum_to_size(ctx.threshold_shape).neg_()


def sign_of_difference(x: Tensor, threshold: Tensor) -> Tensor:
    """Return -1 where ``x`` is below the threshold and +1 elsewhere, differentiable in both.

    Args:
        x: Values, in the units of the activations.
        threshold: Broadcasts against ``x``.
    """
    result: Tensor = _SignOfDifference.apply(x, threshold)  # type: ignore[no-untyped-call]
    return result


class _StraightThroughWithinOne(torch.autograd.Function):
    """Returns its second argument; the gradient goes to the first where that lies in [-1, 1]."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, values: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return values.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        return torch.where(weight.abs() <= 1.0, gradient, 0.0), None


class BinaryWeightQuantizer(NestedWeightQuantizer):
    """Nested codes whose one bit has the mean size of the weights as its step, computed and not learned.

    Args:
        widths: Bit-widths it can be set to.
        channels: Output channels, where each has a step of its own; ``None`` for one step.
    """

    def __init__(self, widths: Sequence[int], *, channels: int | None = None) -> None:
        super().__init__(widths, channels=channels)
        self.per_channel = channels is not None
        if self.widths[0] == 1:
            del self.log_sign_step

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weights rounded to the current width, differentiable."""
        if self.bits > 1:
            return super().forward(weight)
        codes, step = self.encode(weight)
        result: Tensor = _StraightThroughWithinOne.apply(weight, codes * step)  # type: ignore[no-untyped-call]
        return result

    def encode(self, x: Tensor) -> Coded:
        """Return the codes of the weights at the current width and their step."""
        if self.bits > 1:
            return super().encode(x)
        weight = x.detach()
        size = (
            weight.abs().mean(dim=tuple(range(1, x.dim())), keepdim=True) if self.per_channel else weight.abs().mean()
        )
        return Coded(self._signs(weight), torch.where(size > 0, size, torch.ones_like(size)))

    def _signs(self, weight: Tensor) -> Tensor:
        """Return the sign plane of the stored codes; where one bit is all that is stored, the signs."""
        if self.highest == 1:
            return signs(weight)
        bits, self.bits = self.bits, self.highest
        try:
            return signs(super().encode(weight).codes)
        finally:
            self.bits = bits

    @property
    def is_fitted(self) -> bool:
        """Whether a step differs from 1; with one bit alone the weights say it all."""
        return self.highest == 1 or super().is_fitted

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the learned step, where there is one."""
        wider = [bits for bits in self.widths if bits > 1]
        if wider:
            self._fit_from(x, min(wider))


class BinaryActivationQuantizer(Quantizer):
    """Signs about a learned threshold per channel at one bit; wider codes have learned steps (LSQ).

    Args:
        widths: Bit-widths it can be set to.
        signed: Whether the values can be negative: thresholds start at zero then, elsewhere at a channel's mean.
        channels: Channels of the tensor; ``None`` for one threshold.
        trailing_axes: Axes behind that of the channels.
    """

    def __init__(
        self, widths: Sequence[int], *, signed: bool, channels: int | None = None, trailing_axes: int = 0
    ) -> None:
        super().__init__()
        self.signed = signed
        self.widths = tuple(sorted(set(widths)))
        self.bits = self.widths[-1]
        self.trailing_axes = trailing_axes
        if self.widths[0] == 1:
            self.thresholds = nn.Parameter(torch.zeros(() if channels is None else (channels,)))
        wider = [bits for bits in self.widths if bits > 1]
        self.wider = StepQuantizer(wider, signed=signed) if wider else None
        self.largest_code = self.wider.largest_code if self.wider is not None else 1

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` rounded to the current width, differentiable."""
        wider = self._set_wider()
        if wider is not None:
            result: Tensor = wider(x)
            return result
        return sign_of_difference(x, self._threshold())

    def encode(self, x: Tensor) -> Coded:
        """Return the codes of ``x`` at the current width and their step."""
        wider = self._set_wider()
        if wider is not None:
            return wider.encode(x)
        return Coded(signs(x.detach() - self._threshold().detach()), self.step())

    def step(self) -> Tensor:
        """Return the step of the current width (a scalar): 1 for a sign, whose size the layer's norm takes care of."""
        wider = self._set_wider()
        return self.thresholds.new_ones(()) if wider is None else wider.step()

    def is_sign(self, bits: int) -> bool:
        """Whether codes of ``bits`` tell on which side of a threshold values lie."""
        return bits == 1

    @property
    def code_format(self) -> CodeFormat:
        """How the codes of the current width are written in bits."""
        return code_format(self.bits, signed=self.signed or self.bits == 1)

    @property
    def is_fitted(self) -> bool:
        """Whether a step differs from 1; thresholds may well stay at zero."""
        return self.wider is None or self.wider.is_fitted

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set steps to those with the least squared error, and thresholds to the means of what is never negative."""
        if self.wider is not None:
            self.wider.calibrate(x)
        if self.widths[0] == 1 and not self.signed:
            axis = x.dim() - 1 - self.trailing_axes
            others = [other for other in range(x.dim()) if other != axis]
            self.thresholds.copy_(x.mean(dim=others) if self.thresholds.dim() else x.mean())

    def _threshold(self) -> Tensor:
        shape = (-1, *([1] * self.trailing_axes)) if self.thresholds.dim() else ()
        return self.thresholds.reshape(shape)

    def _set_wider(self) -> StepQuantizer | None:
        """Return what rounds to the current width, set to it; ``None`` for a sign."""
        if self.bits == 1:
            return None
        assert self.wider is not None
        self.wider.bits = self.bits
        return self.wider

    def extra_repr(self) -> str:
        """Describe the quantiser in a printed network."""
        return f"widths={list(self.widths)}, signed={self.signed}"
