"""Narrow floating-point numbers against torch's own types, and against every value that a format has."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bitmixer.errors import QuantizerError
from bitmixer.quantizers.float8 import round_to_format
from bitmixer.quantizers.float_formats import E4M3, E5M2, FLOAT16, FLOAT_FORMATS, FloatFormat, float_format

ALL_FLOAT16 = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(torch.float16).float()
FINITE_FLOAT16 = ALL_FLOAT16[ALL_FLOAT16.isfinite()]
DRAWS = 20_000


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal with the signs of their zeros, NaN counting as one value."""
    numbers = ~a.isnan()
    return torch.equal(a.isnan(), b.isnan()) and torch.equal(a[numbers].view(torch.int32), b[numbers].view(torch.int32))


def all_values(form: FloatFormat) -> Tensor:
    """Decode every code that is a finite number: an implementation of its own."""
    found = []
    for code in range(2 ** (form.bits - 1)):
        exponent, mantissa = code >> form.mantissa_bits, code % 2**form.mantissa_bits
        ones = exponent == 2**form.exponent_bits - 1, mantissa == 2**form.mantissa_bits - 1
        if (form.specials == "ieee" and ones[0]) or (form.specials == "nan" and all(ones)):
            continue
        fraction = mantissa / 2**form.mantissa_bits
        size = math.ldexp(1 + fraction, exponent - form.bias) if exponent else math.ldexp(fraction, 1 - form.bias)
        found += [size, -size]
    return torch.tensor(sorted(set(found)))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# To the nearest.


@pytest.mark.parametrize("saturate", [False, True])
def test_e5m2_is_that_of_torch(saturate: bool) -> None:
    limit = E5M2.largest if saturate else math.inf
    expected = ALL_FLOAT16.clamp(-limit, limit).to(torch.float8_e5m2).float()
    assert same_bits(round_to_format(ALL_FLOAT16, E5M2, saturate=saturate), expected)


def test_saturating_e4m3_is_that_of_torch() -> None:
    expected = ALL_FLOAT16.clamp(-E4M3.largest, E4M3.largest).to(torch.float8_e4m3fn).float()
    assert same_bits(round_to_format(ALL_FLOAT16, E4M3, saturate=True), expected)


def test_e4m3_has_nan_where_it_overflows() -> None:
    """Torch saturates here since 2.13 and gave NaN before, as the format's paper does."""
    within = ALL_FLOAT16.abs() < 464.0  # the middle between 448 and what would follow it
    rounded = round_to_format(ALL_FLOAT16, E4M3)
    assert rounded[ALL_FLOAT16.abs() > 464.0].isnan().all()
    assert same_bits(rounded[within], ALL_FLOAT16[within].to(torch.float8_e4m3fn).float())


def test_float16_is_that_of_torch() -> None:
    between = torch.randn(100_000, generator=generator()) * torch.logspace(-9, 5, 100_000)
    assert same_bits(round_to_format(between, FLOAT16), between.half().float())


@pytest.mark.parametrize("name", FLOAT_FORMATS)
def test_all_values_of_a_format_stay(name: str) -> None:
    form = FLOAT_FORMATS[name]
    values = all_values(form)
    assert torch.equal(round_to_format(values, form), values)
    assert torch.equal(round_to_format(values, form, generator=generator()), values)
    positive = values[values > 0]
    assert (positive.min(), positive.max()) == (form.smallest_subnormal, form.largest)


@given(
    st.integers(2, 6), st.integers(1, 6), st.sampled_from(["ieee", "nan", "none"]),
    st.floats(-(2.0**127), 2.0**127, width=32, allow_subnormal=False),
)  # fmt: skip
def test_the_nearest_value_of_any_format(exponent: int, mantissa: int, specials: str, x: float) -> None:
    form = FloatFormat(exponent_bits=exponent, mantissa_bits=mantissa, specials=specials)  # type: ignore[arg-type]
    values = all_values(form).double()
    found = round_to_format(torch.tensor([x]), form, saturate=True).double()
    assert found in values
    assert (found - x).abs() == (values - x).abs().min()


@pytest.mark.parametrize(("bits", "sentence"), [((1, 2, "ieee"), "1 bits of"), ((4, 0, "nan"), "0 of mantissa")])
def test_other_formats_are_refused(bits: tuple[int, int, str], sentence: str) -> None:
    with pytest.raises(QuantizerError, match=sentence):
        FloatFormat(exponent_bits=bits[0], mantissa_bits=bits[1], specials=bits[2])  # type: ignore[arg-type]


def test_an_unknown_format_is_explained() -> None:
    with pytest.raises(QuantizerError, match="did you mean 'e4m3'"):
        float_format("e4m3fn")


# At random.


@pytest.mark.parametrize("name", ["e5m2", "e4m3", "e2m1", "float16"])
def test_random_rounding_goes_to_a_neighbour(name: str) -> None:
    form = FLOAT_FORMATS[name]
    x = FINITE_FLOAT16[FINITE_FLOAT16.abs() <= form.largest] * (1 + 2.0**-12)
    x = x[x.abs() <= form.largest]
    values = all_values(form)
    above = torch.searchsorted(values, x)
    high, low = values[above], values[(above - 1).clamp(min=0)]
    for seed in range(3):
        found = round_to_format(x, form, generator=generator(seed))
        assert ((found == high) | (found == low)).all()


@pytest.mark.parametrize("form", [E5M2, E4M3])
@pytest.mark.parametrize("binade", ["normal", "subnormal", "below all"])
def test_random_rounding_is_unbiased(form: FloatFormat, binade: str) -> None:
    scale = {"normal": 4.0, "subnormal": form.smallest_normal, "below all": form.smallest_subnormal}[binade]
    x = scale * torch.rand(50, generator=generator(1)).clamp(min=1e-3)
    found = round_to_format(x.expand(DRAWS, 50), form, generator=generator(2)).double()
    standard_error = found.std(dim=0) / math.sqrt(DRAWS)
    assert ((found.mean(dim=0) - x).abs() <= 4.5 * standard_error + 1e-9).all()
    assert (found.std(dim=0) > 0).any()


def test_random_rounding_follows_its_generator() -> None:
    x = torch.randn(3, 5, 7)
    first = round_to_format(x, E5M2, generator=generator(7))
    assert torch.equal(first, round_to_format(x, E5M2, generator=generator(7)))
    assert not torch.equal(first, round_to_format(x, E5M2, generator=generator(8)))


def test_what_overflows_at_random_is_infinite_or_the_largest() -> None:
    x = torch.full((1000,), 61440.0)  # in the middle of 57344 and 65536
    found = round_to_format(x, E5M2, generator=generator())
    assert set(found.tolist()) == {57344.0, math.inf}
    assert set(round_to_format(x, E5M2, generator=generator(), saturate=True).tolist()) == {57344.0}


def test_what_is_no_number_stays_none_beside_what_overflows() -> None:
    x = torch.tensor([math.nan, math.inf, -1e30, 3.0])
    for source in (None, generator()):
        found = round_to_format(x, E5M2, generator=source)
        assert found[0].isnan()
        assert found[1:].tolist() == [math.inf, -math.inf, 3.0]


def test_memory_order_and_narrower_inputs_are_kept() -> None:
    images = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    rounded = round_to_format(images, E5M2, generator=generator())
    assert rounded.stride() == images.stride()
    assert torch.equal(round_to_format(images.bfloat16(), E5M2), round_to_format(images.bfloat16().float(), E5M2))
    assert round_to_format(torch.zeros(0), E5M2).numel() == 0
    assert round_to_format(images[:, :, ::2], E4M3, generator=generator()).shape == (2, 3, 2, 5)


def test_rounding_holds_where_small_numbers_are_flushed_to_zero() -> None:
    torch.set_flush_denormal(True)
    try:
        rounded = round_to_format(FINITE_FLOAT16, E5M2)
    finally:
        torch.set_flush_denormal(False)
    assert torch.equal(rounded, FINITE_FLOAT16.to(torch.float8_e5m2).float())
