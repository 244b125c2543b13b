"""A ReLU that its readers do anyway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class Reader(Protocol):
    """A layer that may round what it reads to codes from zero up."""

    @property
    def rounds_input(self) -> bool: ...  # noqa: D102


class AbsorbedReLU(nn.ReLU):
    """Steps aside while every reader rounds to codes from zero up: those cut off what is negative as a ReLU does.

    Value and gradients stay the same, and training saves two passes over the tensor.

    Args:
        readers: All layers that read the result; they have unsigned quantisers.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        super().__init__()
        self.readers = tuple(readers)  # in a tuple, they do not become children of this module

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the base class calls it so)
        """Return the tensor, cut off at zero unless all readers do so."""
        return input if all(reader.rounds_input for reader in self.readers) else torch.relu(input)
