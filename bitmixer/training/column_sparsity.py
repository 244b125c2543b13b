"""A group Lasso over bit columns: a network that switches its widths gets empty columns at every one of them.

BSQ (Yang et al., ICLR 2021) empties whole planes of layers whose precision is then fixed. A network whose layers switch
their widths keeps all planes; but arrays such as BitWave (arXiv 2507.12444) skip a plane where it is empty in the
weights that they hold at once, a block of ``group`` input channels x ``rows`` output channels at one kernel position.
Joining the two is ours:

penalty = strength x sum over blocks and planes of (root mean square of the plane's bits in the block), averaged over
the widths of a site, and over all blocks as often as an array reads them. A plane that is all ones counts 1.

The bits are those of the codes in sign and magnitude at each width as it is run, carries of double rounding included:
leading planes, which all widths share, are pulled by all of them, and what a carry fills does not pass for empty. As in
BSQ a weight is a sum of its bits, and the gradient of a plane's norm reaches it with their values, straight through the
rounding: leading bits pull the most, and the more, the fewer they are in their column. Steps learn from the loss alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bitmixer.graph import LayerGraph
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.quantizers import Quantizer
from bitmixer.training.recipe import ColumnSparsity


class Columns(NamedTuple):
    """What the bit columns of a tensor's codes hold at one width.

    Attributes:
        norm: Sum over blocks and planes of the root mean square of a column's bits (a scalar).
        occupied: Columns that hold a one.
        pull: Gradient of ``norm`` for the weights, in their shape.
    """

    norm: Tensor
    occupied: int
    pull: Tensor


class ColumnLasso:
    """The group Lasso over bit columns of the stage ``transitions``.

    Args:
        network: The network; its weights stay as its quantisers hold them.
        graph: The same network as hardware sees it.
        settings: How strongly, and in which blocks.
    """

    stage = "transitions"

    def __init__(self, network: MetaQuantizedNetwork, graph: LayerGraph, settings: ColumnSparsity) -> None:
        self._settings = settings
        self._sites = [site for site in network.sites if _widths_with_magnitude(site.layer.weight_quantizer)]
        layers = {layer.name: layer for layer in graph.layers}
        self._groups = {site.name: layers[site.name].groups for site in self._sites}
        reads = {site.name: layers[site.name].output_positions for site in self._sites}
        blocks = {
            site.name: _in_blocks(site.layer.weight.detach(), self._groups[site.name], settings)[..., 0, 0].numel()
            for site in self._sites
        }
        total = sum(reads[name] * count for name, count in blocks.items())
        self._share: Mapping[str, float] = {name: own / total for name, own in reads.items()}
        """Share of all reads that goes to one block of a site."""

    def begin_epoch(self, epoch: int) -> bool:
        """Change nothing: columns come and go as weights move."""
        return False

    def penalty(self) -> Tensor:
        """Return ``strength`` x root-mean-square bits per read, summed over the planes of a block (a scalar)."""
        terms = []
        for site in self._sites:
            weight = site.layer.weight
            found = self._columns(site.name, weight, site.layer.weight_quantizer)
            norm = torch.stack([columns.norm for columns in found]).mean()
            pull = torch.stack([columns.pull for columns in found]).mean(dim=0)
            straight_through = (weight * pull).sum()
            terms.append(self._share[site.name] * (norm + straight_through - straight_through.detach()))
        return self._settings.strength * torch.stack(terms).sum() if terms else torch.zeros(())

    def after_step(self) -> None:
        """Do nothing: weights have no range."""

    def finish(self) -> None:
        """Do nothing: codes are whole already."""

    @torch.no_grad()
    def measured(self) -> dict[str, float]:
        """Return the mean columns per read that hold a one, over the widths of every site."""
        total = 0.0
        for site in self._sites:
            found = self._columns(site.name, site.layer.weight, site.layer.weight_quantizer)
            total += self._share[site.name] * sum(columns.occupied for columns in found) / len(found)
        return {"occupied_columns": total}

    @torch.no_grad()
    def _columns(self, name: str, weight: Tensor, quantizer: Quantizer) -> list[Columns]:
        """Return the columns at every width that has bits of magnitude; the quantiser's width stays."""
        current = quantizer.bits
        found = []
        for bits in _widths_with_magnitude(quantizer):
            quantizer.bits = bits
            found.append(bit_columns(quantizer.codes(weight), bits, self._settings, groups=self._groups[name]))
        quantizer.bits = current
        return found


def bit_columns(codes: Tensor, bits: int, settings: ColumnSparsity, *, groups: int = 1) -> Columns:
    """Return what the bit columns of integer codes hold.

    Args:
        codes: Codes of weights, shape (output channels, input channels of a group, *kernel), held as floats.
        bits: Their width; codes reach from -2^(bits-1) to 2^(bits-1) - 1.
        settings: The size of blocks.
        groups: Groups of the convolution.
    """
    blocks = _in_blocks(codes, groups, settings)
    magnitudes = blocks.abs().to(torch.int16)
    block_size = settings.rows * settings.group
    norm, occupied, pull = torch.zeros((), device=codes.device), 0, torch.zeros_like(blocks)
    for plane in range(bits):  # two's complement reaches 2^(bits - 1), which has one plane more
        ones = (magnitudes >> plane & 1).to(codes.dtype)
        norms = ones.sum(dim=(-2, -1), keepdim=True).sqrt()
        norm += norms.sum() / math.sqrt(block_size)
        occupied += int(norms.count_nonzero())
        pull += ones * (2.0 ** (plane + 1 - bits) / math.sqrt(block_size)) / norms.clamp(min=1.0)
    return Columns(norm, occupied, _from_blocks(pull * blocks.sign(), codes))


def _widths_with_magnitude(quantizer: Quantizer) -> list[int]:
    """Return the widths of a quantiser at which codes are more than signs."""
    return [bits for bits in quantizer.widths if bits > 1]


def _in_blocks(weight: Tensor, groups: int, settings: ColumnSparsity) -> Tensor:
    """Return (groups, kernel positions, blocks of rows, blocks of channels, rows, channels), filled up with zeros."""
    rows, group = settings.rows, settings.group
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    by_position = weight.reshape(groups, outputs, inputs, -1).permute(0, 3, 1, 2)
    filled = F.pad(by_position, (0, -inputs % group, 0, -outputs % rows))
    positions, outputs, inputs = filled.shape[1:]
    return filled.reshape(groups, positions, outputs // rows, rows, inputs // group, group).transpose(3, 4)


def _from_blocks(blocks: Tensor, like: Tensor) -> Tensor:
    """Return blocks in the shape of the weights that :func:`_in_blocks` cut."""
    filled = blocks.transpose(3, 4).flatten(4, 5).flatten(2, 3)
    by_position = filled[:, :, : like.shape[0] // len(blocks), : like.shape[1]]
    return by_position.permute(0, 2, 3, 1).reshape(like.shape)
