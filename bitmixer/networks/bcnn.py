"""A network whose convolutions all multiply signs with signs, from the first to the last.

Source: Redfern, Zhu and Newquist, "BCNN: A Binary CNN with All Matrix Ops Quantized to 1 Bit Precision", CVPR Workshops
2021 (arXiv 2010.00704), which fixes that stem and down-sampling are binary too. The block follows ReActNet (Liu et al.,
ECCV 2020), its sizes are our choice.

This is the network in float; at one bit it becomes the BCNN:
``convert(create("bcnn", ...), [1], quantizer="binary", granularity="channel", pinned=["last"])``. Its twin has the
learned thresholds before every convolution, the signs of both operands and a scale per output channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from bitmixer.layers import BitPlaneCode, RepeatedChannels, ShiftedPReLU, ThermometerCode
from bitmixer.layers.binary_code import IMAGE_BITS
from bitmixer.networks.initialization import initialize_convolutions

LEVELS = 8
"""Thresholds per channel of the thermometer code."""

StemCode = Literal["thermometer", "bit_planes", "real"]
"""What the first convolution reads: signs about learned thresholds, bit planes, or the image as it is."""


class BinaryBlock(nn.Module):
    """Threshold and sign (in the twin), 3x3 convolution, norm, shortcut without parameters, parametric activation.

    A stride halves the map in the convolution itself; the shortcut averages. Channels double by repeating the shortcut.

    Args:
        input_channels: Channels that are read.
        output_channels: As many, or a multiple.
        stride: 1 or 2.
        has_shortcut: Whether a real-valued shortcut joins; without one nothing but signs leads from block to block.
    """

    def __init__(self, input_channels: int, output_channels: int, *, stride: int, has_shortcut: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(input_channels, output_channels, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(output_channels)
        self.has_shortcut = has_shortcut
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True))
        if output_channels > input_channels:
            self.shortcut.append(RepeatedChannels(output_channels // input_channels))
        self.activation = ShiftedPReLU(output_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's result."""
        result = self.norm(self.convolution(x))
        if self.has_shortcut:
            result = result + self.shortcut(x)
        activated: Tensor = self.activation(result)
        return activated


class BCNN(nn.Module):
    """A stem that reads signs, and stages of blocks; every stage but the first halves the map and doubles the channels.

    Args:
        blocks: Blocks of each stage.
        width: Channels of the first stage.
        input_channels: Channels of the input image, whose values lie in [0, 1].
        classes: Number of logits.
        code: What the stem reads.
        space_to_depth: The image is cut into squares of so many pixels a side, whose pixels become channels.
        shortcuts: Whether blocks have shortcuts.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        *,
        width: int,
        input_channels: int,
        classes: int,
        code: StemCode = "thermometer",
        space_to_depth: int = 1,
        shortcuts: bool = True,
    ) -> None:
        super().__init__()
        channels = input_channels * space_to_depth**2
        self.squares = nn.PixelUnshuffle(space_to_depth) if space_to_depth > 1 else nn.Identity()
        self.encoder = _encoder(code, channels)
        multiple = {"thermometer": LEVELS, "bit_planes": IMAGE_BITS, "real": 1}[code]
        self.stem = BinaryBlock(channels * multiple, width, stride=1, has_shortcut=False)
        self.stages = nn.Sequential()
        channels = width
        for stage, count in enumerate(blocks):
            wider = width * 2**stage
            strides = [1 if stage == 0 else 2, *([1] * (count - 1))]
            layers = []
            for stride in strides:
                layers.append(BinaryBlock(channels, wider, stride=stride, has_shortcut=shortcuts))
                channels = wider
            self.stages.append(nn.Sequential(*layers))
        self.classifier = nn.Linear(channels, classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch of images, shape (batch, classes)."""
        x = self.stages(self.stem(self.encoder(self.squares(x))))
        logits: Tensor = self.classifier(torch.mean(x, (2, 3)))
        return logits


def _encoder(code: StemCode, channels: int) -> nn.Module:
    if code == "thermometer":
        return ThermometerCode(channels, levels=LEVELS)
    return BitPlaneCode() if code == "bit_planes" else nn.Identity()
