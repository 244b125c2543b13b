"""Transitional batch-norm: one set of statistics and affine for every transition between two widths.

Source: Bulat and Tzimiropoulos, "Bit-Mixer", ICCV 2021. The key is (weight bits of the producer, activation
bits of the key consumer): |B|^2 sets inside the network, fewer where a neighbour is pinned. Uniform
assignments only ever use the diagonal, which is switchable batch-norm (AdaBits).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class TransitionalNorm(nn.Module):
    """Batch-norms selected by the bits before and after.

    Args:
        original: The batch-norm that every transition starts from.
        producer_bits: Weight bits that the site before can have.
        consumer_bits: Activation bits that the key consumer can have; ``[0]`` before the network's output.
    """

    def __init__(
        self,
        original: nn.BatchNorm1d | nn.BatchNorm2d,
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
