"""Residual networks. Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bitmixer.networks.initialization import initialize_convolutions


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; a 1x1 projection where the shape changes."""

    expansion = 1

    def __init__(self, input_channels: int, output_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_channels, output_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(output_channels)
        self.conv2 = nn.Conv2d(output_channels, output_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(output_channels)
        self.shortcut = projection(input_channels, output_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's result."""
        result = torch.relu(self.norm1(self.conv1(x)))
        result = self.norm2(self.conv2(result)) + self.shortcut(x)
        return torch.relu(result)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones that reduce and restore the channels; it strides (torchvision's form)."""

    expansion = 4

    def __init__(self, input_channels: int, width: int, stride: int) -> None:
        super().__init__()
        output_channels = width * self.expansion
        self.conv1 = nn.Conv2d(input_channels, width, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, output_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(output_channels)
        self.shortcut = projection(input_channels, output_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's result."""
        result = torch.relu(self.norm1(self.conv1(x)))
        result = torch.relu(self.norm2(self.conv2(result)))
        result = self.norm3(self.conv3(result)) + self.shortcut(x)
        return torch.relu(result)


def projection(input_channels: int, output_channels: int, stride: int) -> nn.Module:
    """Return a shortcut: a 1x1 convolution where the shape changes."""
    if stride == 1 and input_channels == output_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(input_channels, output_channels, 1, stride, bias=False),
        nn.BatchNorm2d(output_channels),
    )


class ResNet(nn.Module):
    """Residual network of basic or bottleneck blocks.

    Args:
        blocks: Blocks per stage; every stage but the first halves the map and doubles the channels.
        width: Channels of the first stage.
        input_channels: Channels of the input image.
        classes: Number of logits.
        large_images: Stem of the ImageNet form (7x7, stride 2, max pool) instead of the CIFAR form (3x3).
        bottleneck: Bottleneck blocks instead of basic ones.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        *,
        width: int,
        input_channels: int,
        classes: int,
        large_images: bool = False,
        bottleneck: bool = False,
    ) -> None:
        super().__init__()
        if large_images:
            self.stem = nn.Conv2d(input_channels, width, 7, 2, 3, bias=False)
            self.stem_pool: nn.Module = nn.MaxPool2d(3, 2, 1)
        else:
            self.stem = nn.Conv2d(input_channels, width, 3, 1, 1, bias=False)
            self.stem_pool = nn.Identity()
        self.stem_norm = nn.BatchNorm2d(width)
        self.stages = nn.Sequential()
        block = Bottleneck if bottleneck else BasicBlock
        channels = width
        for stage, count in enumerate(blocks):
            stage_width = width * 2**stage
            layers = [block(channels, stage_width, 1 if stage == 0 else 2)]
            channels = stage_width * block.expansion
            layers += [block(channels, stage_width, 1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*layers))
        self.classifier = nn.Linear(channels, classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch of images, shape (batch, classes)."""
        x = self.stem_pool(torch.relu(self.stem_norm(self.stem(x))))
        x = self.stages(x)
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits
