"""Networks and arrays that no registry knows, trained by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bitmixer import convert
from bitmixer.data import ImageSet
from bitmixer.errors import CheckpointError, DataError, TrainingError
from bitmixer.training import loop
from bitmixer.training.recipe import Training


class Own(nn.Module):
    """A network that no registry knows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 10)
        self.inner, self.inner_norm = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = torch.relu(self.inner_norm(self.inner(x)))
        logits: torch.Tensor = self.last(x.mean((2, 3)))
        return logits


def own_training(**changes: Any) -> Training:
    stages = [{"name": "transitions", "epochs": 2, "learning_rate": 1e-2}]
    return Training.model_validate({"seed": 0, "batch_size": 32, "stages": stages} | changes)


def test_a_network_of_one_s_own_trains(tmp_path: Path, few_images: ImageSet) -> None:
    torch.manual_seed(0)
    network = convert(Own(), [2, 4], signed_input=False)
    history = loop.fit(network, few_images, own_training(), tmp_path)
    assert [row["epoch"] for row in history] == [1, 2]
    assert history[1]["loss"] < history[0]["loss"]
    assert not network.training


def test_a_teacher_that_was_not_given_is_asked_for(tmp_path: Path, few_images: ImageSet) -> None:
    training = own_training(distillation={"teacher": "float"})
    with pytest.raises(TrainingError, match="give it as teacher"):
        loop.fit(convert(Own(), [2, 4]), few_images, training, tmp_path)


def test_a_folder_belongs_to_one_network_and_its_images(tmp_path: Path, few_images: ImageSet) -> None:
    def train_own(seed: int, images: ImageSet) -> list[dict[str, Any]]:
        torch.manual_seed(seed)
        return loop.fit(convert(Own(), [2, 4], signed_input=False), images, own_training(), str(tmp_path / "own"))

    assert train_own(0, few_images) == train_own(0, few_images)
    darker = dataclasses.replace(few_images, train_inputs=few_images.train_inputs * np.float32(0.5))
    for other in ((1, few_images), (0, darker)):
        with pytest.raises(CheckpointError, match="belongs to another training"):
            train_own(*other)


class Flat(nn.Module):
    """Takes features instead of images."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(x)
        return logits


def test_features_train_as_well_as_images(tmp_path: Path, few_images: ImageSet) -> None:
    flat = {name: getattr(few_images, name).reshape(-1, 64) for name in ("train_inputs", "test_inputs")}
    history = loop.fit(convert(Flat(), [2, 4]), dataclasses.replace(few_images, **flat), own_training(), tmp_path)
    assert history[1]["loss"] < history[0]["loss"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("train_inputs", np.zeros((2, 1, 8, 8)), "train split: inputs of type float64; expected float32"),
        ("test_labels", np.zeros(2, np.int32), "test split: labels of type int32; expected int64"),
        ("train_labels", np.zeros(3, np.int64), "train split: 2 inputs, but labels of shape"),
        ("train_labels", np.array([0, -1]), "labels below 0"),
        ("test_inputs", np.full((2, 1, 8, 8), np.nan, np.float32), "NaN or infinite"),
    ],
)
def test_wrong_arrays_are_explained(field: str, value: Any, message: str) -> None:
    right = {
        f"{split}_{what}": array
        for split in ("train", "test")
        for what, array in (("inputs", np.zeros((2, 1, 8, 8), np.float32)), ("labels", np.zeros(2, np.int64)))
    }
    with pytest.raises(DataError, match=message):
        ImageSet(**{**right, field: value})


def test_what_is_not_meta_quantized_is_refused(tmp_path: Path, few_images: ImageSet) -> None:
    with pytest.raises(TrainingError, match="Own is not meta-quantized: give what"):
        loop.fit(Own(), few_images, own_training(), tmp_path)  # type: ignore[arg-type]
