"""A layer of one-bit weights and activations, packed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bitmixer.errors import UnsupportedNetworkError
from bitmixer.kernels.signs import (
    CountLimits,
    Reals,
    SignKernels,
    SignMaps,
    signs_above,
    signs_of_products,
    sums_of_products,
)
from bitmixer.layers import MixedConvolution, Site
from bitmixer.layers.site import whole_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedForm:
    """Everything that a packed layer computes with.

    Attributes:
        kernels: Signs of its weights.
        thresholds: Where real numbers are read: a value at its threshold or more is +1. Shape (channels, thresholds of
            each); a thermometer code has several, and they stand for the code, too.
        limits: What leads to the signs that the next layer reads; ``None`` where real numbers follow.
        scale: What a product is worth, shape (outputs,), float32; not used where there are limits.
        bias: Shape (outputs,); ``None`` without one.
    """

    kernels: SignKernels
    thresholds: Reals
    limits: CountLimits | None
    scale: Reals
    bias: Reals | None


class PackedLayer(nn.Module):
    """A convolution or linear layer that multiplies signs with signs; its parameters are no tensors of torch.

    Args:
        form: What it computes with.
        is_linear: Whether it reads vectors, shape (inputs, features), instead of maps.
    """

    def __init__(self, form: PackedForm, *, is_linear: bool) -> None:
        super().__init__()
        self.form = form
        self.is_linear = is_linear

    def forward(self, x: Tensor | SignMaps) -> Tensor | SignMaps:
        """Return signs for the next layer where integer limits lead to them, else the layer's real-valued result."""
        form = self.form
        maps = x if isinstance(x, SignMaps) else self._signs(x)
        if form.limits is not None:
            return signs_of_products(maps, form.kernels, form.limits)
        result = torch.from_numpy(sums_of_products(maps, form.kernels)).float().mul_(torch.from_numpy(form.scale))
        if form.bias is not None:
            result.add_(torch.from_numpy(form.bias))
        return result.flatten(1) if self.is_linear else result.permute(0, 3, 1, 2)

    def _signs(self, x: Tensor) -> SignMaps:
        channels_last = x[:, None, None, :] if self.is_linear else x.permute(0, 2, 3, 1)
        return signs_above(channels_last.numpy(), self.form.thresholds)

    def extra_repr(self) -> str:
        """Describe the layer in a printed network."""
        outputs, height, width, _ = self.form.kernels.words.shape
        return f"{outputs}x{self.form.kernels.channels}x{height}x{width}, limits={self.form.limits is not None}"


def packed_weights(site: Site, name: str) -> SignKernels:
    """Return the signs of a site's weights at one bit.

    Raises:
        UnsupportedNetworkError: It has groups or dilation, or is a convolution over one axis.
    """
    codes = whole_numbers(site.weight_codes())
    stride, padding = (1, 1), (0, 0)
    if isinstance(site, MixedConvolution):
        if codes.ndim != 4 or site.groups != 1 or any(step != 1 for step in site.dilation):
            raise UnsupportedNetworkError(
                f"site {name}: a convolution over one axis, with groups or with dilation cannot be packed: give it "
                "more bits, so that it stays as it is"
            )
        stride, padding = (site.stride[0], site.stride[1]), (site.padding[0], site.padding[1])
    kernels = codes.reshape(*codes.shape[:2], *(codes.shape[2:] or (1, 1)))
    packed = SignMaps.pack(np.moveaxis(kernels > 0, 1, -1))
    return SignKernels(words=packed.words, channels=packed.channels, stride=stride, padding=padding)
