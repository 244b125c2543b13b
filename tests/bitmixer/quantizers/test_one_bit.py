"""One bit: signs for weights and signed inputs, zero or one for others; and networks learn with it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from bitmixer import convert, load_data
from bitmixer.data import load_image_set
from bitmixer.networks import create
from bitmixer.quantizers import NestedWeightQuantizer, StepQuantizer
from bitmixer.quantizers.nested import nested_codes


@given(st.lists(st.integers(-128, 127), min_size=1))
def test_the_code_is_the_sign_plane_of_the_stored_code(stored: list[int]) -> None:
    codes = nested_codes(torch.tensor(stored, dtype=torch.float32), 1, 8)
    assert codes.tolist() == [1 - 2 * ((code >> 7) & 1) for code in stored]


@pytest.mark.parametrize("channels", [None, 3])
def test_the_scale_starts_at_the_mean_size_of_the_weights(channels: int | None) -> None:
    weight = torch.randn(3, 40) * torch.tensor([[0.1], [1.0], [10.0]])
    expected = weight.abs().mean() if channels is None else weight.abs().mean(dim=1)
    for quantizer in (
        NestedWeightQuantizer([1, 2, 8], channels=channels),
        NestedWeightQuantizer([1], channels=channels),
        StepQuantizer([1, 2, 8], signed=True, channels=channels),
    ):
        quantizer.calibrate(weight)
        quantizer.bits = 1
        torch.testing.assert_close(quantizer.step(), expected)
        assert set(quantizer.codes(weight).unique().tolist()) == {-1.0, 1.0}


def test_unsigned_inputs_are_zero_or_one_step() -> None:
    quantizer = StepQuantizer([1], signed=False)
    assert quantizer.codes(torch.tensor([-1.0, 0.0, 0.4, 0.6, 9.0])).tolist() == [0, 0, 0, 1, 1]


def test_what_is_no_number_stays_none() -> None:
    for quantizer in (StepQuantizer([1], signed=True), NestedWeightQuantizer([1]), NestedWeightQuantizer([1, 8])):
        quantizer.bits = 1
        assert bool(quantizer.codes(torch.tensor([float("nan")])).isnan())


@pytest.mark.parametrize("kind", ["nested", "lsq"])
def test_the_gradient_of_the_scale_is_its_finite_difference(kind: str) -> None:
    weight = torch.randn(6, 10)
    towards = torch.randn(6, 10)
    quantizer = NestedWeightQuantizer([1, 8]) if kind == "nested" else StepQuantizer([1, 8], signed=True)
    quantizer.calibrate(weight)
    quantizer.bits = 1
    (quantizer(weight) * towards).sum().backward()
    (log_step,) = [parameter for parameter in quantizer.parameters() if parameter.grad is not None]

    def objective(change: float) -> float:
        with torch.no_grad():
            log_step.add_(change)
            result = float((quantizer(weight) * towards).sum().double())
            log_step.sub_(change)
        return result

    difference = (objective(1e-2) - objective(-1e-2)) / 2e-2
    assert log_step.grad is not None
    assert log_step.grad.item() * weight.numel() ** 0.5 == pytest.approx(difference, rel=1e-3)


def test_weights_get_their_gradient_straight_through_up_to_two_steps() -> None:
    weight = torch.tensor([[-2.1, -1.9, -0.1, 0.0, 0.1, 1.9, 2.1]], requires_grad=True)
    quantizer = NestedWeightQuantizer([1, 8])
    quantizer.bits = 1
    quantizer(weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[0, 1, 1, 1, 1, 1, 0]]


@pytest.mark.parametrize("quantizer", ["nested", "lsq", "dorefa"])  # symmetric is lsq where the code is a sign
def test_a_network_of_one_bit_learns_the_digits(quantizer: str) -> None:
    images = load_image_set("digits")
    inputs, labels = torch.from_numpy(images.train_inputs), torch.from_numpy(images.train_labels)
    network = convert(
        create("resnet8", input_channels=1, classes=10, width=8), (1, 2, 4, 8), signed_input=False, quantizer=quantizer
    ).train()
    network.calibrate_activations(inputs[:128])
    network.calibrate_weights()
    network.quantize()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        chosen = torch.randint(len(labels), (64,), generator=generator)
        optimizer.zero_grad()
        for bits in (1, 4):
            network.assign(network.uniform(bits))
            loss = F.cross_entropy(network(inputs[chosen]), labels[chosen])
            assert bool(loss.isfinite())
            loss.backward()
        optimizer.step()
    test_inputs, test_labels = load_data("digits")
    network.eval()
    for bits in (1, 4):
        network.assign(network.uniform(bits))
        accuracy = float((network(test_inputs).argmax(dim=1) == test_labels).float().mean())
        assert accuracy > 0.6, bits  # chance is 0.1
