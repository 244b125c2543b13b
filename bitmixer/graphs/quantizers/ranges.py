"""Ranges by rules: the extremes of each class, the mean of its nodes' extremes, or the better of the two.

SGQuant writes codes as (x - least) / scale; its published code takes, for the range, the *mean over nodes* of each
node's least and greatest value, and clamps what lies outside. With bags of words whose rows sum to one, that rule
decides whether one bit suffices: the greatest value of all nodes is ten times that of a usual node.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from bitmixer.graphs.quantizers.base import AffineCodes, ClassQuantizer, Owners, levels_of, straight_through

Range = tuple[Tensor, Tensor]
"""(classes,) lower and upper ends."""


class RowExtremes(NamedTuple):
    """(nodes,) least and greatest value of each node; infinite, the wrong way round, where a node has none."""

    least: Tensor
    greatest: Tensor


def row_extremes(values: Tensor, owners: Owners) -> RowExtremes:
    """Return the extremes of the values of every node."""
    flat = values.detach().reshape(len(values), -1)
    least, greatest = flat.aminmax(dim=1)
    if owners.node is not None:
        empty = torch.full(owners.degree_class.shape, torch.inf, dtype=least.dtype)
        least = empty.scatter_reduce(0, owners.node, least, "amin")
        greatest = (-empty).scatter_reduce(0, owners.node, greatest, "amax")
    if owners.omits_zeros:
        least, greatest = least.clamp(max=0.0), greatest.clamp(min=0.0)
    return RowExtremes(least, greatest)


class RangeQuantizer(ClassQuantizer):
    """Affine codes over a range per class and width, measured while training or calibrating, and kept.

    Attributes:
        lower: (widths, classes) value of code 0.
        upper: (widths, classes) value of the highest code.
    """

    lower: Tensor
    upper: Tensor

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__(widths, classes)
        shape = (len(self.widths), classes)
        self.register_buffer("lower", torch.zeros(shape))
        self.register_buffer("upper", torch.ones(shape))

    @abstractmethod
    def measure(self, values: Tensor, owners: Owners) -> Range:
        """Return (classes,) lower and upper end of each class's range; NaN where no node tells."""

    def forward(self, values: Tensor, owners: Owners) -> Tensor:
        """Return values (entries, ...) rounded to the width of their class, differentiable."""
        if self.is_real:
            return values
        coded = self.encode(values, owners)
        is_coded = owners.of_entries(levels_of(self.bits)[owners.degree_class] > 0, values)
        return straight_through(values, torch.where(is_coded, coded.values(), values.detach()))

    @torch.no_grad()
    def encode(self, values: Tensor, owners: Owners) -> AffineCodes:
        """Return the codes of values (entries, ...); those of classes that stay real mean nothing."""
        if self.training or self.calibrating:
            self._keep(*self.measure(values, owners))
        at = torch.tensor([self.widths.index(bits) if bits in self.widths else 0 for bits in self.bits])
        classes = torch.arange(self.classes)
        return coded(values, owners, self.lower[at, classes], self.upper[at, classes], levels_of(self.bits))

    def _keep(self, lower: Tensor, upper: Tensor) -> None:
        """Keep ranges for the current widths; a class that no measured node belongs to takes the widest of all."""
        known = ~torch.isnan(lower)
        if not bool(known.any()):
            return
        lower = torch.where(known, lower, lower[known].min())
        upper = torch.where(known, upper, upper[known].max())
        for each, bits in enumerate(self.bits):
            if bits in self.widths:
                self.lower[self.widths.index(bits), each] = lower[each]
                self.upper[self.widths.index(bits), each] = upper[each]


def coded(values: Tensor, owners: Owners, lower: Tensor, upper: Tensor, levels: Tensor) -> AffineCodes:
    """Return codes of values (entries, ...), of (classes,) ends of ranges and highest codes."""
    step = (upper - lower) / levels.clamp(min=1.0)
    step = torch.where(step > 0, step, 1.0)  # all values alike: code 0 holds them
    low, each, most = (owners.of_entries(part[owners.degree_class], values) for part in (lower, step, levels))
    return AffineCodes(torch.minimum(((values - low) / each).round_().clamp_(min=0.0), most), each, low)


def extremes(values: Tensor, owners: Owners, classes: int, reduction: Literal["extreme", "mean"]) -> Range:
    """Return the extremes of each class, or the means over its nodes of their extremes; NaN where no node tells."""
    rows = row_extremes(values, owners)
    usable = owners.measured & torch.isfinite(rows.least)
    owner, nothing = owners.degree_class[usable], torch.full((classes,), torch.nan)
    least, greatest = ("mean", "mean") if reduction == "mean" else ("amin", "amax")
    return (
        nothing.scatter_reduce(0, owner, rows.least[usable], least, include_self=False),
        nothing.scatter_reduce(0, owner, rows.greatest[usable], greatest, include_self=False),
    )


class ExtremesQuantizer(RangeQuantizer):
    """The range of a class is that of all its values: nothing is clamped."""

    def measure(self, values: Tensor, owners: Owners) -> Range:
        """Return the least and the greatest value of each class."""
        return extremes(values, owners, self.classes, "extreme")


class MeanExtremesQuantizer(RangeQuantizer):
    """The range of a class is the mean of its nodes' extremes, as in SGQuant's code; what lies outside is clamped."""

    def measure(self, values: Tensor, owners: Owners) -> Range:
        """Return the mean over the class's nodes of their least and of their greatest value."""
        return extremes(values, owners, self.classes, "mean")


class LeastErrorQuantizer(RangeQuantizer):
    """Of the two rules, each class takes at each width the one with the smaller squared error.

    With many bits what the mean clamps errs most; with one or two, what the extremes round to zero.
    """

    def measure(self, values: Tensor, owners: Owners) -> Range:
        """Return the ends of the better range of each class."""
        all_of_it = extremes(values, owners, self.classes, "extreme")
        usual = extremes(values, owners, self.classes, "mean")
        is_usual = self._error(values, owners, usual) < self._error(values, owners, all_of_it)
        return torch.where(is_usual, usual[0], all_of_it[0]), torch.where(is_usual, usual[1], all_of_it[1])

    def _error(self, values: Tensor, owners: Owners, ends: Range) -> Tensor:
        """Return (classes,) the sum of squared errors over measured nodes."""
        rounded = coded(values, owners, *ends, levels_of(self.bits)).values()
        error = (rounded - values.detach()).square().reshape(len(values), -1).sum(dim=1)
        owner = owners.of_entries(owners.degree_class, error)
        is_measured = owners.of_entries(owners.measured, error)
        return torch.zeros(self.classes).index_add(0, owner, torch.where(is_measured, error, 0.0).float())
