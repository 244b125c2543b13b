"""Aggregation over edges of codes that lie packed in memory: fewer bits, less to fetch for every edge.

Needs the extra ``kernels``. Codes of 1, 2, 4 or 8 bits are packed least significant first, so that none crosses a byte.
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
    planes = np.unpackbits(codes[..., None], axis=2, bitorder="little")[..., :bits]
    return np.packbits(planes.reshape(len(codes), -1), axis=1, bitorder="little")


def gather_codes(
    row_starts: NDArray[np.int64], sources: NDArray[np.int32], coefficients: NDArray[np.uint8],
    packed: NDArray[np.uint8], *, bits: int, width: int,
) -> NDArray[np.int32]:  # fmt: skip
    """Return (targets, width) the sums over each target's edges of coefficient times code, exact.

    Args:
        row_starts: (targets + 1,) first edge of each target.
        sources: (edges,) node that each edge comes from.
        coefficients: (edges,) codes of the edges' coefficients, 8 bits at most.
        packed: (nodes, bytes) from :func:`pack_codes`.
        bits: Width of a code.
        width: Codes of a node.

    Raises:
        DatapathError: A node has more bytes or fewer than its codes need, or a sum might not fit into 32 bits.
        MissingExtraError: numba is not installed.
    """
    if packed.shape[1] != -(-width * bits // 8):
        raise DatapathError(f"{packed.shape[1]} bytes for {width} codes of {bits} bits: pack them with the same width")
    most = int(np.diff(row_starts).max(initial=0)) * int(coefficients.max(initial=0)) * (2**bits - 1)
    if most > np.iinfo(np.int32).max:
        raise DatapathError(f"sums of up to {most} do not fit into 32 bits: use narrower codes")
    try:
        from bitmixer.kernels.compiled_gathering import gather
    except ImportError:
        raise MissingExtraError("gathering packed codes needs numba: pip install 'bitmixer-hwsim[kernels]'") from None
    return gather(row_starts, sources, coefficients, packed, bits, width)
