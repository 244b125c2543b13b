"""The compiled loop of :mod:`bitmixer.kernels.gathering`; importing it needs numba."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def gather(
    row_starts: NDArray[np.int64], sources: NDArray[np.int32], coefficients: NDArray[np.uint8],
    packed: NDArray[np.uint8], bits: int, width: int,
) -> NDArray[np.int32]:  # fmt: skip
    """Return (targets, width) the sums over each target's edges of coefficient times code."""
    targets = len(row_starts) - 1
    sums = np.zeros((targets, width), dtype=np.int32)
    mask = (1 << bits) - 1
    per_byte = 8 // bits
    for target in range(targets):
        for edge in range(row_starts[target], row_starts[target + 1]):
            codes, coefficient = packed[sources[edge]], np.int32(coefficients[edge])
            for byte in range(len(codes)):
                value = np.int32(codes[byte])
                first = byte * per_byte
                for at in range(min(per_byte, width - first)):
                    sums[target, first + at] += coefficient * ((value >> (at * bits)) & mask)
    return sums
