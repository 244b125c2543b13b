"""Ranges by rules: the extremes of each class, or the mean of its nodes' extremes.

SGQuant writes codes as (x - least) / scale; its published code takes, for the range, the *mean over nodes* of each
node's least and greatest value, and clamps what lies outside. With bags of words whose rows sum to one, that rule
decides whether one bit suffices: the greatest value of all nodes is ten times that of a usual node.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bitmixer.graphs.quantizers.base import AffineCodes, ClassQuantizer, Owners, levels_of, straight_through


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
    def measure(self, values: Tensor, owners: Owners) -> tuple[Tensor, Tensor]:
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
        lower, upper = self.lower[at, classes], self.upper[at, classes]
        levels = levels_of(self.bits)
        step = (upper - lower) / levels.clamp(min=1.0)
        step = torch.where(step > 0, step, 1.0)  # all values alike: code 0 holds them
        low, each, most = (owners.of_entries(part[owners.degree_class], values) for part in (lower, step, levels))
        codes = torch.minimum(((values - low) / each).round_().clamp_(min=0.0), most)
        return AffineCodes(codes, each, low)

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


class ExtremesQuantizer(RangeQuantizer):
    """The range of a class is that of all its values: nothing is clamped."""

    def measure(self, values: Tensor, owners: Owners) -> tuple[Tensor, Tensor]:
        """Return the least and the greatest value of each class."""
        rows = row_extremes(values, owners)
        usable = owners.measured & torch.isfinite(rows.least)
        classes, nothing = owners.degree_class[usable], torch.full((self.classes,), torch.nan)
        lower = nothing.scatter_reduce(0, classes, rows.least[usable], "amin", include_self=False)
        upper = nothing.scatter_reduce(0, classes, rows.greatest[usable], "amax", include_self=False)
        return lower, upper


class MeanExtremesQuantizer(RangeQuantizer):
    """The range of a class is the mean of its nodes' extremes, as in SGQuant's code; what lies outside is clamped."""

    def measure(self, values: Tensor, owners: Owners) -> tuple[Tensor, Tensor]:
        """Return the mean over the class's nodes of their least and of their greatest value."""
        rows = row_extremes(values, owners)
        usable = owners.measured & torch.isfinite(rows.least)
        classes, nothing = owners.degree_class[usable], torch.full((self.classes,), torch.nan)
        lower = nothing.scatter_reduce(0, classes, rows.least[usable], "mean", include_self=False)
        upper = nothing.scatter_reduce(0, classes, rows.greatest[usable], "mean", include_self=False)
        return lower, upper
