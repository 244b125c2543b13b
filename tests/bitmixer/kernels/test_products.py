"""Bit planes hold their codes, and both products of planes are numpy's products of the codes."""

from __future__ import annotations

import sys
from functools import partial
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitmixer.errors import DatapathError, MissingExtraError
from bitmixer.kernels import BitPlanes, Encoding, Product, encoded_codes, pack, popcount_product, reference_product
from bitmixer.kernels.bit_planes import Codes

ENCODINGS = get_args(Encoding)
PRODUCTS = {
    "reference": reference_product,
    "one thread": popcount_product,
    "two threads": partial(popcount_product, threads=2),
}

formats = st.tuples(st.integers(1, 8), st.sampled_from(ENCODINGS))


def drawn_codes(rows: int, depth: int, bits: int, encoding: Encoding, seed: int) -> Codes:
    return np.random.default_rng(seed).choice(np.array(encoded_codes(bits, encoding)), (rows, depth)).astype(np.int16)


def unpacked(planes: BitPlanes) -> Codes:
    """Return the codes that the definition gives to these bits."""
    bits = np.unpackbits(planes.words.astype("<u8").view(np.uint8), axis=-1, bitorder="little")
    assert not bits[..., planes.depth :].any()
    values = planes.plane_values[:, None] * bits[..., : planes.depth].astype(np.int64)
    result: Codes = values.sum(axis=1) + planes.offset
    return result


@given(rows=st.integers(1, 3), depth=st.integers(1, 200), form=formats, seed=st.integers(0, 999))
def test_planes_hold_their_codes(rows: int, depth: int, form: tuple[int, Encoding], seed: int) -> None:
    bits, encoding = form
    codes = drawn_codes(rows, depth, bits, encoding, seed)
    planes = pack(codes, bits=bits, encoding=encoding)
    assert planes.words.shape == (rows, bits, -(-depth // 64))
    assert np.array_equal(unpacked(planes), codes)
    assert np.array_equal(planes.row_sums, codes.sum(axis=1))


def test_the_encodings_are_those_of_the_field() -> None:
    assert list(encoded_codes(1, "bipolar")) == [-1, 1]
    assert list(encoded_codes(2, "bipolar")) == [-3, -1, 1, 3]
    assert list(encoded_codes(3, "unsigned")) == list(range(8))
    assert list(encoded_codes(3, "twos_complement")) == list(range(-4, 4))
    assert pack(np.array([[-3]]), bits=3, encoding="twos_complement").words.ravel().tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("code", "bits", "encoding", "message"),
    [
        (4, 2, "unsigned", "codes from 0 to 4 do not fit 2 bits unsigned: expected whole numbers from 0 to 3"),
        (-1, 2, "unsigned", "from 0 to 3"),
        (2, 2, "twos_complement", "from -2 to 1"),
        (-3, 2, "twos_complement", "from -2 to 1"),
        (0, 1, "bipolar", "do not fit 1 bit bipolar: expected odd whole numbers from -1 to 1"),
        (3, 1, "bipolar", "from -1 to 1"),
    ],
)
def test_codes_that_do_not_fit_are_refused(code: int, bits: int, encoding: Encoding, message: str) -> None:
    fitting = encoded_codes(bits, encoding)[-1] if encoding == "bipolar" else 0
    with pytest.raises(DatapathError, match=message):
        pack(np.array([[fitting, code]]), bits=bits, encoding=encoding)


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
@settings(max_examples=20, deadline=None)  # the first example may compile
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 300)),
    left=formats,
    right=formats,
    seed=st.integers(0, 999),
)
def test_products_are_those_of_the_codes(
    product: Product, shape: tuple[int, int, int], left: tuple[int, Encoding], right: tuple[int, Encoding], seed: int
) -> None:
    rows, columns, depth = shape
    a, b = drawn_codes(rows, depth, *left, seed), drawn_codes(columns, depth, *right, seed + 1)
    planes = [pack(codes, bits=bits, encoding=name) for codes, (bits, name) in ((a, left), (b, right))]
    result = product(*planes)
    assert result.dtype == np.int64
    assert np.array_equal(result, a.astype(np.int64) @ b.astype(np.int64).T)


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
def test_sums_beyond_32_bits_are_exact(product: Product) -> None:
    depth = 2**16 + 3
    a, b = np.full((1, depth), 255, dtype=np.int16), np.full((1, depth), -255, dtype=np.int16)
    result = product(pack(a, bits=8, encoding="unsigned"), pack(b, bits=8, encoding="bipolar"))
    assert result.tolist() == [[-(255**2) * depth]]
    assert -result[0, 0] > 2**31


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
def test_depths_must_agree(product: Product) -> None:
    planes = [pack(np.zeros((1, depth), dtype=np.int16), bits=1, encoding="unsigned") for depth in (3, 4)]
    with pytest.raises(DatapathError, match="depths 3 and 4"):
        product(*planes)


def test_without_numba_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bitmixer.kernels.popcount", raising=False)
    monkeypatch.delattr("bitmixer.kernels.popcount", raising=False)
    monkeypatch.setitem(sys.modules, "numba", None)
    planes = pack(np.zeros((1, 1), dtype=np.int16), bits=1, encoding="unsigned")
    with pytest.raises(MissingExtraError, match=r"pip install 'bitmixer-hwsim\[kernels\]'"):
        popcount_product(planes, planes)
