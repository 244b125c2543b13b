"""The parametric activation of binary networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FIRST_SLOPE = 0.25
"""Slope below the kink before it is trained (He et al., "Delving Deep into Rectifiers", ICCV 2015)."""


class ShiftedPReLU(nn.Module):
    """A PReLU with a learned shift on either side, all per channel: RPReLU.

    Source: Liu et al., "ReActNet", ECCV 2020, eq. 4 (with the signs of the shifts taken in).

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.before = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), FIRST_SLOPE))
        self.behind = nn.Parameter(torch.zeros(channels))

    @property
    def rises(self) -> bool:
        """Whether larger values never give smaller results."""
        return bool((self.slope >= 0).all())

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of a batch (n, channels, height, width)."""
        return F.prelu(x + self.before[:, None, None], self.slope) + self.behind[:, None, None]
