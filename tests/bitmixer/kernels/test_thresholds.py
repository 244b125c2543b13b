"""Thresholds do what a chain of floating-point operations does, at every accumulator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.errors import DatapathError
from bitmixer.kernels import find_thresholds
from bitmixer.kernels.bit_planes import Integers

LARGEST = 300
EVERY = np.arange(-LARGEST, LARGEST + 1, dtype=np.int64)


@given(
    scales=st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=4),
    shift=st.floats(-8, 8, width=32),
    bits=st.integers(1, 4),
)
def test_thresholds_do_what_the_chain_does(scales: list[float], shift: float, bits: int) -> None:
    def chain(accumulators: Integers) -> Integers:
        values = accumulators.astype(np.float32) * np.array(scales, dtype=np.float32) + np.float32(shift)
        return np.clip(np.round(values), 0, 2**bits - 1).astype(np.int64)

    found = find_thresholds(chain, codes=range(2**bits), channels=len(scales), largest=LARGEST)
    every = np.repeat(EVERY[:, None], len(scales), axis=1)
    assert np.array_equal(found.requantize(every), chain(every))
    maps = every.reshape(*every.shape, 1, 1)
    assert np.array_equal(found.requantize(maps)[..., 0, 0], chain(every))


def test_ties_go_where_the_chain_sends_them() -> None:
    """Halves go to the even code: 1 and 3 are halves here, and 0.5 rounds down where 1.5 rounds up."""
    found = find_thresholds(
        lambda sums: np.clip(np.round(sums / 2), 0, 3).astype(np.int64), codes=range(4), channels=1, largest=9
    )
    assert found.levels.tolist() == [[2, 3, 6]]


def test_signs_have_one_threshold_and_their_own_codes() -> None:
    found = find_thresholds(lambda sums: np.where(sums < -4, -1, 1), codes=range(-1, 2, 2), channels=2, largest=9)
    assert found.requantize(np.array([[-5, -4]])).tolist() == [[-1, 1]]


@pytest.mark.parametrize(
    "chain",
    [lambda sums: np.clip(np.abs(sums), 0, 3), lambda sums: np.clip(sums, 0, 4)],
    ids=["turns back", "has another code"],
)
def test_what_has_no_thresholds_is_refused(chain: object) -> None:
    with pytest.raises(DatapathError, match="codes from 0 to 3; requantise"):
        find_thresholds(chain, codes=range(4), channels=1, largest=9)  # type: ignore[arg-type]
