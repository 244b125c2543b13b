"""The compiled loop of :mod:`bitmixer.kernels.gathering`; importing it needs numba."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def gather(
    row_starts: NDArray[np.int64], sources: NDArray[np.int32], coefficients: NDArray[np.uint8],
    packed: NDArray[np.uint8], bits: int, sums: NDArray[np.int32],
) -> None:  # fmt: skip
    """Write into (targets, bytes * 8 / bits) the sums over each target's edges of coefficient times code.

    The inner loop runs over neighbouring bytes and sums at one shift, so that a compiler can use wide registers; a
    product of two numbers of 8 bits at most fits into 16.
    """
    width = packed.shape[1]
    slots, mask = 8 // bits, np.uint8((1 << bits) - 1)
    for target in range(len(row_starts) - 1):
        row = sums[target]
        row[:] = 0
        for edge in range(row_starts[target], row_starts[target + 1]):
            codes, coefficient = packed[sources[edge]], np.uint16(coefficients[edge])
            for slot in range(slots):
                first, shift = slot * width, np.uint8(slot * bits)
                for at in range(width):
                    code = np.uint16((codes[at] >> shift) & mask)
                    row[first + at] += np.int32(np.uint16(coefficient * code))
