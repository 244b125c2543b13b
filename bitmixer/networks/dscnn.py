"""DS-CNN for keyword spotting.

Source: Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", arXiv 1711.07128; in the form of the MLPerf
Tiny benchmark (Banbury et al., 2021): 49 frames of 10 cepstral coefficients, 12 words.
"""

from __future__ import annotations

from torch import Tensor, nn

from bitmixer.networks.initialization import initialize_convolutions

BLOCKS = 4


class DepthwiseSeparable(nn.Module):
    """A wide first convolution and four depthwise separable ones.

    Args:
        width: Channels of every layer; 64 is the benchmark's.
        input_channels: Channels of the input.
        classes: Number of logits.
    """

    def __init__(self, *, width: int, input_channels: int, classes: int) -> None:
        super().__init__()
        # The benchmark's padding: the map is halved, rounding up, and an odd row goes behind it.
        self.stem = nn.Sequential(
            nn.ZeroPad2d((1, 1, 4, 5)), nn.Conv2d(input_channels, width, (10, 4), 2), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.blocks = nn.Sequential(*(separable_block(width) for _ in range(BLOCKS)))
        self.dropouts = nn.ModuleList([nn.Dropout(0.2), nn.Dropout(0.4)])
        self.classifier = nn.Linear(width, classes)
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch of spectrograms, shape (batch, classes)."""
        x = self.blocks(self.dropouts[0](self.stem(x)))
        logits: Tensor = self.classifier(self.dropouts[1](x).mean((2, 3)))
        return logits


def separable_block(width: int) -> nn.Module:
    """Return a depthwise 3x3 and a 1x1 convolution, each with batch-norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(width, width, 3, 1, 1, groups=width), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU(),
    )  # fmt: skip
