"""A network that learns in the field: it recovers on what has changed, and only what may change does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bitmixer import load_network
from bitmixer.data import load_data
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import find_checkpoint
from bitmixer.quantizers.float8 import round_to_format
from bitmixer.quantizers.float_formats import FLOAT16
from bitmixer.training.adaptation import FieldLearner, changes_since

BATCH = 32


def network() -> MetaQuantizedNetwork:
    return load_network(find_checkpoint("resnet8_digits"))


def learner(of: MetaQuantizedNetwork, **changes: Any) -> FieldLearner:
    settings = {"learned": "norms_and_classifier", "form": "e5m2", "learning_rate": 0.02, "seed": 0} | changes
    return FieldLearner(of, of.uniform(8), **settings)


def accuracy(of: MetaQuantizedNetwork, inputs: Tensor, labels: Tensor) -> float:
    of.assign(of.uniform(8))
    with torch.no_grad():
        return float((of(inputs).argmax(1) == labels).float().mean())


def taught(of: MetaQuantizedNetwork, learning: FieldLearner, data: str, steps: int) -> tuple[float, float]:
    """Learn from the first half, and return the accuracy on the second one, before and after."""
    inputs, labels = load_data(data)
    half = len(labels) // 2
    before = accuracy(of, inputs[half:], labels[half:])
    for step in range(steps):
        rows = torch.arange(step * BATCH, (step + 1) * BATCH) % half
        learning.learn(inputs[rows], labels[rows])
    return before, accuracy(of, inputs[half:], labels[half:])


@pytest.mark.parametrize("learned", ["norms_and_classifier", "all"])
def test_a_network_recovers_from_lost_contrast(learned: str) -> None:
    own = network()
    before, after = taught(own, learner(own, learned=learned), "digits+contrast0.7@7", 25)
    assert before < 0.87
    assert after > 0.95


def test_only_what_is_learned_changes() -> None:
    own = network()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    taught(own, learner(own), "digits+fog1.0@7", 2)
    changed = changes_since(before, own)
    assert {"body.classifier.weight", "body.classifier.bias"} <= set(changed)
    assert "body.stem.weight" not in changed
    assert not any("log_step" in name for name in changed)
    assert len(changed) < len(before) / 3  # norms of transitions that are not taken stay
    weight = changed["body.classifier.weight"]
    assert torch.equal(weight, round_to_format(weight, FLOAT16))
    assert not own.training


def test_what_changed_is_all_that_another_network_needs() -> None:
    own, other = network(), network()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    taught(own, learner(own), "digits+fog1.0@7", 3)
    other.load_state_dict(changes_since(before, own), strict=False)
    inputs = load_data("digits+fog1.0@7")[0][:50]
    with torch.no_grad():
        assert torch.equal(own(inputs), other(inputs))


def test_the_same_batches_and_seed_teach_the_same() -> None:
    found = []
    for seed in (0, 0, 1):
        own = network()
        taught(own, learner(own, seed=seed), "digits+fog1.0@7", 2)
        found.append(own.state_dict()["body.classifier.weight"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
