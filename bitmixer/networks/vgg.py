"""VGG with batch-norm, in the form for small images: one linear layer behind the convolutions.

Source: Simonyan and Zisserman, "Very Deep Convolutional Networks", ICLR 2015, table 1, columns A (11) and D (16).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from bitmixer.networks.initialization import initialize_convolutions

WIDTHS = (1, 2, 4, 8, 8)
"""Channels of each stage, in units of the first one's."""


class VGG(nn.Module):
    """Five stages of 3x3 convolutions, each with batch-norm and ReLU; every stage ends in a pool.

    Args:
        convolutions: Convolutions of each stage.
        width: Channels of the first stage.
        input_channels: Channels of the input image.
        classes: Number of logits.
    """

    def __init__(self, *, convolutions: Sequence[int], width: int, input_channels: int, classes: int) -> None:
        super().__init__()
        self.stages = nn.Sequential()
        channels = input_channels
        for count, multiple in zip(convolutions, WIDTHS, strict=True):
            stage = nn.Sequential()
            for _ in range(count):
                stage.append(nn.Conv2d(channels, width * multiple, 3, 1, 1, bias=False))
                stage.append(nn.BatchNorm2d(width * multiple))
                stage.append(nn.ReLU(inplace=True))
                channels = width * multiple
            stage.append(nn.MaxPool2d(2))
            self.stages.append(stage)
        self.classifier = nn.Linear(channels, classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch of images, shape (batch, classes)."""
        logits: Tensor = self.classifier(self.stages(x).mean((2, 3)))
        return logits
