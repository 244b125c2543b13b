"""MX blocks, number by number, against the specification's rule written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bitmixer.quantizers.float8 import round_to_format
from bitmixer.quantizers.float_formats import E2M1, E4M3, E5M2, FloatFormat
from bitmixer.quantizers.microscaling import encode_blocks, round_to_blocks


def by_the_rule(row: list[float], form: FloatFormat) -> list[float]:
    """OCP MX 1.0, section 6.3: the scale is 2^(floor(log2 of the largest) - the format's largest exponent)."""
    largest = max(map(abs, row))
    if largest == 0.0:
        return [0.0] * len(row)
    scale = 2.0 ** (math.floor(math.log2(largest)) - form.largest_exponent)
    return [float(round_to_format(torch.tensor(x / scale), form, saturate=True)) * scale for x in row]


@pytest.mark.parametrize("form", [E4M3, E5M2, E2M1])
def test_blocks_are_those_of_the_specification(form: FloatFormat) -> None:
    x = torch.randn(6, 80, generator=torch.Generator().manual_seed(0)) * torch.logspace(-6, 6, 6)[:, None]
    x[2, 32:64] = 0.0
    expected = [
        [value for start in (0, 32, 64) for value in by_the_rule(row[start : start + 32], form)] for row in x.tolist()
    ]
    assert torch.equal(round_to_blocks(x, form), torch.tensor(expected))


def test_four_bits_have_sixteen_values() -> None:
    x = torch.linspace(-7.9, 7.9, 32 * 20).reshape(20, 32)
    x[:, 0] = 7.5  # every block's scale is 1
    elements, exponents = encode_blocks(x, E2M1)
    assert set(elements.abs().flatten().tolist()) == {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0}
    assert (exponents == 0).all()
    assert exponents.shape == (20, 1)


def test_blocks_lie_along_any_axis() -> None:
    x = torch.randn(70, 3, 5)
    along_last = round_to_blocks(x.movedim(0, -1), E4M3)
    assert torch.equal(round_to_blocks(x, E4M3, axis=0), along_last.movedim(-1, 0))


def test_a_block_with_what_is_no_number_is_none() -> None:
    x = torch.ones(4, 64)
    x[0, 3], x[1, 40] = math.inf, math.nan
    broken = round_to_blocks(x, E4M3).isnan()
    assert broken[0, :32].all()
    assert broken[1, 32:].all()
    assert int(broken.sum()) == 64


def test_a_block_is_finer_than_one_scale_for_all() -> None:
    x = torch.cat([torch.randn(32) * 1e-3, torch.randn(32) * 1e3])

    def worst(rounded: Tensor) -> float:
        return float(((rounded - x).abs() / x.abs()).max())

    assert worst(round_to_blocks(x, E2M1, block=32)) <= worst(round_to_blocks(x, E2M1, block=64)) == 1.0


def test_random_blocks_are_unbiased() -> None:
    x = torch.rand(32) * 0.7  # below the largest number of the block's binade, which would saturate
    x[0] = 1.0
    found = round_to_blocks(x.expand(20_000, 32), E2M1, generator=torch.Generator().manual_seed(3)).double()
    standard_error = found.std(dim=0) / math.sqrt(20_000)
    assert ((found.mean(dim=0) - x).abs() <= 4.5 * standard_error + 1e-9).all()
