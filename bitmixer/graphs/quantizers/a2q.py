"""Learned steps and widths (Zhu et al., "A2Q: Aggregation-Aware Quantization for Graph Neural Networks", ICLR 2023).

Codes are ``sign(x) floor(|x| / step + 1/2)``, at most ``2**(bits - 1) - 1``, or ``2**bits - 1`` where nothing is
negative. Both the step and the width are learned, from the error of rounding alone ("local gradient"): the loss reaches
few nodes where few have a class. The source learns both for every node; here they are those of a degree class, whose
widths are what sites have. Inputs that are 0 or 1, which its code leaves as they are, want ``node_scale``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bitmixer.graphs.quantizers.base import REAL, AffineCodes, ClassQuantizer, Owners, straight_through
from bitmixer.graphs.quantizers.ranges import row_extremes


class A2QQuantizer(ClassQuantizer):
    """A step and a width per class.

    Attributes:
        log_step: (classes,) logarithm of the value of one code.
        width: (classes,) bits as they are learned, real numbers.
        is_signed: () whether negative values were met while steps were measured.
        learns_widths: Whether ``width``, rounded, holds in place of ``bits``.
        error: () mean distance between values and codes, summed over classes, of what passed last; its gradient is
            that of steps and widths alone.
    """

    is_signed: Tensor

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__(widths, classes)
        self.log_step = nn.Parameter(torch.zeros(classes))
        self.width = nn.Parameter(torch.full((classes,), float(self.widths[-1])))
        self.register_buffer("is_signed", torch.tensor(data=False))
        self.learns_widths = False
        self.error = torch.zeros(())

    def forward(self, values: Tensor, owners: Owners) -> Tensor:
        """Return values (entries, ...) rounded to the width of their class, differentiable."""
        if self.is_real:
            return values
        coded = self.encode(values, owners)
        if self.learns_widths:
            self.error = self._error(values.detach(), owners)
        most = owners.of_entries((self._highest() * self.log_step.exp()).detach()[owners.degree_class], values)
        clamped = values.clamp(-most if self.is_signed else torch.zeros_like(most), most)
        is_coded = owners.of_entries((torch.tensor(self.bits) != REAL)[owners.degree_class], values)
        return torch.where(is_coded, straight_through(clamped, coded.values()), values)

    @torch.no_grad()
    def encode(self, values: Tensor, owners: Owners) -> AffineCodes:
        """Return the codes of values (entries, ...); those of classes that stay real mean nothing."""
        if self.calibrating:
            self._start(values, owners)
        step, most = (
            owners.of_entries(each[owners.degree_class], values) for each in (self.log_step.exp(), self._highest())
        )
        least = -most if self.is_signed else torch.zeros_like(most)
        return AffineCodes(torch.clamp(_whole(values / step), least, most) - least, step, least * step)

    def learned(self) -> tuple[int, ...]:
        """Return, for every class that is quantised, the least of its widths that is not below what was learned."""
        rounded = self._rounded_width().tolist()
        return tuple(
            REAL if bits == REAL else next((width for width in self.widths if width >= learned), self.widths[-1])
            for bits, learned in zip(self.bits, rounded, strict=True)
        )

    def learned_width(self) -> Tensor:
        """Return (classes,) the widths as whole numbers, with the gradient of the real ones."""
        return self.width + (self._rounded_width() - self.width).detach()

    def _rounded_width(self) -> Tensor:
        """Return (classes,) whole numbers; a sign takes a bit, so that one bit more remains for it."""
        return self.width.detach().round().clamp(2.0 if self.is_signed else 1.0, float(self.widths[-1]))

    def _highest(self) -> Tensor:
        """Return (classes,) the highest code, with the gradient of learned widths."""
        width = self.learned_width() if self.learns_widths else torch.tensor([float(bits) for bits in self.bits])
        return 2.0 ** (width - 1.0 if self.is_signed else width) - 1.0

    def _start(self, values: Tensor, owners: Owners) -> None:
        """Start at the assigned widths, with steps by which the usual node's greatest value has the highest code."""
        rows = row_extremes(values, owners)
        usable = owners.measured & torch.isfinite(rows.least)
        self.is_signed.fill_(bool((rows.least[usable] < 0).any()))
        self.width.copy_(torch.tensor([float(min(bits, self.widths[-1])) for bits in self.bits]))
        greatest = torch.maximum(rows.greatest, -rows.least)[usable]
        usual = torch.zeros(self.classes).scatter_reduce(
            0, owners.degree_class[usable], greatest, "mean", include_self=False
        )
        step = usual / self._highest().clamp(min=1.0)
        self.log_step.copy_(torch.where(step > 0, step, 1.0).log())

    def _error(self, values: Tensor, owners: Owners) -> Tensor:
        """Return the mean of |code * step - value|, class by class, of nodes that do not judge."""
        step, most = (
            owners.of_entries(each.index_select(0, owners.degree_class), values)
            for each in (self.log_step.exp(), self._highest())
        )
        ratio = values / step
        codes = torch.where(ratio.abs() <= most, ratio + (_whole(ratio) - ratio).detach(), ratio.sign() * most)
        away = (codes * step - values).abs().reshape(len(values), -1)
        class_of, measured = (owners.of_entries(each, away)[:, 0] for each in (owners.degree_class, owners.measured))
        sums = torch.zeros(self.classes).index_add(0, class_of[measured], away.mean(dim=1)[measured])
        return (sums / torch.bincount(class_of[measured], minlength=self.classes).clamp(min=1)).sum()


def _whole(ratio: Tensor) -> Tensor:
    return ratio.sign() * (ratio.abs() + 0.5).floor()
