"""Dropping a residual branch in training, for networks that write it as a function."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Torchvision's ``stochastic_depth``, which drops whole samples in training; follows the network's mode.

    Args:
        function: The original function.
        p: Probability of dropping.
        mode: Drop samples by themselves (``row``) or the batch.
    """

    def __init__(self, function: Callable[..., Tensor], p: float, mode: str) -> None:
        super().__init__()
        self.function, self.p, self.mode = function, p, mode

    def forward(self, x: Tensor) -> Tensor:
        """Drop in training; in evaluation return ``x``."""
        return self.function(x, self.p, self.mode, self.training)
