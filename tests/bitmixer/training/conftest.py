"""Trainings of the tests see few images, on one thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch

from bitmixer.data import ImageSet, load_image_set
from bitmixer.training import loop


@pytest.fixture(scope="session")
def few_images() -> ImageSet:
    """The digits with 160 images to train on; the test split is whole."""
    images = load_image_set("digits")
    return dataclasses.replace(images, train_inputs=images.train_inputs[:160], train_labels=images.train_labels[:160])


@pytest.fixture(scope="module", autouse=True)
def _few_images(few_images: ImageSet) -> Iterator[None]:
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "load_image_set", lambda base: few_images)
        yield
