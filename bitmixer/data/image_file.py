"""Image sets of one's own in files: NumPy's ``.npz``, with the four arrays of an ``ImageSet``."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from bitmixer.data.images import ImageSet
from bitmixer.errors import DataError

SUFFIX = ".npz"


def is_image_file(base: str) -> bool:
    """Whether a data name's set is a file."""
    return base.endswith(SUFFIX)


def load_image_file(path: str) -> ImageSet:
    """Return the set in a file; reading it runs no code.

    Raises:
        DataError: There is no such file, it lacks an array, or one is not what an ``ImageSet`` holds.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"data {path!r}: no such file; images.save({path!r}) of a bitmixer.ImageSet writes one")
    stat = file.stat()
    return _loaded(str(file.resolve()), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)
def _loaded(path: str, modified: int, size: int) -> ImageSet:
    names = [field.name for field in dataclasses.fields(ImageSet)]
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing = [name for name in names if name not in arrays]
            if missing:
                raise DataError(f"{path}: has no {', '.join(missing)}; expected {', '.join(names)}")
            return ImageSet(**{name: arrays[name] for name in names})
    except DataError as error:
        raise DataError(f"{path}: {error}" if path not in str(error) else str(error)) from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a file of images ({error}); write it again with ImageSet.save") from None


def file_sha256(path: str) -> str:
    """Return the hash of a file's content."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
