"""Weights as planes of trainable bits: their values, gradients, and how precisions are adjusted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from bitmixer.quantizers import BitPlaneQuantizer
from bitmixer.quantizers.bit_planes import NEGATIVE, POSITIVE

PLANES = 7


def of_codes(codes: list[float], *, planes: int, step: float = 0.25) -> BitPlaneQuantizer:
    """Return a quantiser with ``planes`` planes in use, whose first weights have these codes in real-valued bits.

    A weight's lower planes are empty and its highest holds all of it, so that codes may go beyond the range.
    """
    quantizer = BitPlaneQuantizer(PLANES + 1, torch.zeros(len(codes)))
    with torch.no_grad():
        quantizer.log_step.copy_(torch.tensor(step).log())
        quantizer.precision.fill_(planes)
        for weight, code in enumerate(codes):
            rest = abs(code)
            for plane in reversed(range(planes)):
                bit = min(2.0, rest / 2**plane) if plane else rest
                quantizer.planes[plane, POSITIVE if code > 0 else NEGATIVE, weight] = bit
                rest -= bit * 2**plane
    return quantizer


def values(quantizer: BitPlaneQuantizer) -> Tensor:
    return quantizer(torch.zeros(quantizer.planes.shape[2])).detach()


def relative_step(quantizer: BitPlaneQuantizer, before: Tensor) -> float:
    return float(quantizer.step() / before)


weights = hnp.arrays(np.float32, (12,), elements=st.floats(-3, 3, width=32)).map(torch.from_numpy)


@given(weight=weights)
@settings(max_examples=60, deadline=None)
def test_a_weight_starts_at_the_nearest_code_of_all_planes(weight: Tensor) -> None:
    quantizer = BitPlaneQuantizer(8, weight)
    quantizer.calibrate(weight)
    scale = float(weight.abs().max())
    assume(scale == 0 or scale > 1e-30)  # steps of smaller weights have too few digits
    if scale == 0:
        assert not values(quantizer).any()
        return
    # Of two codes that are equally near, either will do.
    assert np.abs(values(quantizer).numpy() - weight.numpy()).max() <= scale / 127 * 0.501
    assert set(quantizer.planes.unique().tolist()) <= {0.0, 1.0}
    assert not (quantizer.planes[:, POSITIVE] * quantizer.planes[:, NEGATIVE]).any()


@given(weight=weights, noise=st.integers(0, 2**31), precision=st.integers(1, PLANES))
@settings(max_examples=60, deadline=None)
def test_adjustment_leaves_values_within_the_range_alone_to_the_bit(weight: Tensor, noise: int, precision: int) -> None:
    quantizer = BitPlaneQuantizer(8, weight)
    quantizer.calibrate(weight)
    torch.manual_seed(noise)
    with torch.no_grad():
        quantizer.precision.fill_(precision)
        quantizer.planes[:precision].add_(torch.rand(precision, 2, len(weight)) - 0.5).clamp_(0.0, 2.0)
        quantizer.planes[precision:].zero_()
    sums = torch.zeros(len(weight))
    for plane in range(precision):
        sums += (quantizer.planes[plane, POSITIVE] - quantizer.planes[plane, NEGATIVE]).detach() * 2**plane
    inside = sums.abs() < 2**precision - 0.5
    before = values(quantizer)
    quantizer.adjust()
    assert torch.equal(values(quantizer)[inside], before[inside])
    assert (values(quantizer)[~inside].abs() >= before[~inside].abs()).all()
    again = values(quantizer)
    quantizer.adjust()
    assert torch.equal(values(quantizer), again)


def test_empty_highest_planes_are_dropped_and_the_step_stays() -> None:
    quantizer = of_codes([3.0, -1.0, 2.2], planes=5)
    step = quantizer.step()
    quantizer.adjust()
    assert int(quantizer.precision) == 2
    assert relative_step(quantizer, step) == 1.0
    assert values(quantizer).tolist() == [0.75, -0.25, 0.5]


def test_every_empty_lowest_plane_that_is_dropped_doubles_the_step() -> None:
    quantizer = of_codes([12.0, -4.0, 0.0], planes=4)
    step = quantizer.step()
    quantizer.adjust()
    assert int(quantizer.precision) == 2
    assert relative_step(quantizer, step) == 4.0
    assert values(quantizer).tolist() == [3.0, -1.0, 0.0]
    assert quantizer.encode(torch.zeros(3)).codes.tolist() == [3.0, -1.0, 0.0]


def test_an_empty_plane_between_others_stays() -> None:
    quantizer = of_codes([5.0, -1.0], planes=3)
    quantizer.adjust()
    assert int(quantizer.precision) == 3


def test_a_sum_beyond_the_planes_in_use_adds_one() -> None:
    quantizer = of_codes([9.0, 2.0, -14.0], planes=3)
    step = quantizer.step()
    assert values(quantizer).tolist() == [7 * 0.25, 0.5, -7 * 0.25]  # cut off
    quantizer.adjust()
    assert int(quantizer.precision) == 4
    assert relative_step(quantizer, step) == 1.0
    assert values(quantizer).tolist() == [9 * 0.25, 0.5, -14 * 0.25]


def test_precision_does_not_grow_beyond_all_planes() -> None:
    quantizer = of_codes([200.0, -1.0], planes=PLANES)
    quantizer.adjust()
    assert int(quantizer.precision) == PLANES
    assert values(quantizer).tolist() == [127 * 0.25, -0.25]


def test_a_layer_without_ones_has_no_planes_and_no_weights() -> None:
    quantizer = of_codes([0.3, -0.2], planes=2)
    quantizer.adjust()
    assert int(quantizer.precision) == 0
    assert values(quantizer).tolist() == [0.0, 0.0]
    assert len(quantizer.norms()) == 0


@pytest.mark.parametrize("code", [2.4, 9.0])  # in the range, and cut off: the gradient passes all the same
def test_gradients_of_bits_are_their_plane_s_value_times_that_of_the_weight(code: float) -> None:
    quantizer = of_codes([code, -1.0], planes=3)
    towards = torch.tensor([2.0, 5.0])
    (quantizer(torch.zeros(2)) * towards).sum().backward()
    gradient = quantizer.planes.grad
    assert gradient is not None
    for plane in range(3):
        torch.testing.assert_close(gradient[plane, POSITIVE], towards * 0.25 * 2**plane)
        torch.testing.assert_close(gradient[plane, NEGATIVE], -towards * 0.25 * 2**plane)
    assert not gradient[3:].any()
    assert quantizer.log_step.grad is not None
    torch.testing.assert_close(quantizer.log_step.grad, (values(quantizer) * towards).sum())


def test_norms_are_those_of_both_signs_together() -> None:
    quantizer = of_codes([3.0, -1.0, 2.0], planes=2)
    torch.nn.init.uniform_(quantizer.planes, 0.0, 2.0)
    expected = torch.linalg.vector_norm(quantizer.planes[:2].detach().double().flatten(1), dim=1)
    torch.testing.assert_close(quantizer.norms().detach().double(), expected, rtol=1e-6, atol=1e-6)


def test_bits_are_kept_between_zero_and_two() -> None:
    quantizer = BitPlaneQuantizer(8, torch.zeros(4))
    with torch.no_grad():
        quantizer.planes.copy_(torch.linspace(-3.0, 4.0, quantizer.planes.numel()).view_as(quantizer.planes))
    quantizer.clamp_bits()
    assert float(quantizer.planes.detach().min()) == 0.0
    assert float(quantizer.planes.detach().max()) == 2.0
