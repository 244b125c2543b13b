"""Tables of whole numbers on disk, so that runs need not compute again what others have computed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

UNKNOWN = -1


class TableCache:
    """One small file per key, each with a table of whole numbers; damaged files are computed again.

    Args:
        folder: Where the files are; made when the first is kept.
        shape: Of every table.
        dtype: Of every table.
        limit: Entries are below it; from 0, or ``UNKNOWN``.
    """

    def __init__(self, folder: Path, *, shape: tuple[int, ...], dtype: DTypeLike, limit: int) -> None:
        self._folder = folder
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._limit = limit

    @property
    def is_started(self) -> bool:
        """Whether something was kept before."""
        return self._folder.is_dir()

    def load(self, key: Sequence[Any]) -> NDArray[Any]:
        """Return what is known under a key; ``UNKNOWN`` elsewhere."""
        try:
            table = np.load(self._file(key), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            table = None
        if (
            table is None
            or table.shape != self._shape
            or table.dtype != self._dtype
            or not ((table >= UNKNOWN) & (table < self._limit)).all()
        ):
            return np.full(self._shape, UNKNOWN, dtype=self._dtype)
        known: NDArray[Any] = table
        return known

    def store(self, key: Sequence[Any], table: NDArray[Any]) -> None:
        """Keep what is known under a key."""
        file = self._file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.part")
        with temporary.open("wb") as stream:
            np.save(stream, table)
        temporary.replace(file)

    def _file(self, key: Sequence[Any]) -> Path:
        return self._folder / f"{hashlib.sha256(json.dumps(list(key)).encode()).hexdigest()[:24]}.npy"


def default_cache() -> Path:
    """Return the cache folder: ``HWSIM_CACHE``, or ``hwsim`` in the user's cache folder."""
    given = os.environ.get("HWSIM_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hwsim"
