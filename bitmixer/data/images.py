"""Labelled images, split for training and test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitmixer.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Inputs (n, ...) float32, images as (n, channels, height, width) in [0, 1], and labels (n,) int64 from 0.

    Raises:
        DataError: Another type or shape, inputs and labels of different numbers, or inputs that are no number.
    """

    train_inputs: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_inputs: NDArray[np.float32]
    test_labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        _check("train", self.train_inputs, self.train_labels)
        _check("test", self.test_inputs, self.test_labels)

    @classmethod
    def from_batches(cls, train: Iterable[tuple[Any, Any]], test: Iterable[tuple[Any, Any]]) -> ImageSet:
        """Return the set in two data loaders, or in whatever yields batches of inputs and labels.

        Args:
            train: Batches to train on, of tensors or arrays; each input is taken once, as it comes.
            test: Batches to judge by.

        Raises:
            DataError: Inputs are of several shapes, or not what a set holds.
        """
        inputs, labels = _joined("train", train)
        test_inputs, test_labels = _joined("test", test)
        return cls(train_inputs=inputs, train_labels=labels, test_inputs=test_inputs, test_labels=test_labels)

    def save(self, path: str | Path) -> Path:
        """Write the set to a file ending in ``.npz``, by whose path it is data like any other; return the path.

        Raises:
            DataError: The path ends otherwise, or cannot be a data name.
        """
        file = Path(path)
        if file.suffix != ".npz" or "+" in str(path):
            raise DataError(
                f"{path}: expected a path that ends in .npz, without a plus sign (which begins a corruption)"
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **asdict(self))
        return file


def _check(split: str, inputs: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    wrong = [
        sentence
        for holds, sentence in (
            (inputs.dtype == np.float32, f"inputs of type {inputs.dtype}; expected float32: inputs.astype('float32')"),
            (labels.dtype == np.int64, f"labels of type {labels.dtype}; expected int64: labels.astype('int64')"),
            (
                labels.shape == inputs.shape[:1],
                f"{len(inputs)} inputs, but labels of shape {labels.shape}",
            ),
            (bool((labels >= 0).all()), "labels below 0; expected class numbers from 0"),
            (bool(np.isfinite(inputs).all()), "inputs that are NaN or infinite; remove them"),
        )
        if not holds
    ]
    if wrong:
        raise DataError(f"{split} split: {wrong[0]}")


def _joined(split: str, batches: Iterable[tuple[Any, Any]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    pairs = [(np.asarray(inputs, np.float32), np.asarray(labels, np.int64)) for inputs, labels in batches]
    if not pairs:
        raise DataError(f"{split} split: no batches")
    shapes = {inputs.shape[1:] for inputs, _ in pairs}
    if len(shapes) > 1:
        raise DataError(
            f"{split} split: inputs of several shapes, {', '.join(map(str, sorted(shapes)))}: make them alike"
        )
    inputs, labels = zip(*pairs, strict=True)
    return np.concatenate(inputs), np.concatenate(labels)


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
