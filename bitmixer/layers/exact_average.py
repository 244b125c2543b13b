"""Averages that do not depend on the order of summation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

FRACTION_BITS = 16
"""Fixed-point fraction of the summands: sums of up to 2^20 of them are exact in float64."""


class ExactAverage(nn.Module):
    """Wraps an average pool or mean; in integer evaluation it sums fixed-point numbers exactly.

    Args:
        average: The original function or module; its first argument is the tensor.
    """

    def __init__(self, average: Callable[..., Tensor]) -> None:
        super().__init__()
        self.average = average
        self.integer = False

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Average ``x`` as the original does."""
        if not self.integer or self.training:
            return self.average(x, *args, **kwargs)
        summands = x.double().mul_(2.0**FRACTION_BITS).round_()
        return self.average(summands, *args, **kwargs).mul_(2.0**-FRACTION_BITS).to(x.dtype)
