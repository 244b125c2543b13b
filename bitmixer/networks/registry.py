"""Architectures by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bitmixer.errors import UnsupportedNetworkError, did_you_mean

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualArchitecture:
    """A residual network of basic blocks; ``width`` is the number of channels of its first stage."""

    blocks: tuple[int, ...]
    width: int
    large_images: bool = False


ARCHITECTURES = {
    "resnet8": ResidualArchitecture(blocks=(1, 1, 1), width=16),
    "resnet20": ResidualArchitecture(blocks=(3, 3, 3), width=16),
    "resnet18": ResidualArchitecture(blocks=(2, 2, 2, 2), width=64, large_images=True),
}


def create(architecture: str, *, input_channels: int, classes: int, width: int | None = None) -> nn.Module:
    """Return an untrained network.

    Args:
        architecture: ``resnet8``, ``resnet20`` (CIFAR form) or ``resnet18`` (ImageNet form).
        input_channels: Channels of the input image.
        classes: Number of logits.
        width: Channels of the first stage, instead of the architecture's own.

    Raises:
        UnsupportedNetworkError: The architecture is unknown.
    """
    if architecture not in ARCHITECTURES:
        raise UnsupportedNetworkError(
            f"unknown architecture {architecture!r}: {did_you_mean(architecture, ARCHITECTURES)}"
        )
    from bitmixer.networks.resnet import ResNet

    form = ARCHITECTURES[architecture]
    return ResNet(
        form.blocks,
        width=width or form.width,
        input_channels=input_channels,
        classes=classes,
        large_images=form.large_images,
    )
