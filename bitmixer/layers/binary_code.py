"""From an image to two values: what a stem without real-valued products reads.

They are -1/2 and +1/2: there the slope that stands for that of a sign (bitmixer/quantizers/binary.py) is 1, so that the
gradient goes through the sign of the layer behind as if it had taken none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitmixer.quantizers.binary import sign_of_difference

IMAGE_BITS = 8
"""Bits of a pixel; images hold multiples of 1/255."""


class ThermometerCode(nn.Module):
    """Replaces each channel by half its signs about learned thresholds, which start evenly spread over [0, 1].

    Args:
        channels: Channels of the image.
        levels: Thresholds per channel.
    """

    def __init__(self, channels: int, *, levels: int) -> None:
        super().__init__()
        self.channels, self.levels = channels, levels
        even = (torch.arange(levels) + 0.5) / levels
        self.thresholds = nn.Parameter(even.repeat(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the code of a batch (n, channels, height, width): shape (n, channels x levels, height, width)."""
        return 0.5 * sign_of_difference(x.repeat_interleave(self.levels, 1), self.thresholds[:, None, None])


class BitPlaneCode(nn.Module):
    """Replaces each channel of an image in [0, 1] by its eight bit planes, the lowest first; +1/2 where a bit is set.

    A pixel is rounded to the nearest multiple of 1/255 and cut off at the ends. There is nothing to learn, and no
    gradient to the image.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the planes of a batch (n, channels, height, width): shape (n, channels x 8, height, width)."""
        pixels = (x.detach() * (2.0**IMAGE_BITS - 1.0)).round_().clamp_(0.0, 2.0**IMAGE_BITS - 1.0).to(torch.int32)
        planes = torch.arange(IMAGE_BITS, dtype=torch.int32, device=x.device)[:, None, None]
        bits = torch.bitwise_right_shift(pixels.unsqueeze(2), planes) & 1
        return bits.flatten(1, 2).to(x.dtype).sub_(0.5)
