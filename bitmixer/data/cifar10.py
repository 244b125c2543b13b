"""CIFAR-10 (Krizhevsky, 2009): 50 000 training and 10 000 test images, 32x32 RGB, 10 classes.

Never shipped: read from the user's data folder, in either of two forms. ``cifar10/*.npz`` packs
the images as JPEG streams (a re-encoding: say so beside a number); ``cifar-10-batches-bin/*.bin`` is the official
binary release.
"""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitmixer.data.images import ImageSet
from bitmixer.data_folder import current_data_root
from bitmixer.errors import DataError

SHAPE = (3, 32, 32)
TRAINING_IMAGES = 50_000
RECORD_BYTES = 1 + 3 * 32 * 32
ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
"""As https://www.cs.toronto.edu/~kriz/cifar.html states it."""
PACKS = {"train": "cifar10/train-50000.npz", "test": "cifar10/test-10000.npz"}
BATCHES = {
    "train": [f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)],
    "test": ["cifar-10-batches-bin/test_batch.bin"],
}
Split = Literal["train", "test"]
Labelled = tuple[NDArray[np.float32], NDArray[np.int64]]


def load() -> ImageSet:
    """Return all images.

    Raises:
        DataError: The files are missing or damaged.
    """
    train_inputs, train_labels = load_split("train")
    test_inputs, test_labels = load_split("test")
    return ImageSet(
        train_inputs=train_inputs, train_labels=train_labels, test_inputs=test_inputs, test_labels=test_labels
    )


def load_split(split: Split) -> Labelled:
    """Return the images (n, 3, 32, 32) in [0, 1] and labels of one split.

    Raises:
        DataError: The files are missing or damaged.
    """
    root = current_data_root()
    pack, batches = root / PACKS[split], [root / name for name in BATCHES[split]]
    if pack.is_file():
        return _unpacked(pack)
    if all(batch.is_file() for batch in batches):
        return _records(batches)
    raise DataError(
        f"data 'cifar10' does not ship with the package, and neither {pack} nor {batches[0]} is there: "
        f"python -m bitmixer download cifar10 fetches it, or unpack {ARCHIVE} into a folder and set BITMIXER_DATA to it"
    )


def _unpacked(path: Path) -> Labelled:
    from PIL import Image

    try:
        with np.load(path, allow_pickle=False) as pack:
            header, streams = pack["prefix"].tobytes(), pack["blob"].tobytes()
            ends, labels = pack["off"].astype(np.int64), pack["y"].astype(np.int64)
        pixels = np.empty((len(labels), 32, 32, 3), np.uint8)
        for index, (start, end) in enumerate(pairwise(ends)):
            pixels[index] = np.asarray(Image.open(io.BytesIO(header + streams[start:end])).convert("RGB"))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(f"{path}: damaged ({error}): copy it again") from None
    return _scaled(pixels.transpose(0, 3, 1, 2)), labels


def _records(paths: list[Path]) -> Labelled:
    content = np.concatenate([np.fromfile(path, np.uint8) for path in paths])
    if content.size == 0 or content.size % RECORD_BYTES:
        raise DataError(f"{paths[0].parent}: {content.size} bytes, not a multiple of {RECORD_BYTES}: unpack it again")
    records = content.reshape(-1, RECORD_BYTES)
    return _scaled(records[:, 1:].reshape(-1, *SHAPE)), records[:, 0].astype(np.int64)


def _scaled(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(pixels, dtype=np.float32) / np.float32(255.0)
