"""Convolutions and linear layers of integer codes, as products of packed matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitmixer.kernels.bit_planes import BitPlanes, Codes, Encoding, Integers, pack
from bitmixer.kernels.products import Product, popcount_product


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFormat:
    """How codes are written in bits.

    Attributes:
        bits: Number of planes.
        encoding: What they stand for.
    """

    bits: int
    encoding: Encoding

    def with_zero(self) -> CodeFormat:
        """Return a format that also holds zero, which padding needs and bipolar codes lack: one plane more."""
        if self.encoding != "bipolar":
            return self
        return CodeFormat(bits=self.bits + 1, encoding="twos_complement")

    def pack(self, codes: Codes) -> BitPlanes:
        """Pack a matrix of codes."""
        return pack(codes, bits=self.bits, encoding=self.encoding)


def multiply(
    inputs: Codes,
    weights: Codes,
    *,
    input_format: CodeFormat,
    weight_format: CodeFormat,
    product: Product = popcount_product,
) -> Integers:
    """Return the accumulators of a linear layer, shape (..., outputs).

    Args:
        inputs: Codes, shape (..., features).
        weights: Codes, shape (outputs, features).
        input_format: Bits of the inputs.
        weight_format: Bits of the weights.
        product: How packed matrices are multiplied.

    Raises:
        DatapathError: Codes do not fit their format.
    """
    rows = inputs.reshape(-1, inputs.shape[-1])
    return product(input_format.pack(rows), weight_format.pack(weights)).reshape(*inputs.shape[:-1], len(weights))


def convolve(
    inputs: Codes,
    weights: Codes,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    input_format: CodeFormat,
    weight_format: CodeFormat,
    product: Product = popcount_product,
) -> Integers:
    """Return the accumulators of a convolution over any number of axes, shape ``(inputs, outputs, *positions)``.

    Args:
        inputs: Codes, shape ``(inputs, channels, *sizes)``.
        weights: Codes, shape ``(outputs, channels / groups, *kernel)``.
        stride: Step per axis.
        padding: Zeros on both sides per axis.
        dilation: Distance of the kernel's taps per axis.
        groups: Groups of channels, as torch defines them.
        input_format: Bits of the inputs.
        weight_format: Bits of the weights.
        product: How packed matrices are multiplied.

    Raises:
        DatapathError: Codes do not fit their format.
    """
    input_format = input_format.with_zero() if any(padding) else input_format
    windows = _windows(inputs, weights.shape[2:], stride, padding, dilation)
    positions = windows.shape[: 1 + len(stride)]
    results = [
        multiply(
            channels.reshape(*positions, -1),
            kernels.reshape(len(kernels), -1),
            input_format=input_format,
            weight_format=weight_format,
            product=product,
        )
        for channels, kernels in zip(
            np.split(windows, groups, axis=len(positions)), np.split(weights, groups), strict=True
        )
    ]
    return np.moveaxis(np.concatenate(results, axis=-1), -1, 1)


def _windows(
    inputs: Codes, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> Codes:
    """Return what a kernel sees at each of its positions: a view, shape (inputs, *positions, channels, *kernel)."""
    axes = range(2, inputs.ndim)
    padded = np.pad(inputs, [(0, 0), (0, 0), *((size, size) for size in padding)])
    spans = [(taps - 1) * distance + 1 for taps, distance in zip(kernel, dilation, strict=True)]
    seen = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=tuple(axes))
    steps = [slice(None, None, step) for step in (*stride, *dilation)]
    return np.moveaxis(seen[(slice(None), slice(None), *steps)], 1, len(kernel) + 1)
