"""Random changes of training images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bitmixer.training.recipe import Augmentation


def augment(images: Tensor, augmentation: Augmentation, generator: np.random.Generator) -> Tensor:
    """Return a changed copy of a batch (n, channels, height, width) of images in [0, 1]."""
    if augmentation.shift:
        images = _shifted(images, augmentation.shift, generator)
    if augmentation.mirror:
        mirrored = torch.from_numpy(generator.random(len(images)) < 0.5)[:, None, None, None]
        images = torch.where(mirrored, images.flip(3), images)
    if augmentation.noise:
        deviation = generator.uniform(0.0, augmentation.noise, (len(images), 1, 1, 1))
        noise = deviation * generator.standard_normal(images.shape)
        images = (images + torch.from_numpy(noise.astype(np.float32))).clamp_(0.0, 1.0)
    return images


def _shifted(images: Tensor, largest: int, generator: np.random.Generator) -> Tensor:
    height, width = images.shape[-2:]
    padded = F.pad(images, (largest, largest, largest, largest))
    rows, columns = torch.from_numpy(generator.integers(0, 2 * largest + 1, (2, len(images))))
    batch = torch.arange(len(images))[:, None, None]
    row_index = rows[:, None, None] + torch.arange(height)[None, :, None]
    column_index = columns[:, None, None] + torch.arange(width)[None, None, :]
    return padded[batch, :, row_index, column_index].permute(0, 3, 1, 2).contiguous()
