"""Image sets by name or file, corrupted by name and seed (``mnist5k+noise0.4@7``); labels and shapes of graphs too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitmixer.data import cifar10, corruption, digits, mnist5k
from bitmixer.data.image_file import SUFFIX, file_sha256, is_image_file, load_image_file
from bitmixer.data.images import ImageSet
from bitmixer.data.node_graphs import NODE_GRAPHS, is_node_graph, node_graph_shape, query_labels
from bitmixer.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

_LOADERS = {"cifar10": cifar10.load, "digits": digits.load, "mnist5k": mnist5k.load}
_SHAPES = {"cifar10": cifar10.SHAPE, "digits": digits.SHAPE, "mnist5k": mnist5k.SHAPE}
DATA_SETS = tuple(_LOADERS)
TRAINING_IMAGES = {
    "cifar10": cifar10.TRAINING_IMAGES, "digits": digits.TRAINING_IMAGES, "mnist5k": mnist5k.TRAINING_IMAGES
}  # fmt: skip
"""Images in the training split of each set, known without loading it."""
USUAL_IMAGES = 2000
TRAINING_STREAM = 1
"""Seeds of corruptions of training images end in this number."""

__all__ = ["DATA_SETS", "DataName", "ImageSet", "data_identity", "load_data", "load_image_set", "load_training_images"]


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
        if is_node_graph(name):
            raise DataError(f"data {name!r} is a graph: images are wanted, for example digits")
        if base not in _LOADERS and not is_image_file(base):
            known = did_you_mean(base, (*_LOADERS, *NODE_GRAPHS))
            raise DataError(f"data {name!r}: unknown set {base!r}: {known}; or the path of a file of yours ({SUFFIX})")
        if not plus:
            return cls(base)
        kind, severity, seed = corruption.parse(rest, where=f"data {name!r}")
        return cls(base, kind, severity, seed)


def require_shape(name: str, shape: tuple[int, ...], taker: str) -> None:
    """Check that the images of a data name, or the graph, are what a network takes; loads nothing.

    Raises:
        DataError: The name is unknown, or its images have another shape.
    """
    given = node_graph_shape(name) if is_node_graph(name) else _image_shape(DataName.parse(name).base)
    if given != shape:
        fitting = [base for base, other in _SHAPES.items() if other == shape]
        raise DataError(
            f"data {name!r} has inputs of shape {given}; {taker} takes {shape}: "
            f"choose {' or '.join(fitting) or 'other data'}"
        )


def _image_shape(base: str) -> tuple[int, ...]:
    return load_image_file(base).test_inputs.shape[1:] if is_image_file(base) else _SHAPES[base]


def data_identity(name: str) -> str:
    """Return what tells data apart: its name, or what is in it where that is a file's.

    Raises:
        DataError: There is no such file.
    """
    base, plus, rest = name.partition("+")
    if not is_image_file(base):
        return name
    load_image_file(base)
    return f"{file_sha256(base)}{plus}{rest}"


def load_image_set(base: str) -> ImageSet:
    """Return the clean training and test images of a set, by its name or its file.

    Raises:
        DataError: The set is unknown, missing or damaged.
    """
    if is_image_file(base):
        return load_image_file(base)
    if base not in _LOADERS:
        raise DataError(f"unknown data set {base!r}: {did_you_mean(base, _LOADERS)}")
    return _LOADERS[base]()


def load_labels(name: str) -> NDArray[np.int64]:
    """Return the labels of a data name's test split, which no corruption changes; images need no torch for it.

    Raises:
        DataError: The name is unknown or the data is missing or damaged.
    """
    return query_labels(name) if is_node_graph(name) else _split(DataName.parse(name).base, "test")[1]


def load_data(name: str) -> tuple[Tensor, Tensor]:
    """Return the test split as the network takes it.

    Inputs are (n, channels, height, width) in [0, 1], labels (n,). The corruption is a function of the name
    alone: the same name gives the same pixels.

    Raises:
        DataError: The name is unknown or the data is missing or damaged.
    """
    parsed = DataName.parse(name)
    return _as_tensors(parsed, *_split(parsed.base, "test"), seed=parsed.seed)


def load_training_images(name: str, images: int | None = None, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return some of the training split, drawn evenly, in the form of :func:`load_data`.

    What is chosen by looking at these may be judged on the test split. The corruption is drawn apart from the
    test split's, so that the two share no noise.

    Args:
        name: Data name, corruption included.
        images: How many; if not given, 2000, or all if there are fewer.
        seed: Seed of the draw.

    Raises:
        DataError: The name is unknown, the data is missing or damaged, or has fewer images.
    """
    parsed = DataName.parse(name)
    inputs, labels = _split(parsed.base, "train")
    count = min(USUAL_IMAGES, len(labels)) if images is None else images
    if not 1 <= count <= len(labels):
        raise DataError(f"data {name!r} has {len(labels)} training images: {count} cannot be drawn; ask for fewer")
    drawn = np.random.default_rng(seed).permutation(len(labels))[:count]
    return _as_tensors(parsed, inputs[drawn], labels[drawn], seed=(parsed.seed, TRAINING_STREAM))


def _as_tensors(
    name: DataName, inputs: NDArray[np.float32], labels: NDArray[np.int64], *, seed: int | tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    import torch

    if name.corruption is not None:
        inputs = corruption.apply(inputs, name.corruption, name.severity, seed)
    return torch.from_numpy(np.ascontiguousarray(inputs)), torch.from_numpy(labels)


def _split(base: str, split: cifar10.Split) -> cifar10.Labelled:
    """Return the images and labels of one split; of a large set nothing else is decoded."""
    if base == "cifar10":
        return cifar10.load_split(split)
    images = load_image_set(base)
    if split == "test":
        return images.test_inputs, images.test_labels
    return images.train_inputs, images.train_labels
