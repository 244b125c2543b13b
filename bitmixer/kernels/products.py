"""Products of packed matrices by AND, popcount and shift-add: exact, whatever the widths.

With codes A' + a and B' + b (planes and offset), the sum over depth K of their products is
sum(A' B') + b sum(A) + a sum(B) - K a b: one plane of signs costs one plane of work.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bitmixer.errors import DatapathError, MissingExtraError
from bitmixer.kernels.bit_planes import BitPlanes, Integers

Product = Callable[[BitPlanes, BitPlanes], Integers]
"""Multiplies (M, K) with the transpose of (N, K): shape (M, N)."""


def reference_product(a: BitPlanes, b: BitPlanes) -> Integers:
    """Return the product of ``a`` (M, K) and the transpose of ``b`` (N, K), plane by plane in plain numpy.

    Raises:
        DatapathError: They are not of the same depth.
    """
    _require_same_depth(a, b)
    total = np.zeros((len(a.words), len(b.words)), dtype=np.int64)
    for row, planes in enumerate(a.words):
        for plane, value in zip(planes, a.plane_values, strict=True):
            for other in range(len(b.plane_values)):
                counts = np.unpackbits((plane & b.words[:, other]).view(np.uint8), axis=1).sum(axis=1, dtype=np.int64)
                total[row] += value * b.plane_values[other] * counts
    return _with_offsets(total, a, b)


def popcount_product(a: BitPlanes, b: BitPlanes, *, threads: int = 1) -> Integers:
    """Return the product of ``a`` (M, K) and the transpose of ``b`` (N, K), by compiled code.

    Args:
        a: Packed matrix.
        b: Packed matrix; the one that is better kept in cache.
        threads: Threads to share the rows of ``a`` between; no more than numba has are used.

    Raises:
        DatapathError: They are not of the same depth.
        MissingExtraError: numba is not installed.
    """
    _require_same_depth(a, b)
    try:
        from bitmixer.kernels import popcount
    except ImportError:
        raise MissingExtraError("the bit-serial datapath needs numba: pip install 'bitmixer-hwsim[kernels]'") from None
    total = popcount.multiply(a.words, a.plane_values, b.words, b.plane_values, threads)
    return _with_offsets(total, a, b)


def _with_offsets(total: Integers, a: BitPlanes, b: BitPlanes) -> Integers:
    if b.offset:
        total += b.offset * a.row_sums[:, None]
    if a.offset:
        total += a.offset * (b.row_sums - a.depth * b.offset)
    return total


def _require_same_depth(a: BitPlanes, b: BitPlanes) -> None:
    if a.depth != b.depth:
        raise DatapathError(f"matrices of depths {a.depth} and {b.depth} cannot be multiplied: expected equal depths")
