"""A scale for every node: bags of words take one bit, and sixteen more per node.

A bag of words whose row sums to one has two values, zero and one over the number of words. One range for all nodes
rounds the second to a usual node's. Where nothing is negative, code 0 can stand for zero itself, so that of a node's
own range the upper end alone must be kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bitmixer.errors import QuantizerError
from bitmixer.graphs.quantizers.base import AffineCodes, ClassQuantizer, Owners, levels_of, straight_through
from bitmixer.graphs.quantizers.ranges import row_extremes


class NodeScaleQuantizer(ClassQuantizer):
    """Codes are ``step * code``, a node's step that of its own greatest value, kept as a bfloat16.

    Steps are taken as values pass: nothing is measured beforehand.
    """

    range_bits_per_node = 16

    def forward(self, values: Tensor, owners: Owners) -> Tensor:
        """Return values (entries, ...) rounded to the width of their class, differentiable.

        Raises:
            QuantizerError: A value is negative.
        """
        if self.is_real:
            return values
        is_coded = owners.of_entries(levels_of(self.bits)[owners.degree_class] > 0, values)
        return straight_through(values, torch.where(is_coded, self.encode(values, owners).values(), values.detach()))

    @torch.no_grad()
    def encode(self, values: Tensor, owners: Owners) -> AffineCodes:
        """Return the codes of values (entries, ...); those of classes that stay real mean nothing.

        Raises:
            QuantizerError: A value is negative.
        """
        if bool((values < 0).any()):
            raise QuantizerError("quantizer 'node_scale': a value is negative; use 'node_extremes'")
        greatest = row_extremes(values, owners).greatest.clamp(min=0.0)
        levels = levels_of(self.bits)[owners.degree_class]
        step = (greatest / levels.clamp(min=1.0)).bfloat16().float()
        step = torch.where(step > 0, step, 1.0)  # all values zero: code 0 holds them
        each, most = (owners.of_entries(part, values) for part in (step, levels))
        return AffineCodes(torch.minimum((values / each).round_(), most), each, torch.zeros_like(each))
