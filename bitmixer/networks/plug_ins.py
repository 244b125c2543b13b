"""Networks of others by name: an installed package registers the folder of its checkpoint as an entry point.

    [project.entry-points."bitmixer.networks"]
    mine = "my_package:CHECKPOINT"

where ``CHECKPOINT`` is the path of a folder that ``save_network`` wrote.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from bitmixer.errors import CheckpointError

GROUP = "bitmixer.networks"


def registered_networks() -> list[str]:
    """Return the names that installed packages register."""
    return sorted(entry_points(group=GROUP).names)


def registered_folder(name: str) -> Path | None:
    """Return the folder of a registered network; ``None`` where no package registers this name.

    Raises:
        CheckpointError: What the package registers is no path.
    """
    for point in entry_points(group=GROUP, name=name):
        try:
            return Path(point.load())
        except Exception as error:
            raise CheckpointError(
                f"network {name!r}: the entry point {point.value!r} of its package is no path of a checkpoint: {error}"
            ) from None
    return None
