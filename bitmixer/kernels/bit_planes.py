"""Integer codes as bit planes, 64 codes of a plane to a word: what a bit-serial datapath multiplies.

A code is the sum of its bits times the values of their planes, plus an offset:

=================  =============================  ==========  =============================
encoding           values of the planes           offset      codes of b bits
=================  =============================  ==========  =============================
unsigned           1, 2, 4, ...                   0           0 .. 2**b - 1
twos_complement    1, 2, 4, ..., -2**(b - 1)      0           -2**(b - 1) .. 2**(b - 1) - 1
bipolar            2, 4, 8, ...                   1 - 2**b    odd, 1 - 2**b .. 2**b - 1
=================  =============================  ==========  =============================

In bipolar codes every plane stands for -1 or +1: with one bit the sign, with more DoReFa's middles of cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitmixer.errors import DatapathError

Encoding = Literal["unsigned", "twos_complement", "bipolar"]
"""What the planes of a code stand for."""

Codes = NDArray[np.integer[Any]]
Integers = NDArray[np.int64]

WORD_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class BitPlanes:
    """A matrix of integer codes, packed along its columns.

    Attributes:
        words: Bits, shape (rows, planes, words), uint64; column 0 is the lowest bit of word 0, and zeros fill the last.
        plane_values: What a bit of each plane is worth, shape (planes,).
        offset: What is added to every code.
        depth: Number of columns.
        row_sums: Sums of the codes of each row, shape (rows,).
    """

    words: NDArray[np.uint64]
    plane_values: Integers
    offset: int
    depth: int
    row_sums: Integers


def encoded_codes(bits: int, encoding: Encoding) -> range:
    """Return the codes that an encoding of ``bits`` can hold.

    >>> encoded_codes(2, "twos_complement"), encoded_codes(2, "bipolar")
    (range(-2, 2), range(-3, 4, 2))
    """
    if encoding == "unsigned":
        return range(2**bits)
    if encoding == "bipolar":
        return range(1 - 2**bits, 2**bits, 2)
    return range(-(2 ** (bits - 1)), 2 ** (bits - 1))


def pack(codes: Codes, *, bits: int, encoding: Encoding) -> BitPlanes:
    """Pack a matrix of codes, shape (rows, columns), into bit planes.

    Raises:
        DatapathError: A code is not one of the encoding's.
    """
    held = encoded_codes(bits, encoding)
    _require_held(codes, held, f"{bits} {'bit' if bits == 1 else 'bits'} {encoding}")
    stored = (codes - held.start) >> 1 if encoding == "bipolar" else codes  # two's complement is how numpy stores them
    values = 2 ** np.arange(bits, dtype=np.int64) * held.step
    if encoding == "twos_complement":
        values[-1] *= -1
    return BitPlanes(
        words=np.stack([packed_bits((stored >> plane) & 1) for plane in range(bits)], axis=1),
        plane_values=values,
        offset=held.start if encoding == "bipolar" else 0,
        depth=codes.shape[1],
        row_sums=codes.sum(axis=1, dtype=np.int64),
    )


def packed_bits(plane: NDArray[Any]) -> NDArray[np.uint64]:
    """Return rows of bits, shape (rows, depth), as words: the first bit is word 0's lowest; zeros fill up."""
    rows, depth = plane.shape
    words = np.zeros((rows, -(-depth // WORD_BITS)), dtype="<u8")
    octets = np.packbits(plane.astype(np.bool_), axis=1, bitorder="little")
    words.view(np.uint8)[:, : octets.shape[1]] = octets
    return words.astype(np.uint64, copy=False)


def _require_held(codes: Codes, held: range, label: str) -> None:
    if codes.size == 0:
        return
    lowest, highest = int(codes.min()), int(codes.max())
    if lowest < held.start or highest > held[-1] or (held.step == 2 and not (codes & 1).all()):
        odd = "odd " if held.step == 2 else ""
        raise DatapathError(
            f"codes from {lowest} to {highest} do not fit {label}: expected {odd}whole numbers "
            f"from {held.start} to {held[-1]}; give the bits and encoding of the quantiser that made them"
        )
