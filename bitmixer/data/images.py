"""Labelled images, split for training and test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Images (n, channels, height, width) float32 in [0, 1] and labels (n,) int64."""

    train_inputs: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_inputs: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def split_by_class(inputs: NDArray[np.float32], labels: NDArray[np.int64], *, test_share: float, seed: int) -> ImageSet:
    """Split so that every class gives the same share to the test set; the order is shuffled by ``seed``."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        test[members[: round(test_share * len(members))]] = True
    train_order, test_order = order[~test[order]], order[test[order]]
    return ImageSet(
        train_inputs=inputs[train_order],
        train_labels=labels[train_order],
        test_inputs=inputs[test_order],
        test_labels=labels[test_order],
    )
