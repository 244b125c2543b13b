"""Maps and kernels of signs, packed along channels: XNOR convolutions, and signs again behind integer thresholds.

A set bit is +1, a clear one -1; what fills the last word of a pixel is clear on both sides and so never differs. A
product of K signs that differ at d positions is K - 2 d. Outside of a map lies +1: no sign stands for zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitmixer.errors import DatapathError, MissingExtraError
from bitmixer.kernels.bit_planes import WORD_BITS, Integers, packed_bits
from bitmixer.kernels.thresholds import Thresholds

Words = NDArray[np.uint64]
Bits = NDArray[np.bool_]
Sums = NDArray[np.int32]
Reals = NDArray[np.float32]

CHUNK_WORDS = 9
"""Words of a window that are multiplied at once: the taps of a 3x3 kernel. Kernels are filled up to a multiple."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignMaps:
    """A batch of maps of signs.

    Attributes:
        words: Shape (inputs, height, width, words), uint64; channel 0 is the lowest bit of word 0.
        channels: Number of channels.
    """

    words: Words
    channels: int

    @classmethod
    def pack(cls, bits: Bits) -> SignMaps:
        """Pack maps, shape (inputs, height, width, channels), of which +1 is true."""
        *shape, channels = bits.shape
        return cls(words=packed_bits(bits.reshape(-1, channels)).reshape(*shape, -1), channels=channels)

    def unpack(self) -> Bits:
        """Return the maps, shape (inputs, height, width, channels)."""
        octets = np.ascontiguousarray(self.words.astype("<u8")).view(np.uint8)
        return np.unpackbits(octets, axis=-1, count=self.channels, bitorder="little").astype(np.bool_)

    def padded(self, rows: int, columns: int) -> Words:
        """Return the words with +1 in every channel of so many rows and columns on all four sides."""
        if not rows and not columns:
            return self.words
        inputs, height, width, words = self.words.shape
        ones = packed_bits(np.ones((1, self.channels), dtype=np.bool_))
        result = np.empty((inputs, height + 2 * rows, width + 2 * columns, words), dtype=np.uint64)
        result[...] = ones
        result[:, rows : rows + height, columns : columns + width] = self.words
        return result


@dataclass(frozen=True, kw_only=True)
class SignKernels:
    """The kernels of a convolution of signs; a linear layer is one of 1x1 kernels.

    Attributes:
        words: Shape (outputs, height, width, words), uint64.
        channels: Input channels.
        stride: Along height and width; so is ``padding``.
    """

    words: Words
    channels: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)

    @property
    def depth(self) -> int:
        """Signs that are multiplied for one result."""
        _, height, width, _ = self.words.shape
        return int(height * width * self.channels)

    @cached_property
    def by_window(self) -> Words:
        """The words with those of all outputs side by side, shape (words of a window, filled up, outputs)."""
        rows = self.words.reshape(len(self.words), -1).T
        filled = np.zeros((-(-len(rows) // CHUNK_WORDS) * CHUNK_WORDS, rows.shape[1]), dtype=np.uint64)
        filled[: len(rows)] = rows
        return filled

    def result_shape(self, maps: SignMaps) -> tuple[int, int, int]:
        """Return inputs, height and width of what maps are convolved to.

        Raises:
            DatapathError: The maps have other channels, or are smaller than the kernel.
        """
        if maps.channels != self.channels:
            raise DatapathError(f"maps have {maps.channels} channels: expected the kernels' {self.channels}")
        inputs, *sizes, _ = maps.words.shape
        height, width = (
            (size + 2 * padding - kernel) // stride + 1
            for size, padding, kernel, stride in zip(
                sizes, self.padding, self.words.shape[1:3], self.stride, strict=True
            )
        )
        if height < 1 or width < 1:
            raise DatapathError(f"maps of {sizes[0]}x{sizes[1]} are smaller than the kernel: give larger ones")
        return inputs, height, width


@dataclass(frozen=True, slots=True, kw_only=True)
class CountLimits:
    """Integer thresholds of a count of differences: all that scale, norm, activation and sign are for the next layer.

    An output is +1 where its count is at most its limit; where ``flips``, where it is larger.

    Attributes:
        limits: Shape (outputs,), int64.
        flips: Shape (outputs,).
    """

    limits: Integers
    flips: Bits

    @classmethod
    def of(cls, thresholds: Thresholds, depth: int) -> CountLimits:
        """Return the limits that stand for thresholds of sums of ``depth`` products.

        ``sign * (depth - 2 count) >= level`` holds up to a count where the sign is +1, and from one on where it is -1.

        Raises:
            DatapathError: The thresholds lead to other codes than -1 and +1.
        """
        if thresholds.codes.tolist() != [-1, 1]:
            raise DatapathError(f"thresholds lead to codes {thresholds.codes.tolist()}: expected -1 and 1")
        levels, flips = thresholds.levels[:, 0], thresholds.signs < 0
        return cls(limits=np.where(flips, (depth + levels + 1) // 2 - 1, (depth - levels) // 2), flips=flips)

    def signs(self, counts: Integers) -> Bits:
        """Return which counts, shape (..., outputs), lead to +1."""
        result: Bits = (counts <= self.limits) != self.flips
        return result


def signs_above(values: Reals, thresholds: Reals) -> SignMaps:
    """Return the signs of values about thresholds: +1 where a value is its threshold or more.

    Args:
        values: Shape (inputs, height, width, channels).
        thresholds: Shape (channels, thresholds of each): every channel becomes as many, as a thermometer code has it.

    Raises:
        MissingExtraError: numba is not installed.
    """
    rows = np.ascontiguousarray(values, dtype=np.float32).reshape(-1, values.shape[-1])
    channels = thresholds.size
    words = np.zeros((len(rows), -(-channels // WORD_BITS)), dtype=np.uint64)
    _compiled().pack_above(rows, np.ascontiguousarray(thresholds, dtype=np.float32), words)
    return SignMaps(words=words.reshape(*values.shape[:-1], -1), channels=channels)


def sums_of_products(maps: SignMaps, kernels: SignKernels) -> Sums:
    """Return a convolution's accumulators, shape (inputs, height, width, outputs).

    Raises:
        DatapathError: Maps and kernels do not fit.
        MissingExtraError: numba is not installed.
    """
    shape = kernels.result_shape(maps)
    out = np.empty((*shape, len(kernels.words)), dtype=np.int32)
    padded = maps.padded(*kernels.padding)
    _compiled().convolve_to_sums(
        padded, kernels.by_window, kernels.words.shape[1:3], kernels.stride, kernels.depth, out
    )
    return out


def signs_of_products(maps: SignMaps, kernels: SignKernels, limits: CountLimits) -> SignMaps:
    """Return the signs that the next layer reads, from signs by integers alone.

    Raises:
        DatapathError: Maps and kernels do not fit.
        MissingExtraError: numba is not installed.
    """
    shape = kernels.result_shape(maps)
    outputs = len(kernels.words)
    flips = packed_bits(limits.flips[None])[0]
    words = np.empty((*shape, len(flips)), dtype=np.uint64)
    padded = maps.padded(*kernels.padding)
    _compiled().convolve_to_signs(
        padded, kernels.by_window, kernels.words.shape[1:3], kernels.stride, limits.limits, flips, words
    )
    return SignMaps(words=words, channels=outputs)


def reference_counts(maps: SignMaps, kernels: SignKernels) -> Integers:
    """Return at how many positions windows and kernels differ, shape (inputs, height, width, outputs): plain numpy."""
    inputs, height, width = kernels.result_shape(maps)
    padded = maps.padded(*kernels.padding)
    rows, columns = kernels.words.shape[1:3]
    counts = np.zeros((inputs, height, width, len(kernels.words)), dtype=np.int64)
    for row in range(rows):
        for column in range(columns):
            seen = padded[:, row :: kernels.stride[0], column :: kernels.stride[1]][:, :height, :width]
            differing = seen[..., None, :] ^ kernels.words[:, row, column]
            octets = np.unpackbits(differing.view(np.uint8), axis=-1)
            counts += octets.sum(axis=-1, dtype=np.int64)
    return counts


def _compiled() -> Any:
    """Return the module of compiled functions."""
    try:
        from bitmixer.kernels import xnor
    except ImportError:
        raise MissingExtraError("products of signs need numba: pip install 'bitmixer-hwsim[kernels]'") from None
    return xnor
