"""MobileNetV2. Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2."""

from __future__ import annotations

from torch import Tensor, nn

from bitmixer.networks.initialization import initialize_convolutions

STEM_CHANNELS, LAST_CHANNELS = 32, 1280
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of each stage, for a stem of 32 channels."""


def rounded_channels(channels: float) -> int:
    """Return the nearest multiple of 8 that is not below nine tenths of ``channels`` (the authors' rule)."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def convolution(input_channels: int, output_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    """Return a convolution with batch-norm and ReLU6."""
    return nn.Sequential(
        nn.Conv2d(input_channels, output_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(output_channels),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter depthwise, project linearly; a shortcut joins what has the same shape."""

    def __init__(self, input_channels: int, output_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = input_channels * expansion
        self.has_shortcut = stride == 1 and input_channels == output_channels
        self.layers = nn.Sequential()
        if expansion != 1:
            self.layers.append(convolution(input_channels, hidden, 1))
        self.layers.append(convolution(hidden, hidden, 3, stride, groups=hidden))
        self.layers.append(nn.Conv2d(hidden, output_channels, 1, bias=False))
        self.layers.append(nn.BatchNorm2d(output_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's result."""
        result: Tensor = self.layers(x)
        return x + result if self.has_shortcut else result


class MobileNetV2(nn.Module):
    """Inverted residuals between a stem and a wide 1x1 convolution.

    Args:
        width: Channels of the stem; 32 is the source's, all others scale with it.
        input_channels: Channels of the input image.
        classes: Number of logits.
        large_images: The source's strides; else stem and second stage keep the map, as for CIFAR.
    """

    def __init__(self, *, width: int, input_channels: int, classes: int, large_images: bool = False) -> None:
        super().__init__()
        multiplier = width / STEM_CHANNELS
        channels = rounded_channels(STEM_CHANNELS * multiplier)
        last_channels = rounded_channels(LAST_CHANNELS * max(1.0, multiplier))
        self.stem = convolution(input_channels, channels, 3, 2 if large_images else 1)
        self.stages = nn.Sequential()
        for stage, (expansion, base_channels, count, stride) in enumerate(STAGES):
            first_stride = 1 if stage == 1 and not large_images else stride
            wider = rounded_channels(base_channels * multiplier)
            blocks = [InvertedResidual(channels, wider, expansion, first_stride)]
            blocks += [InvertedResidual(wider, wider, expansion, 1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*blocks))
            channels = wider
        self.last = convolution(channels, last_channels, 1)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(last_channels, classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch of images, shape (batch, classes)."""
        x = self.last(self.stages(self.stem(x)))
        logits: Tensor = self.classifier(self.dropout(x.mean((2, 3))))
        return logits
