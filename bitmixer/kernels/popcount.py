"""The compiled product of bit planes; importing this needs numba (extra ``kernels``).

Compiled code is kept beside this file, or in the user's cache folder where that cannot be written (numba's rule;
``NUMBA_CACHE_DIR`` names another).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import njit, prange, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from bitmixer.kernels.bit_planes import Integers

BLOCK_ROWS = 4
"""Rows that are multiplied at once: each word of the other matrix is loaded once for all of them."""


def _count_ones(typing_context: Any, word: Any) -> Any:
    """Count the ones of a word: one instruction, which LLVM also knows how to make a vector of."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


count_ones: Any = intrinsic(_count_ones)  # numba's annotation is that of the generator


@njit(cache=True, nogil=True)
def _multiply_block(
    a: NDArray[np.uint64], a_values: Integers, b: NDArray[np.uint64], b_values: Integers, out: Integers, first: int
) -> None:
    """Multiply ``BLOCK_ROWS`` rows from ``first`` on; the last block repeats its last row instead of ending early."""
    last = len(a) - 1
    r0, r1, r2, r3 = first, min(first + 1, last), min(first + 2, last), min(first + 3, last)
    for column in range(len(b)):
        t0 = t1 = t2 = t3 = 0
        for p in range(len(a_values)):
            a0, a1, a2, a3 = a[r0, p], a[r1, p], a[r2, p], a[r3, p]
            for q in range(len(b_values)):
                words = b[column, q]
                c0 = c1 = c2 = c3 = 0
                for k in range(len(words)):
                    c0 += count_ones(a0[k] & words[k])
                    c1 += count_ones(a1[k] & words[k])
                    c2 += count_ones(a2[k] & words[k])
                    c3 += count_ones(a3[k] & words[k])
                value = a_values[p] * b_values[q]
                t0 += value * c0
                t1 += value * c1
                t2 += value * c2
                t3 += value * c3
        out[r0, column], out[r1, column], out[r2, column], out[r3, column] = t0, t1, t2, t3


@njit(cache=True, nogil=True)
def _multiply(
    a: NDArray[np.uint64], a_values: Integers, b: NDArray[np.uint64], b_values: Integers, out: Integers
) -> None:
    for first in range(0, len(a), BLOCK_ROWS):
        _multiply_block(a, a_values, b, b_values, out, first)


@njit(cache=True, parallel=True)
def _multiply_in_parallel(
    a: NDArray[np.uint64], a_values: Integers, b: NDArray[np.uint64], b_values: Integers, out: Integers
) -> None:
    for block in prange((len(a) + BLOCK_ROWS - 1) // BLOCK_ROWS):
        _multiply_block(a, a_values, b, b_values, out, block * BLOCK_ROWS)


def multiply(
    a: NDArray[np.uint64], a_values: Integers, b: NDArray[np.uint64], b_values: Integers, threads: int
) -> Integers:
    """Return the sums over the depth of all products of planes, offsets left out; shape (rows of a, rows of b).

    Args:
        a: Words, shape (rows, planes, words).
        a_values: What a bit of each plane of ``a`` is worth.
        b: Words, shape (rows, planes, words).
        b_values: What a bit of each plane of ``b`` is worth.
        threads: Threads to use.
    """
    out = np.empty((len(a), len(b)), dtype=np.int64)
    if threads == 1:
        _multiply(a, a_values, b, b_values, out)
        return out
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))
    try:
        _multiply_in_parallel(a, a_values, b, b_values, out)
    finally:
        numba.set_num_threads(before)
    return out
