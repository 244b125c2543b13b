"""Losses as measured, and the model that lets sensitivities add up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.data import load_training_images
from bitmixer.execution import run
from bitmixer.graph import LayerGraph
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import find_checkpoint
from bitmixer.search.costs import highest
from bitmixer.search.losses import Change, MeasuredLoss, sensitivity

TIED = tuple(BitWidths.tied(bits) for bits in (2, 4, 8))


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    return load_training_images("digits+noise0.4@7", 130, seed=3)[0]


def test_losses_are_the_divergence_from_the_highest_widths(
    digits_network: MetaQuantizedNetwork, inputs: Tensor
) -> None:
    graph = find_checkpoint("resnet8_digits").graph
    start = BitAssignment.random(graph.layers, np.random.default_rng(1))
    changes = [Change(layer.name, widths) for layer in graph.layers for widths in layer.allowed]
    calls: list[tuple[int, int]] = []
    model = MeasuredLoss(digits_network, inputs, progress=lambda *said: calls.append(said))
    unchanged, changed = model.losses(start, changes)
    reference = run(digits_network, inputs, graph.uniform(8)).double().softmax(dim=1)
    assignments = [start, *(BitAssignment({**start, site: widths}) for site, widths in changes)]
    for assignment, loss in zip(assignments, (unchanged, *changed), strict=True):
        predicted = run(digits_network, inputs, assignment).double().softmax(dim=1)
        assert loss == pytest.approx(float((reference * (reference / predicted).log()).sum(dim=1).mean()), rel=1e-9)
    assert len(set(changed)) > 5
    assert calls == [(100, len(changes)), (130, len(changes))]
    assert model.losses(graph.uniform(8), []).unchanged == 0


def test_sensitivity_is_what_each_site_adds_alone(graph_of: Callable[..., LayerGraph], formula_loss: Any) -> None:
    graph = graph_of({"a": TIED, "b": (BitWidths(2, 8), BitWidths(8, 2), BitWidths(8, 8))})

    def formula(assignment: Mapping[str, BitWidths]) -> float:
        return 1 / assignment["a"].weight + 3 / assignment["b"].activation

    model = formula_loss(formula)
    measured = sensitivity(graph, model)
    assert model.asked == 1 + 2 + 2  # one pass
    assert measured.loss == 1 / 8 + 3 / 8
    assert measured.increase["a"] == {TIED[2]: 0, TIED[1]: 1 / 8, TIED[0]: 3 / 8}
    assert measured.increase["b"] == {(8, 8): 0, (2, 8): 0, (8, 2): 3 / 2 - 3 / 8}
    low = {**highest(graph.layers), "a": TIED[0], "b": BitWidths(8, 2)}
    assert measured.foretold(low) == formula(low)  # a sum over sites is foretold exactly
    start = highest(graph.layers)
    changes = [Change("a", TIED[0]), Change("b", BitWidths(8, 2))]
    assert measured.losses(start, changes) == model.losses(start, changes)


def test_search_images_are_of_the_training_split_and_share_no_noise_with_the_test_split() -> None:
    from bitmixer.data import load_data, load_image_set

    clean, labels = load_training_images("digits", 50, seed=1)
    training = load_image_set("digits")
    for image, label in zip(clean, labels, strict=True):
        same = (training.train_inputs == image.numpy()).all(axis=(1, 2, 3))
        assert training.train_labels[same].tolist().count(int(label)) >= 1
    assert not torch.equal(clean, load_training_images("digits", 50, seed=2)[0])
    assert torch.equal(clean, load_training_images("digits", 50, seed=1)[0])
    assert len(load_training_images("digits")[1]) == len(training.train_labels) == 1438  # fewer than the usual 2000

    noisy = load_training_images("digits+noise0.1@7", 50, seed=1)[0]
    noise, test_noise = noisy - clean, load_data("digits+noise0.1@7")[0][:50] - load_data("digits")[0][:50]
    inside = (noisy > 0) & (noisy < 1) & (load_data("digits+noise0.1@7")[0][:50] > 0) & (test_noise.abs() > 0)
    assert float((noise[inside] - test_noise[inside]).abs().min()) > 0


@pytest.mark.parametrize("images", [0, 1439])
def test_more_images_than_there_are_is_an_error(images: int) -> None:
    from bitmixer.errors import DataError

    with pytest.raises(DataError, match=f"has 1438 training images: {images} cannot be drawn"):
        load_training_images("digits", images)
