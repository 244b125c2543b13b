"""Residual networks. Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; a 1x1 projection where the shape changes."""

    def __init__(self, input_channels: int, output_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_channels, output_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(output_channels)
        self.conv2 = nn.Conv2d(output_channels, output_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(output_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or input_channels != output_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(input_channels, output_channels, 1, stride, bias=False),
                nn.BatchNorm2d(output_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's result."""
        result = torch.relu(self.norm1(self.conv1(x)))
        result = self.norm2(self.conv2(result)) + self.shortcut(x)
        return torch.relu(result)


class ResNet(nn.Module):
    """Residual network of basic blocks.

    Args:
        blocks: Blocks per stage; every stage but the first halves the map and doubles the channels.
        width: Channels of the first stage.
        input_channels: Channels of the input image.
        classes: Number of logits.
        large_images: Stem of the ImageNet form (7x7, stride 2, max pool) instead of the CIFAR form (3x3).
    """

    def __init__(
        self,
        blocks: Sequence[int],
        *,
        width: int,
        input_channels: int,
        classes: int,
        large_images: bool = False,
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
        channels = width
        for stage, count in enumerate(blocks):
            stage_width = width * 2**stage
            layers = [BasicBlock(channels, stage_width, 1 if stage == 0 else 2)]
            layers += [BasicBlock(stage_width, stage_width, 1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*layers))
            channels = stage_width
        self.classifier = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch of images, shape (batch, classes)."""
        x = self.stem_pool(torch.relu(self.stem_norm(self.stem(x))))
        x = self.stages(x)
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits
