"""Degree-Quant (Tailor et al., "Degree-Quant: Quantization-Aware Training for Graph Neural Networks", ICLR 2021).

Nodes of many neighbours sum many rounding errors, and their few gradients drown in them. So in every step of training
some nodes, more likely those of high in-degree, are left as they are; in evaluation none is. Ranges leave out the most
extreme values, which come from such nodes.

Constants are those of the authors' code for its two widths: at 8 bits nodes are protected with probabilities from 0 to
0.1, and a range leaves out a thousandth of values at both ends; at 4 bits from 0.1 to 0.2, and a hundredth. There one
mask holds for all layers of a step; here every operand draws its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bitmixer.graphs.quantizers.base import REAL, Owners, levels_of, straight_through
from bitmixer.graphs.quantizers.ranges import Range, RangeQuantizer


class Protection(NamedTuple):
    """How much of a width is spared.

    Attributes:
        least: Probability that a node of the least in-degree is left as it is in a step of training.
        most: Probability for one of the greatest.
        tail: Share of values that lie beyond each end of a range.
    """

    least: float
    most: float
    tail: float


WIDE, NARROW = Protection(0.0, 0.1, 0.001), Protection(0.1, 0.2, 0.01)
NARROW_BELOW = 8
"""Bits below which a width is spared as 4 bits are."""


def protection_of(bits: int) -> Protection:
    """Return how much of a width is spared."""
    return NARROW if bits < NARROW_BELOW else WIDE


class DegreeQuantizer(RangeQuantizer):
    """Ranges between percentiles, the widest seen; protected nodes stay real, clamped values pass no gradient."""

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__(widths, classes)
        self.register_buffer("is_seen", torch.zeros(len(self.widths), classes, dtype=torch.bool))

    is_seen: Tensor

    def measure(self, values: Tensor, owners: Owners) -> Range:
        """Return percentiles of each class's values; zero lies between them, as in the authors' code."""
        flat = values.detach().reshape(len(values), -1)
        class_of = owners.of_entries(owners.degree_class, flat)[:, 0]
        measured = owners.of_entries(owners.measured, flat)[:, 0]
        lower, upper = (torch.full((self.classes,), torch.nan) for _ in range(2))
        for each, bits in enumerate(self.bits):
            of_class = flat[measured & (class_of == each)].reshape(-1)
            if bits != REAL and of_class.numel():
                left_out = max(1, int(of_class.numel() * protection_of(bits).tail))
                lower[each] = of_class.kthvalue(left_out).values.clamp(max=0.0)
                upper[each] = of_class.kthvalue(of_class.numel() - left_out + 1).values.clamp(min=0.0)
        return lower, upper

    def _keep(self, lower: Tensor, upper: Tensor) -> None:
        at = torch.tensor([self.widths.index(bits) if bits in self.widths else 0 for bits in self.bits])
        classes = torch.arange(self.classes)
        seen = self.is_seen[at, classes]
        lower = torch.where(seen, torch.fmin(lower, self.lower[at, classes]), lower)
        upper = torch.where(seen, torch.fmax(upper, self.upper[at, classes]), upper)
        self.is_seen[at, classes] |= ~torch.isnan(lower)
        super()._keep(lower, upper)

    def forward(self, values: Tensor, owners: Owners) -> Tensor:
        """Return values (entries, ...) rounded to the width of their class, but for the protected nodes of a step."""
        if self.is_real:
            return values
        coded = self.encode(values, owners)
        is_coded = levels_of(self.bits)[owners.degree_class] > 0
        if self.training:
            is_coded &= ~torch.bernoulli(self.protection(owners)).bool()
        highest = owners.of_entries(levels_of(self.bits)[owners.degree_class], values)
        clamped = values.clamp(coded.lower, coded.lower + coded.step * highest)
        return torch.where(owners.of_entries(is_coded, values), straight_through(clamped, coded.values()), values)

    def protection(self, owners: Owners) -> Tensor:
        """Return (nodes,) the probability that each node is left as it is, which grows with the rank of its degree."""
        of_class = torch.tensor([protection_of(bits)[:2] for bits in self.bits])[owners.degree_class]
        return of_class[:, 0] + (of_class[:, 1] - of_class[:, 0]) * owners.rank
