"""Convolutions of packed signs equal float convolutions of -1 and +1, and thresholds equal norm and sign."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from bitmixer.errors import DatapathError
from bitmixer.kernels import find_thresholds
from bitmixer.kernels.signs import (
    CountLimits,
    SignKernels,
    SignMaps,
    reference_counts,
    signs_above,
    signs_of_products,
    sums_of_products,
)

pytest.importorskip("numba")


def drawn(generator: np.random.Generator, *shape: int) -> np.ndarray:
    return generator.random(shape) < 0.5


def as_floats(bits: np.ndarray) -> torch.Tensor:
    """Return -1 and +1 in torch's order of axes: channels behind the inputs."""
    return torch.from_numpy(np.moveaxis(bits * 2.0 - 1.0, -1, 1).copy())


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[SignMaps, SignKernels, torch.Tensor]:
    """Draw maps and kernels, and what torch makes of them: shape (inputs, height, width, outputs)."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    channels, outputs = draw(st.sampled_from([1, 3, 63, 64, 65, 130])), draw(st.sampled_from([1, 7, 64, 70]))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 3)))
    sizes = draw(st.tuples(st.integers(4, 7), st.integers(3, 7)))
    stride, padding = draw(st.tuples(st.integers(1, 2), st.integers(1, 3))), draw(st.sampled_from([(0, 0), (1, 2)]))
    maps, weights = drawn(generator, 2, *sizes, channels), drawn(generator, outputs, *kernel, channels)
    surrounded = F.pad(as_floats(maps), [padding[1], padding[1], padding[0], padding[0]], value=1.0)
    expected = F.conv2d(surrounded, as_floats(weights), stride=stride)
    kernels = SignKernels(words=SignMaps.pack(weights).words, channels=channels, stride=stride, padding=padding)
    return SignMaps.pack(maps), kernels, expected.permute(0, 2, 3, 1)


@given(convolutions())
@settings(max_examples=40, deadline=None)
def test_sums_are_those_of_floats(case: tuple[SignMaps, SignKernels, torch.Tensor]) -> None:
    maps, kernels, expected = case
    assert np.array_equal(sums_of_products(maps, kernels), expected.numpy())
    assert np.array_equal(kernels.depth - 2 * reference_counts(maps, kernels), expected.numpy())


@given(convolutions(), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_norm_and_sign_are_integer_limits_whatever_the_gain(
    case: tuple[SignMaps, SignKernels, torch.Tensor], seed: int
) -> None:
    maps, kernels, sums = case
    generator = np.random.default_rng(seed)
    outputs = len(kernels.words)
    gain = generator.choice([-0.7, 0.0, 0.3, 1.0], outputs)
    bias = generator.choice([-1.0, 0.0, 0.5, -0.7, 1e9, -1e9], outputs)  # sums of 0 and 1 tie with some of them

    def codes(values: np.ndarray) -> np.ndarray:
        return np.where(values * gain + bias >= 0, 1, -1)  # sign(0) = +1

    found = find_thresholds(codes, codes=range(-1, 2, 2), channels=outputs, largest=kernels.depth)
    limits = CountLimits.of(found, kernels.depth)
    expected = codes(sums.numpy()) > 0
    result = signs_of_products(maps, kernels, limits)
    assert np.array_equal(result.unpack(), expected)
    assert np.array_equal(result.words, SignMaps.pack(expected).words)  # what fills the last word is clear
    assert np.array_equal(limits.signs(reference_counts(maps, kernels)), expected)


@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize("channels", [1, 5, 64, 67])
def test_a_value_at_its_threshold_is_plus_one(channels: int, each: int) -> None:
    generator = np.random.default_rng(channels)
    values = generator.integers(-2, 3, (2, 3, 3, channels)).astype(np.float32)
    thresholds = generator.integers(-2, 3, (channels, each)).astype(np.float32)
    expected = (values[..., None] >= thresholds).reshape(2, 3, 3, -1)
    assert np.array_equal(signs_above(values, thresholds).unpack(), expected)


def test_what_does_not_fit_is_refused() -> None:
    maps = SignMaps.pack(np.ones((1, 2, 2, 3), dtype=np.bool_))
    other = SignKernels(words=SignMaps.pack(np.ones((1, 1, 1, 4), dtype=np.bool_)).words, channels=4)
    with pytest.raises(DatapathError, match="maps have 3 channels: expected the kernels' 4"):
        sums_of_products(maps, other)
    large = SignKernels(words=SignMaps.pack(np.ones((1, 3, 3, 3), dtype=np.bool_)).words, channels=3)
    with pytest.raises(DatapathError, match="maps of 2x2 are smaller than the kernel"):
        sums_of_products(maps, large)
    two_bits = find_thresholds(lambda x: np.clip(x, 0, 3), codes=range(4), channels=1, largest=9)
    with pytest.raises(DatapathError, match="codes \\[0, 1, 2, 3\\]: expected -1 and 1"):
        CountLimits.of(two_bits, 9)
