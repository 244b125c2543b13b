"""Matrices of few-bit integers, and their words."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.errors import ConfigurationError
from hwsim.rtl.operands import BitMatrix


def matrix(values: object, bits: int = 2, *, is_signed: bool = False, kind: type = np.int64) -> BitMatrix:
    return BitMatrix(values=np.array(values, dtype=kind), bits=bits, is_signed=is_signed)


def test_words_hold_planes_of_tiles() -> None:
    values = [[1, 2, 3], [0, 3, 1], [2, 0, 0]]
    # Two lanes of two bits; the first lane and the first element are the lowest. Worked out by hand.
    assert matrix(values).words(lanes=2, depth=2) == [
        0b10_01,  # vectors 0 and 1, lowest plane: elements 0 and 1
        0b01_01,  # element 2, and nothing
        0b10_10,  # highest plane
        0b00_01,
        0b00_00,  # vector 2, and nothing
        0b00_00,
        0b00_01,
        0b00_00,
    ]


def test_signed_numbers_are_in_twos_complement() -> None:
    assert matrix([[-2, -1, 1]], is_signed=True).words(lanes=1, depth=3) == [0b110, 0b011]


def test_words_may_be_wider_than_machine_integers() -> None:
    assert matrix(np.ones((1, 100)), 1).words(lanes=1, depth=100) == [(1 << 100) - 1]


@pytest.mark.parametrize(
    ("bits", "is_signed", "limits"), [(1, True, (-1, 0)), (8, True, (-128, 127)), (3, False, (0, 7))]
)
def test_limits(bits: int, is_signed: bool, limits: tuple[int, int]) -> None:
    low, high = limits
    assert matrix([[low, high]], bits, is_signed=is_signed).limits == limits
    for outside in low - 1, high + 1:
        with pytest.raises(ConfigurationError, match=f"numbers of {bits} bits are {low} to {high}"):
            matrix([[0, outside]], bits, is_signed=is_signed)


@pytest.mark.parametrize(
    ("values", "bits", "kind", "message"),
    [
        ([[0]], 0, np.int64, "0 bits: expected 1 to 8"),
        ([[0]], 9, np.int64, "9 bits: expected 1 to 8"),
        ([0, 1], 2, np.int64, r"shape \(2,\), int64: expected two axes"),
        ([[]], 2, np.int64, r"shape \(1, 0\)"),
        ([[0.5]], 2, np.float64, "float64: expected"),
    ],
)
def test_what_is_no_matrix_is_refused(values: object, bits: int, kind: type, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        matrix(values, bits, kind=kind)
