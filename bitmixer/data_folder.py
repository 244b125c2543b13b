"""Where data that does not ship with the package lies."""

from __future__ import annotations

import os
from pathlib import Path

from bitmixer.errors import DataError


def current_data_root() -> Path:
    """Return the folder of the user's data: ``BITMIXER_DATA``, or ``bitmixer`` in the user's cache folder."""
    given = os.environ.get("BITMIXER_DATA")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bitmixer"


def use_data_root(folder: Path | None) -> None:
    """Take data from ``folder`` from now on, also in processes that this one starts; ``None`` changes nothing.

    Raises:
        DataError: It is not a folder.
    """
    if folder is None:
        return
    if not folder.is_dir():
        raise DataError(f"--data-root {folder}: is not a folder")
    os.environ["BITMIXER_DATA"] = str(folder.resolve())
