"""Transitional norms: one set of statistics and affine for every transition between two widths.

Source: Bulat and Tzimiropoulos, "Bit-Mixer", ICCV 2021. The key is (weight bits of the producer, activation
bits of the key consumer): |B|^2 sets inside the network, fewer where a neighbour is pinned. Uniform
assignments only ever use the diagonal, which is switchable batch-norm (AdaBits).

Norms with statistics of each sample (layer, group, instance) share those between all transitions, for there is
nothing to keep; their affine is transitional. Where a network has no norm, an affine by itself takes its place.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

STATISTICS_FRACTION_BITS = 12
"""Fraction of the numbers whose sums and sums of squares make a sample's statistics: exact while
n * max(x)^2 stays below 2^29."""


class Affine(nn.Module):
    """A scale and a shift per channel, which start as 1 and 0: they change nothing until they are trained.

    Args:
        channels: Number of channels.
        trailing_axes: Axes behind that of the channels.
    """

    def __init__(self, channels: int, *, trailing_axes: int) -> None:
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.trailing_axes = trailing_axes

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift."""
        shape = (-1, *([1] * self.trailing_axes))
        return x * self.weight.reshape(shape) + self.bias.reshape(shape)


class TransitionalNorm(nn.Module):
    """Norms selected by the bits before and after.

    Args:
        original: The norm (or affine) that every transition starts from.
        producer_bits: Weight bits that the site before can have.
        consumer_bits: Activation bits that the key consumer can have; ``[0]`` before the network's output.
    """

    def __init__(
        self,
        original: nn.Module,
        producer_bits: Sequence[int],
        consumer_bits: Sequence[int],
    ) -> None:
        super().__init__()
        self.producer_bits = tuple(producer_bits)
        self.consumer_bits = tuple(consumer_bits)
        self.integer = False
        self.norms = nn.ModuleDict(
            {key(p, c): copy.deepcopy(original) for p in self.producer_bits for c in self.consumer_bits}
        )
        self.select(max(self.producer_bits), max(self.consumer_bits))

    def select(self, producer_bits: int, consumer_bits: int) -> None:
        """Use the norm of this transition from now on."""
        self.current = key(producer_bits, consumer_bits)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise with the current transition's norm."""
        norm = self.norms[self.current]
        if not self.integer or self.training:
            result: Tensor = norm(x)
            return result
        # As hardware does it, and rounded element by element, so that no layout or batch size shows.
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            return norm(x) if isinstance(norm, Affine) else exactly_normalised(norm, x)
        scale, shift = folded(norm)
        shape = (-1, *([1] * (x.dim() - 2)))
        return (x * scale.reshape(shape)).add_(shift.reshape(shape))

    def start_transitions_from_diagonal(self) -> None:
        """Copy each producer's own-width norm to its transitions (stage II to stage III of the training)."""
        for producer in self.producer_bits:
            if producer not in self.consumer_bits:
                continue
            trained = self.norms[key(producer, producer)].state_dict()
            for consumer in self.consumer_bits:
                if consumer != producer:
                    self.norms[key(producer, consumer)].load_state_dict(trained)


def key(producer_bits: int, consumer_bits: int) -> str:
    """Return the name of a transition."""
    return f"{producer_bits}_{consumer_bits}"


def folded(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the scale and shift that a batch-norm applies in evaluation (shape: channels).

    Computed in float64 and rounded once.
    """
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    scale = torch.rsqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    dtype = norm.running_mean.dtype
    return scale.detach().to(dtype), shift.detach().to(dtype)


def exactly_normalised(norm: nn.Module, x: Tensor) -> Tensor:
    """Return what a layer, group or instance norm makes of ``x``; its sums do not depend on their order.

    Mean and variance come from exact sums of fixed-point numbers: Var = E[x^2] - E[x]^2.
    """
    codes = torch.ldexp(x.double(), torch.tensor(STATISTICS_FRACTION_BITS)).round_()
    if isinstance(norm, nn.LayerNorm):
        grouped, per_channel = codes.flatten(-len(norm.normalized_shape)), tuple(norm.normalized_shape)
    else:
        groups = norm.num_groups if isinstance(norm, nn.GroupNorm) else x.shape[1]
        grouped = codes.reshape(x.shape[0], groups, -1)
        per_channel = (-1, *([1] * (x.dim() - 2)))
    count = grouped.shape[-1]
    total, squares = grouped.sum(-1, keepdim=True), grouped.square().sum(-1, keepdim=True)
    variance = torch.ldexp((count * squares - total * total) / count**2, torch.tensor(-2 * STATISTICS_FRACTION_BITS))
    centred = torch.ldexp(grouped - total / count, torch.tensor(-STATISTICS_FRACTION_BITS))
    result = (centred / torch.sqrt(variance.clamp_(min=0) + norm.eps)).reshape(x.shape)  # type: ignore[operator]
    for parameter, apply in ((norm.weight, torch.mul), (norm.bias, torch.add)):
        if isinstance(parameter, Tensor):
            result = apply(result, parameter.double().reshape(per_channel))
    return result.to(x.dtype)
