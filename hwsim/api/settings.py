"""What the functions take, as the command line would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUNS = Path("runs")
"""Folder of all that is not given one."""

Changes = Mapping[str, Any]
"""Dotted path in a scenario, or behind ``profile.`` in its profile, -> new value."""


def sets_of(changes: Changes | None) -> tuple[str, ...]:
    """Return changes as ``--set`` takes them."""
    return tuple(f"{path}={json.dumps(value)}" for path, value in (changes or {}).items())
