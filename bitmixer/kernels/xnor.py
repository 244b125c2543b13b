"""Compiled products of signs; importing this needs numba (extra ``kernels``). Shapes are those of ``signs``.

A product of signs is the depth less twice the number of positions at which two rows of bits differ. Counts are taken
for several output channels at once: their words lie beside one another, so that vector instructions compare, count and
sum eight of them. Two windows share every word of the weights that is loaded; their own words stay in registers, nine
at a time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from bitmixer.kernels.bit_planes import WORD_BITS, Integers
from bitmixer.kernels.popcount import count_ones
from bitmixer.kernels.signs import CHUNK_WORDS, Reals, Sums, Words

COUNT = np.int64


@njit(cache=True, nogil=True)
def _gather(image: Words, top: int, left: int, kernel: tuple[int, int], window: Words) -> None:
    """Copy the words under a kernel, row by row; what follows them in the window stays zero."""
    words = image.shape[2]
    position = 0
    for row in range(top, top + kernel[0]):
        for column in range(left, left + kernel[1]):
            for word in range(words):
                window[position] = image[row, column, word]
                position += 1


@njit(cache=True, nogil=True)
def _count_differences(a: Words, b: Words, weights: Words, counts_a: Integers, counts_b: Integers) -> None:
    """Count for two windows at how many bits they differ from the weights of each output channel.

    Args:
        a: A window, shape (chunks x 9,).
        b: Another.
        weights: Shape (chunks x 9, output channels).
        counts_a: Results, shape (output channels,).
        counts_b: Results of the other window.
    """
    counts_a[:] = 0
    counts_b[:] = 0
    for k in range(0, len(a), CHUNK_WORDS):
        a0, a1, a2, a3, a4, a5, a6, a7, a8 = (
            a[k], a[k + 1], a[k + 2], a[k + 3], a[k + 4], a[k + 5], a[k + 6], a[k + 7], a[k + 8],
        )  # fmt: skip
        b0, b1, b2, b3, b4, b5, b6, b7, b8 = (
            b[k], b[k + 1], b[k + 2], b[k + 3], b[k + 4], b[k + 5], b[k + 6], b[k + 7], b[k + 8],
        )  # fmt: skip
        w0, w1, w2, w3, w4, w5, w6, w7, w8 = (
            weights[k], weights[k + 1], weights[k + 2], weights[k + 3], weights[k + 4],
            weights[k + 5], weights[k + 6], weights[k + 7], weights[k + 8],
        )  # fmt: skip
        for c in range(weights.shape[1]):
            counts_a[c] += (
                count_ones(a0 ^ w0[c]) + count_ones(a1 ^ w1[c]) + count_ones(a2 ^ w2[c])
                + count_ones(a3 ^ w3[c]) + count_ones(a4 ^ w4[c]) + count_ones(a5 ^ w5[c])
                + count_ones(a6 ^ w6[c]) + count_ones(a7 ^ w7[c]) + count_ones(a8 ^ w8[c])
            )  # fmt: skip
            counts_b[c] += (
                count_ones(b0 ^ w0[c]) + count_ones(b1 ^ w1[c]) + count_ones(b2 ^ w2[c])
                + count_ones(b3 ^ w3[c]) + count_ones(b4 ^ w4[c]) + count_ones(b5 ^ w5[c])
                + count_ones(b6 ^ w6[c]) + count_ones(b7 ^ w7[c]) + count_ones(b8 ^ w8[c])
            )  # fmt: skip


@njit(cache=True, nogil=True)
def _count_pair(
    image: Words,
    weights: Words,
    kernel: tuple[int, int],
    top: int,
    left: tuple[int, int],
    windows: Words,
    counts: Integers,
) -> None:
    """Count the differences of the two windows at a row and two columns of an image; counts (2, output channels)."""
    _gather(image, top, left[0], kernel, windows[0])
    _gather(image, top, left[1], kernel, windows[1])
    _count_differences(windows[0], windows[1], weights, counts[0], counts[1])


@njit(cache=True, nogil=True)
def convolve_to_sums(
    images: Words, weights: Words, kernel: tuple[int, int], stride: tuple[int, int], depth: int, out: Sums
) -> None:
    """Write depth - 2 x differences; the last window of an odd row is counted twice.

    Args:
        images: Padded, shape (inputs, height, width, words).
        weights: Shape (words of a window, filled up, output channels).
        kernel: Height and width.
        stride: Along height and width.
        depth: Signs under a kernel.
        out: Shape (inputs, height, width, output channels).
    """
    windows = np.zeros((2, len(weights)), dtype=np.uint64)
    counts = np.empty((2, weights.shape[1]), dtype=COUNT)
    inputs, rows, columns, _ = out.shape
    for n in range(inputs):
        for row in range(rows):
            for column in range(0, columns, 2):
                following = min(column + 1, columns - 1)
                left = (column * stride[1], following * stride[1])
                _count_pair(images[n], weights, kernel, row * stride[0], left, windows, counts)
                for c in range(weights.shape[1]):
                    out[n, row, column, c] = depth - 2 * counts[0, c]
                    out[n, row, following, c] = depth - 2 * counts[1, c]


@njit(cache=True, nogil=True)
def convolve_to_signs(
    images: Words,
    weights: Words,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    limits: Integers,
    flips: Words,
    out: Words,
) -> None:
    """Write the packed signs of counts within limits; arguments as above, ``out`` in words, and so are ``flips``."""
    windows = np.zeros((2, len(weights)), dtype=np.uint64)
    counts = np.empty((2, weights.shape[1]), dtype=COUNT)
    inputs, rows, columns, _ = out.shape
    for n in range(inputs):
        for row in range(rows):
            for column in range(0, columns, 2):
                following = min(column + 1, columns - 1)
                left = (column * stride[1], following * stride[1])
                _count_pair(images[n], weights, kernel, row * stride[0], left, windows, counts)
                _pack_within(counts[0], limits, flips, out[n, row, column])
                _pack_within(counts[1], limits, flips, out[n, row, following])


@njit(cache=True, nogil=True)
def _pack_within(counts: Integers, limits: Integers, flips: Words, out: Words) -> None:
    for word in range(len(out)):
        first = word * WORD_BITS
        bits = np.uint64(0)
        for bit in range(min(WORD_BITS, len(counts) - first)):
            bits |= np.uint64(counts[first + bit] <= limits[first + bit]) << np.uint64(bit)
        out[word] = bits ^ flips[word]


@njit(cache=True, nogil=True)
def pack_above(values: Reals, thresholds: Reals, out: Words) -> None:
    """Set the bits of values that reach their thresholds.

    Args:
        values: Shape (rows, channels).
        thresholds: Shape (channels, thresholds of each).
        out: Zeros, shape (rows, words of channels x thresholds of each).
    """
    channels, each = thresholds.shape
    for row in range(len(values)):
        if each == 1:
            for word in range(out.shape[1]):
                first = word * WORD_BITS
                bits = np.uint64(0)
                for bit in range(min(WORD_BITS, channels - first)):
                    reached = values[row, first + bit] >= thresholds[first + bit, 0]
                    bits |= np.uint64(reached) << np.uint64(bit)
                out[row, word] = bits
            continue
        for channel in range(channels):
            for level in range(each):
                position = channel * each + level
                reached = np.uint64(values[row, channel] >= thresholds[channel, level])
                out[row, position // WORD_BITS] |= reached << np.uint64(position % WORD_BITS)
