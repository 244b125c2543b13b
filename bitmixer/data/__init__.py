"""Image sets by name, with a named and seeded corruption: ``mnist5k+noise0.4@7``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitmixer.data import cifar10, corruption, digits, mnist5k
from bitmixer.data.images import ImageSet
from bitmixer.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

_LOADERS = {"cifar10": cifar10.load, "digits": digits.load, "mnist5k": mnist5k.load}
_SHAPES = {"cifar10": cifar10.SHAPE, "digits": digits.SHAPE, "mnist5k": mnist5k.SHAPE}
DATA_SETS = tuple(_LOADERS)

__all__ = ["DATA_SETS", "DataName", "ImageSet", "load_data", "load_image_set"]


@dataclass(frozen=True, slots=True)
class DataName:
    """A data set's name and the corruption of its images.

    >>> DataName.parse("mnist5k+noise0.4@7")
    DataName(base='mnist5k', corruption='noise', severity=0.4, seed=7)
    """

    base: str
    corruption: str | None = None
    severity: float = 0.0
    seed: int = 0

    @classmethod
    def parse(cls, name: str) -> DataName:
        """Read a data name.

        Raises:
            DataError: The set or the corruption is unknown, or the form is not ``set+kindSEVERITY@SEED``.
        """
        base, plus, rest = name.partition("+")
        if base not in _LOADERS:
            raise DataError(f"data {name!r}: unknown set {base!r}: {did_you_mean(base, _LOADERS)}")
        if not plus:
            return cls(base)
        kind, severity, seed = corruption.parse(rest, where=f"data {name!r}")
        return cls(base, kind, severity, seed)


def require_shape(name: str, shape: tuple[int, ...], taker: str) -> None:
    """Check that the images of a data name are what a network takes; loads nothing.

    Raises:
        DataError: The name is unknown, or its images have another shape.
    """
    images = _SHAPES[DataName.parse(name).base]
    if images != shape:
        fitting = [base for base, other in _SHAPES.items() if other == shape]
        raise DataError(
            f"data {name!r} has inputs of shape {images}; {taker} takes {shape}: "
            f"choose {' or '.join(fitting) or 'other data'}"
        )


def load_image_set(base: str) -> ImageSet:
    """Return the clean training and test images of a set.

    Raises:
        DataError: The set is unknown, missing or damaged.
    """
    if base not in _LOADERS:
        raise DataError(f"unknown data set {base!r}: {did_you_mean(base, _LOADERS)}")
    return _LOADERS[base]()


def load_labels(name: str) -> NDArray[np.int64]:
    """Return the labels of a data name's test split, which no corruption changes; needs no torch.

    Raises:
        DataError: The name is unknown or the data is missing or damaged.
    """
    return _test_split(DataName.parse(name).base)[1]


def load_data(name: str) -> tuple[Tensor, Tensor]:
    """Return the test split as the network takes it.

    Inputs are (n, channels, height, width) in [0, 1], labels (n,). The corruption is a function of the name
    alone: the same name gives the same pixels.

    Raises:
        DataError: The name is unknown or the data is missing or damaged.
    """
    import torch

    parsed = DataName.parse(name)
    inputs, labels = _test_split(parsed.base)
    if parsed.corruption is not None:
        inputs = corruption.apply(inputs, parsed.corruption, parsed.severity, parsed.seed)
    return torch.from_numpy(np.ascontiguousarray(inputs)), torch.from_numpy(labels)


def _test_split(base: str) -> cifar10.Labelled:
    """Return the test images and labels; of a large set nothing else is decoded."""
    if base == "cifar10":
        return cifar10.load_split("test")
    images = load_image_set(base)
    return images.test_inputs, images.test_labels
