"""``hwsim digest``: a run's records as one number."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def digest(folder: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Print a hash of a run's records, floats to 12 digits, to compare runs across machines."""
    from hwsim.records.store import digest as digest_run

    print(digest_run(folder))
