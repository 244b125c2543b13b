"""Architectures by name: one table, read without torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bitmixer.errors import UnsupportedNetworkError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

CIFAR = (3, 32, 32)
IMAGENET = (3, 224, 224)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """How to build a network, and its size in the form that its source describes.

    Attributes:
        builder: The class that builds it, as ``module.Class`` of this package.
        options: What the builder takes besides width, input channels and classes.
        width: Channels of the first stage (features of a token), where none are asked for.
        input_shape: Shape of an input in the source's form: channels, height, width.
        classes: Number of logits in the source's form.
        parameters: Parameters of that form.
        macs: Multiply-accumulates per input of that form, in convolutions and linear layers.
    """

    builder: str
    options: dict[str, Any]
    width: int
    input_shape: tuple[int, int, int]
    classes: int
    parameters: int
    macs: int


ARCHITECTURES: dict[str, Architecture] = {
    "resnet8": Architecture(
        builder="resnet.ResNet", options={"blocks": (1, 1, 1)},
        width=16, input_shape=CIFAR, classes=10, parameters=78_042, macs=12_501_632,
    ),
    "resnet20": Architecture(
        builder="resnet.ResNet", options={"blocks": (3, 3, 3)},
        width=16, input_shape=CIFAR, classes=10, parameters=272_474, macs=40_813_184,
    ),
    "resnet18": Architecture(
        builder="resnet.ResNet", options={"blocks": (2, 2, 2, 2), "large_images": True},
        width=64, input_shape=IMAGENET, classes=1000, parameters=11_689_512, macs=1_814_073_344,
    ),
    "resnet50": Architecture(
        builder="resnet.ResNet", options={"blocks": (3, 4, 6, 3), "large_images": True, "bottleneck": True},
        width=64, input_shape=IMAGENET, classes=1000, parameters=25_557_032, macs=4_089_184_256,
    ),
    "mobilenetv2": Architecture(
        builder="mobilenet.MobileNetV2", options={"large_images": True},
        width=32, input_shape=IMAGENET, classes=1000, parameters=3_504_872, macs=300_774_272,
    ),
    "mobilenetv2_cifar": Architecture(
        builder="mobilenet.MobileNetV2", options={},
        width=32, input_shape=CIFAR, classes=10, parameters=2_236_682, macs=87_976_448,
    ),
    "dscnn": Architecture(
        builder="dscnn.DepthwiseSeparable", options={},
        width=64, input_shape=(1, 49, 10), classes=12, parameters=23_756, macs=2_656_768,
    ),
    "vgg11": Architecture(
        builder="vgg.VGG", options={"convolutions": (1, 1, 2, 2, 2)},
        width=64, input_shape=CIFAR, classes=10, parameters=9_228_362, macs=152_769_536,
    ),
    "vgg16": Architecture(
        builder="vgg.VGG", options={"convolutions": (2, 2, 3, 3, 3)},
        width=64, input_shape=CIFAR, classes=10, parameters=14_724_042, macs=313_201_664,
    ),
    "patch_transformer": Architecture(
        builder="transformer.PatchTransformer", options={"depth": 4},
        width=64, input_shape=CIFAR, classes=10, parameters=138_442, macs=8_622_720,
    ),
    "bcnn": Architecture(
        builder="bcnn.BCNN", options={"blocks": (2, 2, 2)},
        width=64, input_shape=CIFAR, classes=10, parameters=1_200_866, macs=202_902_016,
    ),
    "bcnn_bit_planes": Architecture(
        builder="bcnn.BCNN", options={"blocks": (2, 2, 2), "code": "bit_planes"},
        width=64, input_shape=CIFAR, classes=10, parameters=1_200_842, macs=202_902_016,
    ),
    "bcnn_real_stem": Architecture(
        builder="bcnn.BCNN", options={"blocks": (2, 2, 2), "code": "real"},
        width=64, input_shape=CIFAR, classes=10, parameters=1_188_746, macs=190_515_712,
    ),
    "bcnn_space_to_depth": Architecture(
        builder="bcnn.BCNN", options={"blocks": (2, 2, 2), "space_to_depth": 2},
        width=64, input_shape=CIFAR, classes=10, parameters=1_242_410, macs=61_344_256,
    ),
    "bcnn_space_to_depth_real_stem": Architecture(
        builder="bcnn.BCNN", options={"blocks": (2, 2, 2), "space_to_depth": 2, "code": "real"},
        width=64, input_shape=CIFAR, classes=10, parameters=1_193_930, macs=48_957_952,
    ),
    "bcnn_plain": Architecture(
        builder="bcnn.BCNN", options={"blocks": (2, 2, 2), "shortcuts": False},
        width=64, input_shape=CIFAR, classes=10, parameters=1_200_866, macs=202_902_016,
    ),
}  # fmt: skip


def create(architecture: str, *, input_channels: int, classes: int, width: int | None = None) -> nn.Module:
    """Return an untrained network.

    Args:
        architecture: A name in ``ARCHITECTURES``.
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
    form = ARCHITECTURES[architecture]
    module, _, name = form.builder.partition(".")
    builder = getattr(importlib.import_module(f"bitmixer.networks.{module}"), name)
    network: nn.Module = builder(
        width=width or form.width, input_channels=input_channels, classes=classes, **form.options
    )
    return network
