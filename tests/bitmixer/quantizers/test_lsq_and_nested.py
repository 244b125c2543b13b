"""LSQ and nested codes: laws of the codes, and gradients against the papers' formulas computed plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from bitmixer.quantizers import NestedWeightQuantizer, StepQuantizer, code_range
from bitmixer.quantizers.calibration import best_steps
from bitmixer.quantizers.nested import nested_codes

values = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-100, 100, width=32, allow_subnormal=False)).map(
    torch.from_numpy
)
log_steps = st.floats(-6, 2)
widths = st.integers(2, 8)


def step_quantizer(bits: int, log_step: float, *, signed: bool) -> StepQuantizer:
    quantizer = StepQuantizer([bits], signed=signed)
    with torch.no_grad():
        quantizer.log_steps[str(bits)].fill_(log_step)
    return quantizer


def nested_quantizer(bits: int, log_step: float) -> NestedWeightQuantizer:
    quantizer = NestedWeightQuantizer([2, 3, 4, 8])
    quantizer.bits = bits
    with torch.no_grad():
        quantizer.log_step.fill_(log_step)
    return quantizer


def plain_lsq(value: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """Esser et al., "Learned Step Size Quantization", appendix A: pseudocode with detach."""
    scale = 1.0 / math.sqrt(value.numel() * high)
    scaled = (step - step * scale).detach() + step * scale
    ratio = (value / scaled).clamp(low, high)
    return (ratio + (ratio.round() - ratio).detach()) * scaled


@given(values, log_steps, widths, st.booleans())
def test_codes_are_whole_numbers_in_range(x: Tensor, log_step: float, bits: int, signed: bool) -> None:
    codes = step_quantizer(bits, log_step, signed=signed).codes(x)
    low, high = code_range(bits, signed=signed)
    assert torch.equal(codes, codes.round())
    assert low <= float(codes.min())
    assert float(codes.max()) <= high


@given(values, log_steps, widths, st.booleans())
def test_quantising_twice_changes_nothing(x: Tensor, log_step: float, bits: int, signed: bool) -> None:
    quantizer = step_quantizer(bits, log_step, signed=signed)
    once = quantizer(x).detach()
    assert torch.equal(quantizer(once), once)


@given(values, log_steps, widths, st.booleans())
def test_rounding_is_to_the_nearest_inside_the_range(x: Tensor, log_step: float, bits: int, signed: bool) -> None:
    quantizer = step_quantizer(bits, log_step, signed=signed)
    low, high = code_range(bits, signed=signed)
    step = math.exp(log_step)
    inside = x[(x >= low * step) & (x <= high * step)]
    assert bool(((quantizer(inside) - inside).abs() <= step * 0.5001).all())


@given(st.lists(st.integers(-128, 127), min_size=1), st.sampled_from([2, 3, 4, 5, 6, 7]))
def test_nested_codes_are_the_leading_planes_and_the_carry_of_the_next(stored: list[int], bits: int) -> None:
    shift = 8 - bits
    expected = [min((code >> shift) + ((code >> (shift - 1)) & 1), 2 ** (bits - 1) - 1) for code in stored]
    codes = nested_codes(torch.tensor(stored, dtype=torch.float32), bits, 8)
    assert codes.tolist() == expected


@given(values, log_steps, st.sampled_from([2, 3, 4, 8]))
def test_nested_codes_are_in_range_and_follow_from_the_stored_codes(weight: Tensor, log_step: float, bits: int) -> None:
    stored = nested_quantizer(8, log_step).codes(weight)
    codes = nested_quantizer(bits, log_step).codes(weight)
    low, high = code_range(bits, signed=True)
    assert low <= float(codes.min())
    assert float(codes.max()) <= high
    assert torch.equal(codes, nested_codes(stored.clone(), bits, 8))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_nested_values_are_codes_times_the_step_of_the_width(bits: int) -> None:
    quantizer = nested_quantizer(bits, -4.0)
    weight = torch.randn(64)
    assert torch.equal(quantizer(weight), quantizer.codes(weight) * quantizer.step())
    assert quantizer.step().item() == pytest.approx(math.exp(-4.0) * 2 ** (8 - bits))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_step_gradients_are_those_of_the_paper(bits: int, signed: bool) -> None:
    low, high = code_range(bits, signed=signed)
    x = (torch.randn(5, 7) * 2).requires_grad_()
    towards = torch.randn(5, 7)
    quantizer = step_quantizer(bits, math.log(1.5 / high), signed=signed)
    log_step = quantizer.log_steps[str(bits)]
    (quantizer(x) * towards).sum().backward()

    reference_x = x.detach().clone().requires_grad_()
    step = log_step.detach().exp().requires_grad_()
    (plain_lsq(reference_x, step, low, high) * towards).sum().backward()
    assert step.grad is not None
    torch.testing.assert_close(x.grad, reference_x.grad)
    torch.testing.assert_close(log_step.grad, step.grad * step.detach())  # d/d(log s) = s d/ds
    assert float(step.grad.abs()) > 0


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_nested_gradients_are_lsq_at_the_coarse_step_with_doubly_rounded_codes(bits: int) -> None:
    low, high = code_range(bits, signed=True)
    weight = torch.randn(6, 9).requires_grad_()
    towards = torch.randn(6, 9)
    quantizer = nested_quantizer(bits, math.log(2.0 / 128))
    (quantizer(weight) * towards).sum().backward()

    reference = weight.detach().clone().requires_grad_()
    log_step = quantizer.log_step.detach().clone().requires_grad_()
    scale = 1.0 / math.sqrt(weight.numel() * high)
    step = log_step.exp() * 2 ** (8 - bits)
    step = (step - step * scale).detach() + step * scale
    ratio = (reference / step).clamp(low, high)
    codes = quantizer.codes(reference.detach())
    ((ratio + (codes - ratio).detach()) * step * towards).sum().backward()
    torch.testing.assert_close(weight.grad, reference.grad)
    torch.testing.assert_close(quantizer.log_step.grad, log_step.grad)


def test_a_step_stays_positive_where_plain_descent_would_cross_zero() -> None:
    quantizer = step_quantizer(4, 0.0, signed=False)
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=1.0)
    quantizer(torch.full((10,), 30.0)).sum().backward()
    gradient = quantizer.log_steps["4"].grad
    assert gradient is not None
    assert 1.0 - gradient.item() < 0  # at step 1 the gradients of the step and of its logarithm are equal
    optimizer.step()
    assert 0 < quantizer.step().item() < 1


@pytest.mark.parametrize("signed", [True, False])
def test_calibration_comes_close_to_the_best_step_of_a_fine_grid(signed: bool) -> None:
    x = torch.randn(2000) if signed else torch.rand(2000)
    low, high = code_range(4, signed=signed)
    quantizer = StepQuantizer([4], signed=signed)
    quantizer.calibrate(x)

    def error(step: float) -> float:
        return float((((x / step).round().clamp(low, high) * step) - x).square().mean())

    best = min(error(float(step)) for step in torch.logspace(-3, 1, 400))
    assert error(quantizer.step().item()) <= 1.2 * best


def test_calibration_of_nothing_but_zeros_gives_a_usable_step() -> None:
    assert float(best_steps(torch.zeros(1, 10), 4, signed=True)) > 0
    assert float(best_steps(torch.zeros(1, 10), 1, signed=True)) > 0
