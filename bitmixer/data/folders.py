"""Where data that does not ship with the package lies."""

from __future__ import annotations

import os
from pathlib import Path


def data_root() -> Path:
    """Return the folder of the user's data: ``BITMIXER_DATA``, or ``bitmixer`` in the user's cache folder."""
    given = os.environ.get("BITMIXER_DATA")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bitmixer"
