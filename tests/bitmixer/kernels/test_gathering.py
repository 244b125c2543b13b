"""Aggregation of packed codes, held against scipy's sparse product."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from bitmixer.errors import DatapathError, MissingExtraError
from bitmixer.kernels.gathering import PACKED_WIDTHS, gather_codes, pack_codes


@given(seed=st.integers(0, 1000), bits=st.sampled_from(PACKED_WIDTHS), width=st.integers(1, 19))
def test_sums_are_those_of_a_sparse_product(seed: int, bits: int, width: int) -> None:
    pytest.importorskip("numba")
    generator = np.random.default_rng(seed)
    codes = generator.integers(2**bits, size=(20, width), dtype=np.uint8)
    edges = sparse.random(15, 20, density=0.2, format="csr", random_state=generator)
    coefficients = generator.integers(256, size=edges.nnz, dtype=np.uint8)
    expected = sparse.csr_matrix(
        (coefficients.astype(np.int64), edges.indices, edges.indptr), shape=edges.shape
    ) @ codes.astype(np.int64)  # fmt: skip
    packed = pack_codes(codes, bits)
    assert packed.nbytes == 20 * -(-width * bits // 8)
    found = gather_codes(
        edges.indptr.astype(np.int64), edges.indices.astype(np.int32), coefficients, packed, bits=bits, width=width
    )
    assert np.array_equal(found, expected)


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.full((3, 4), 7, dtype=np.uint8)
    with pytest.raises(DatapathError, match="expected one of"):
        pack_codes(codes, 3)
    with pytest.raises(DatapathError, match="code 7 does not fit into 2 bits"):
        pack_codes(codes, 2)
    starts, sources = np.array([0, 2], dtype=np.int64), np.zeros(2, dtype=np.int32)
    coefficients, packed = np.ones(2, dtype=np.uint8), pack_codes(codes, 4)
    with pytest.raises(DatapathError, match="bytes for 9 codes"):
        gather_codes(starts, sources, coefficients, packed, bits=4, width=9)
    many = np.array([0, 2**25], dtype=np.int64)
    with pytest.raises(DatapathError, match="do not fit into 32 bits"):
        gather_codes(many, sources, np.full(2, 255, dtype=np.uint8), packed, bits=4, width=4)
    monkeypatch.setitem(sys.modules, "bitmixer.kernels.compiled_gathering", None)
    with pytest.raises(MissingExtraError, match=r"bitmixer-hwsim\[kernels\]"):
        gather_codes(starts, sources, coefficients, packed, bits=4, width=4)
