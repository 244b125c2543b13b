"""Files and folders that a user asked for: what the system refuses to write becomes one clear error."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bitmixer.errors import OutputError


def write_output(path: Path, content: bytes) -> None:
    """Write a file.

    Raises:
        OutputError: It cannot be written; says why and what to give instead.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {_reason(path, error)}") from None


def make_folder(folder: Path) -> None:
    """Make a folder, its parents included, that files can be written into; it may exist.

    Raises:
        OutputError: It cannot be made, or nothing can be written into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{folder}: nothing can be written into it: {_reason(folder, error)}") from None


def _reason(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no folder {path.parent}: make it first, or give another place"
    if isinstance(error, IsADirectoryError):
        return "it is a folder: give the name of a file"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "a file stands where a folder should be: give another place"
    return f"{error.strerror}: give a place that you may write to"
