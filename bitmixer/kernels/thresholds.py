"""Requantisation by comparing integers: scale, bias, norm, ReLU and rounding as thresholds of an accumulator.

From an accumulator to the next layer's code leads a chain of multiplications, additions and roundings that treats every
channel alike and never turns back: floating-point rounding keeps order. The code is hence the number of
thresholds that the accumulator reaches, as in FINN (Umuroglu et al., FPGA 2017, section 4.2.2). Thresholds are
found by bisection with the chain itself, so that they repeat its rounding and every tie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitmixer.errors import DatapathError
from bitmixer.kernels.bit_planes import Integers

SAMPLES = 257
"""Accumulators at which thresholds are compared with the chain that they stand for, beside those at the thresholds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What an accumulator must reach, per channel, for each code above the lowest.

    Attributes:
        levels: Shape (channels, codes - 1), ascending; compared with the accumulator times its sign.
        signs: +1 where codes grow with the accumulator, -1 where they fall; shape (channels,).
        codes: The codes, ascending.
    """

    levels: Integers
    signs: Integers
    codes: Integers

    def requantize(self, accumulators: Integers) -> Integers:
        """Return the codes of accumulators, shape (inputs, channels, ...), by comparisons of integers alone."""
        channels = np.moveaxis(accumulators, 1, 0)
        reached = np.empty_like(channels)
        for channel, (levels, sign) in enumerate(zip(self.levels, self.signs, strict=True)):
            reached[channel] = np.searchsorted(levels, sign * channels[channel], side="right")
        return np.moveaxis(self.codes[reached], 0, 1)


def find_thresholds(chain: Callable[[Integers], Integers], *, codes: range, channels: int, largest: int) -> Thresholds:
    """Return the thresholds that do what a chain does, for all accumulators up to ``largest`` in size.

    Args:
        chain: From accumulators, shape (values, channels), to the codes that they lead to; in every channel it
            must rise or fall throughout.
        codes: The codes that it can lead to.
        channels: Number of channels.
        largest: Accumulators lie between this and its negative.

    Raises:
        DatapathError: The chain leads to other codes, or it turns back.
    """
    values = np.array(codes, dtype=np.int64)
    ends = chain(np.array([[-largest] * channels, [largest] * channels], dtype=np.int64))
    signs = np.where(ends[1] >= ends[0], 1, -1).astype(np.int64)

    def reaches(signed: Integers) -> NDArray[np.bool_]:
        """Tell whether each channel's accumulators reach codes 1, 2, ..., one row per code."""
        return np.asarray(chain(signed * signs) >= values[1:, None])

    low = np.full((len(values) - 1, channels), -largest, dtype=np.int64)
    high = np.full_like(low, largest + 1)  # beyond all accumulators: a code that none reaches
    while (low < high).any():
        middle = (low + high) >> 1
        reached = reaches(middle)
        high = np.where(reached, middle, high)
        low = np.where(reached, low, np.minimum(middle + 1, high))
    found = Thresholds(levels=low.T.copy(), signs=signs, codes=values)
    _require_same_codes(found, chain, largest)
    return found


def _require_same_codes(found: Thresholds, chain: Callable[[Integers], Integers], largest: int) -> None:
    """Compare with the chain on both sides of every threshold and evenly in between."""
    edges = (found.levels * found.signs[:, None]).T
    between = np.linspace(-largest, largest, SAMPLES).astype(np.int64)[:, None].repeat(edges.shape[1], axis=1)
    samples = np.clip(np.concatenate([edges, edges - found.signs, between]), -largest, largest)
    if not np.array_equal(found.requantize(samples), chain(samples)):
        raise DatapathError(
            f"no thresholds do what this chain does: expected one that rises or falls throughout in every channel, and "
            f"codes from {found.codes[0]} to {found.codes[-1]}; requantise its values instead"
        )
