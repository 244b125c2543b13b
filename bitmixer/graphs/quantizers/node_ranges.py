"""A range for every node: bags of words take one bit, exactly.

A bag of words whose row sums to one has two values, zero and one over the number of words. One range for all nodes
rounds the second to a usual node's; a range of the node's own holds it, for two numbers more per node.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bitmixer.graphs.quantizers.base import AffineCodes, ClassQuantizer, Owners, levels_of, straight_through
from bitmixer.graphs.quantizers.ranges import row_extremes


class NodeExtremesQuantizer(ClassQuantizer):
    """The range of a node is that of its own values, taken as they pass: nothing is measured beforehand."""

    range_bits_per_node = 64

    def forward(self, values: Tensor, owners: Owners) -> Tensor:
        """Return values (entries, ...) rounded to the width of their class, differentiable."""
        if self.is_real:
            return values
        is_coded = owners.of_entries(levels_of(self.bits)[owners.degree_class] > 0, values)
        rounded = self.encode(values, owners).values()
        return straight_through(values, torch.where(is_coded, rounded, values.detach()))

    @torch.no_grad()
    def encode(self, values: Tensor, owners: Owners) -> AffineCodes:
        """Return the codes of values (entries, ...); those of classes that stay real mean nothing."""
        rows = row_extremes(values, owners)
        has_values = torch.isfinite(rows.least)
        lower = torch.where(has_values, rows.least, 0.0)
        upper = torch.where(has_values, rows.greatest, 0.0)
        levels = levels_of(self.bits)[owners.degree_class]
        step = (upper - lower) / levels.clamp(min=1.0)
        step = torch.where(step > 0, step, 1.0)  # all values alike: code 0 holds them
        low, each, most = (owners.of_entries(part, values) for part in (lower, step, levels))
        return AffineCodes(torch.minimum(((values - low) / each).round_().clamp_(min=0.0), most), each, low)
