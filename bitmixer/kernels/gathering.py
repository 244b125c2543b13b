"""Aggregation over edges of codes that lie packed in memory: fewer bits, less to fetch for every edge.

Needs the extra ``kernels``. Codes of 1, 2, 4 or 8 bits lie in bytes slot by slot: of a row of B bytes, byte b holds the
codes b, b + B, b + 2 B, ..., the first in its lowest bits. So codes at one shift are neighbours, as their sums are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bitmixer.errors import DatapathError, MissingExtraError

PACKED_WIDTHS = (1, 2, 4, 8)


def pack_codes(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return codes (nodes, width) packed into (nodes, ceil(width * bits / 8)) bytes.

    Raises:
        DatapathError: ``bits`` do not divide a byte, or a code needs more of them.
    """
    if bits not in PACKED_WIDTHS:
        raise DatapathError(f"codes of {bits} bits cannot be packed into bytes: expected one of {PACKED_WIDTHS}")
    if codes.size and int(codes.max()) >= 2**bits:
        raise DatapathError(f"code {int(codes.max())} does not fit into {bits} bits: quantise to {bits} bits first")
    slots, width = 8 // bits, -(-codes.shape[1] * bits // 8)
    padded = np.pad(codes, ((0, 0), (0, slots * width - codes.shape[1]))).reshape(len(codes), slots, width)
    packed = np.zeros((len(codes), width), dtype=np.uint8)
    for slot in range(slots):
        packed |= padded[:, slot] << np.uint8(slot * bits)
    return packed


def gather_codes(
    row_starts: NDArray[np.int64], sources: NDArray[np.int32], coefficients: NDArray[np.uint8],
    packed: NDArray[np.uint8], *, bits: int, width: int, out: NDArray[np.int32] | None = None,
) -> NDArray[np.int32]:  # fmt: skip
    """Return (targets, width) the sums over each target's edges of coefficient times code, exact.

    Args:
        row_starts: (targets + 1,) first edge of each target.
        sources: (edges,) node that each edge comes from.
        coefficients: (edges,) codes of the edges' coefficients, 8 bits at most.
        packed: (nodes, bytes) from :func:`pack_codes`.
        bits: Width of a code.
        width: Codes of a node.
        out: (targets, codes that the bytes hold), of which the result is a view; new memory if not given.

    Raises:
        DatapathError: A node has more bytes or fewer than its codes need, a sum might not fit into 32 bits, or ``out``
            has another shape.
        MissingExtraError: numba is not installed.
    """
    if packed.shape[1] != -(-width * bits // 8):
        raise DatapathError(f"{packed.shape[1]} bytes for {width} codes of {bits} bits: pack them with the same width")
    most = int(np.diff(row_starts).max(initial=0)) * int(coefficients.max(initial=0)) * (2**bits - 1)
    if most > np.iinfo(np.int32).max:
        raise DatapathError(f"sums of up to {most} do not fit into 32 bits: use narrower codes")
    shape = (len(row_starts) - 1, packed.shape[1] * (8 // bits))
    if out is not None and (out.shape != shape or out.dtype != np.int32):
        raise DatapathError(f"out {out.shape} of {out.dtype}: expected {shape} of int32")
    try:
        from bitmixer.kernels.compiled_gathering import gather
    except ImportError:
        raise MissingExtraError("gathering packed codes needs numba: pip install 'bitmixer-hwsim[kernels]'") from None
    if out is None:
        out = np.empty(shape, dtype=np.int32)
    gather(row_starts, sources, coefficients, packed, bits, out)
    return out[:, :width]
