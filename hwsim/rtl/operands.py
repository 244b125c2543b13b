"""Matrices of few-bit integers, and the words in which buffers hold them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitmixer.bitwidths import MAX_BITS
from hwsim.cost.arrays.base import Int64Array
from hwsim.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class BitMatrix:
    """Whole numbers with the bits that hold them.

    Attributes:
        values: Shape [vector, element], at least one of each.
        bits: Planes of a number, from 1 to 8.
        is_signed: Whether the highest plane weighs -2^(bits - 1), as in two's complement.

    Raises:
        ConfigurationError: The values are no matrix of whole numbers, or do not fit the bits.
    """

    values: Int64Array
    bits: int
    is_signed: bool

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise ConfigurationError(f"matrix of {self.bits} bits: expected 1 to {MAX_BITS}")
        if self.values.ndim != 2 or not self.values.size or self.values.dtype != np.int64:
            raise ConfigurationError(
                f"matrix of shape {self.values.shape}, {self.values.dtype}: expected two axes, none of length 0, int64"
            )
        low, high = self.limits
        if self.values.min() < low or self.values.max() > high:
            kind = "signed" if self.is_signed else "unsigned"
            raise ConfigurationError(
                f"matrix with values from {self.values.min()} to {self.values.max()}: "
                f"{kind} numbers of {self.bits} bits are {low} to {high}"
            )

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest number that the bits can hold."""
        if self.is_signed:
            return -(1 << self.bits - 1), (1 << self.bits - 1) - 1
        return 0, (1 << self.bits) - 1

    @property
    def largest_magnitude(self) -> int:
        """Largest absolute value that the bits can hold."""
        low, high = self.limits
        return max(-low, high)

    def words(self, lanes: int, depth: int) -> list[int]:
        """Return the contents of a buffer that feeds ``lanes`` units with ``depth`` bits each.

        Vectors are cut into tiles of ``lanes``, elements into tiles of ``depth``, both filled up with zeros. Words are
        ordered by tile of vectors, plane (lowest first), tile of elements; the first lane has the lowest bits.
        """
        vectors, elements = self.values.shape
        padded = np.pad(self.values, ((0, -vectors % lanes), (0, -elements % depth)))
        tiled = padded.reshape(-1, lanes, padded.shape[1] // depth, depth)
        planes = np.stack([tiled >> plane & 1 for plane in range(self.bits)])  # [plane, tile, lane, depth tile, bit]
        rows = planes.transpose(1, 0, 3, 2, 4).reshape(-1, lanes * depth)
        packed = np.packbits(rows.astype(np.uint8), axis=1, bitorder="little")
        return [int.from_bytes(row.tobytes(), "little") for row in packed]
