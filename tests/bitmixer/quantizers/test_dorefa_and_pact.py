"""DoReFa weights and PACT activations, as AdaBits joins them, against their formulas computed plainly."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from bitmixer.quantizers import DoReFaWeightQuantizer, PactQuantizer

WIDTHS = (1, 2, 3, 4, 6, 8)
weights = hnp.arrays("float32", (3, 4, 2), elements=st.floats(-4, 4, width=32)).map(torch.from_numpy)


def plain_dorefa(weight: Tensor, bits: int) -> Tensor:
    """AdaBits' modified scheme with cells' middles: straight through floor, constants detached."""
    squeezed = torch.tanh(weight)
    squeezed = squeezed / squeezed.abs().max().detach()
    cell = torch.floor(2**bits * (squeezed + 1) / 2).clamp(max=2**bits - 1)
    middle = ((2 * cell + 1) / 2**bits - 1).detach()
    scale = 1 / math.sqrt(weight.shape[0] * weight[0, 0].numel()) / middle.square().mean().sqrt()
    return (squeezed + (middle - squeezed).detach()) * scale


@pytest.mark.parametrize("bits", WIDTHS)
def test_dorefa_values_and_gradients_are_those_of_the_formula(bits: int) -> None:
    weight = torch.randn(6, 5, 3, 3).requires_grad_()
    reference = weight.detach().clone().requires_grad_()
    towards = torch.randn(6, 5, 3, 3)
    quantizer = DoReFaWeightQuantizer(WIDTHS)
    quantizer.bits = bits
    values, expected = quantizer(weight), plain_dorefa(reference, bits)
    torch.testing.assert_close(values, expected)
    (values * towards).sum().backward()
    (expected * towards).sum().backward()
    torch.testing.assert_close(weight.grad, reference.grad)


@settings(deadline=None)
@given(weights, st.sampled_from(WIDTHS[:-1]))
def test_dorefa_codes_are_the_leading_planes_of_the_stored_ones(weight: Tensor, bits: int) -> None:
    quantizer = DoReFaWeightQuantizer(WIDTHS)
    stored = (quantizer.codes(weight).long() + 2**8 - 1) // 2
    quantizer.bits = bits
    cells = (quantizer.codes(weight).long() + 2**bits - 1) // 2
    assert torch.equal(cells, stored >> (8 - bits))


@pytest.mark.parametrize("bits", WIDTHS)
def test_dorefa_codes_are_all_odd_numbers_of_the_width_and_planes_stand_for_signs(bits: int) -> None:
    quantizer = DoReFaWeightQuantizer(WIDTHS)
    quantizer.bits = bits
    codes = quantizer.codes(torch.atanh(torch.linspace(-0.999, 0.999, 4001)).unsqueeze(0)).unique()
    assert codes.tolist() == list(range(1 - 2**bits, 2**bits, 2))
    cells = (codes.long() + 2**bits - 1) // 2
    planes = [2 * ((cells >> plane) & 1) - 1 for plane in range(bits)]
    assert torch.equal(sum(sign << plane for plane, sign in enumerate(planes)), codes.long())


@pytest.mark.parametrize("bits", WIDTHS)
def test_dorefa_weights_have_the_spread_of_adabits_at_every_width(bits: int) -> None:
    quantizer = DoReFaWeightQuantizer(WIDTHS)
    quantizer.bits = bits
    values = quantizer(torch.randn(7, 5, 3, 3) * 10)
    assert values.square().mean().sqrt().item() == pytest.approx(1 / math.sqrt(7 * 9))


def test_dorefa_survives_weights_that_are_all_zero() -> None:
    quantizer = DoReFaWeightQuantizer(WIDTHS)
    weight = torch.zeros(2, 3).requires_grad_()
    quantizer(weight).sum().backward()
    assert bool(quantizer(weight).isfinite().all())
    assert weight.grad is not None
    assert bool(weight.grad.isfinite().all())


def pact(alpha: float, bits: int) -> PactQuantizer:
    quantizer = PactQuantizer(WIDTHS, signed=False)
    quantizer.bits = bits
    with torch.no_grad():
        quantizer.log_steps[str(bits)].fill_(math.log(alpha / (2**bits - 1)))
    return quantizer


@pytest.mark.parametrize("bits", WIDTHS)
def test_pact_values_and_gradients_are_those_of_the_paper(bits: int) -> None:
    x = (torch.randn(9, 8) * 2).requires_grad_()
    towards = torch.randn(9, 8)
    quantizer = pact(1.5, bits)
    assert quantizer.alpha().item() == pytest.approx(1.5)
    values = quantizer(x)
    (values * towards).sum().backward()

    reference, alpha = x.detach().clone().requires_grad_(), torch.tensor(1.5, requires_grad=True)
    clipped = 0.5 * (reference.abs() - (reference - alpha).abs() + alpha)  # Choi et al., eq. 1
    levels = (2**bits - 1) / alpha.detach()
    expected = clipped + ((clipped * levels).round() / levels - clipped).detach()  # eq. 2
    (expected * towards).sum().backward()
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(x.grad, reference.grad)
    log_step = quantizer.log_steps[str(bits)]
    assert alpha.grad is not None
    torch.testing.assert_close(log_step.grad, alpha.grad * alpha.detach())  # d/d(log alpha) = alpha d/d(alpha)
    assert float(alpha.grad.abs()) > 0
