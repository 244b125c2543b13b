"""Pools with more padding on one side than on the other, as Caffe and TensorFlow make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pads = Sequence[int]
"""As ``torch.nn.functional.pad`` takes them: last axis first, both sides of each."""


class PaddedMaxPool2d(nn.MaxPool2d):
    """Pads with what is never the largest, then pools."""

    def __init__(self, kernel_size: Any, *, pads: Pads, **options: Any) -> None:
        super().__init__(kernel_size, **options)
        self.pads = tuple(pads)

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``x``, shape (batch, channels, height, width)."""
        pooled: Tensor = super().forward(F.pad(x, list(self.pads), value=-torch.inf))
        return pooled


class PaddedAvgPool2d(nn.AvgPool2d):
    """Pads with zeros, then averages, over the padding too only if ``count_include_pad``."""

    def __init__(self, kernel_size: Any, *, pads: Pads, **options: Any) -> None:
        super().__init__(kernel_size, **options)
        self.pads = tuple(pads)

    def forward(self, x: Tensor) -> Tensor:
        """Average ``x``, shape (batch, channels, height, width)."""
        average = super().forward(F.pad(x, list(self.pads)))
        if self.count_include_pad:
            return average
        return average / super().forward(F.pad(torch.ones_like(x), list(self.pads)))
