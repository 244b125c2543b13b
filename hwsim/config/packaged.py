"""Finds the profiles and scenarios that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import hwsim
from bitmixer.documents import nearest_files
from bitmixer.errors import did_you_mean
from hwsim.errors import ConfigurationError

Kind = Literal["profiles", "scenarios"]


def directory(kind: Kind) -> Path:
    """Return the folder: inside an installed package, or at the top of a source checkout."""
    package = Path(hwsim.__file__).parent
    installed = package / "packaged" / kind
    return installed if installed.is_dir() else package.parent / kind


def packaged_names(kind: Kind) -> tuple[str, ...]:
    """Return the names that can be given instead of a path, sorted."""
    return tuple(sorted(path.stem for path in directory(kind).glob("*.yaml")))


def find(kind: Kind, name_or_path: str, *, beside: Path = Path()) -> Path:
    """Return the file of a packaged name, or the path itself.

    Args:
        kind: What is looked for.
        name_or_path: A path if it ends in ``.yaml`` or ``.yml``, has a separator, or is a file;
            else a packaged name.
        beside: Folder from which a relative path starts.

    Raises:
        ConfigurationError: No packaged one has this name, or nothing is at this path.
    """
    path = beside / Path(name_or_path).expanduser()
    if path.suffix in {".yaml", ".yml"} or len(Path(name_or_path).parts) > 1 or path.is_file():
        if not path.exists():
            raise ConfigurationError(f"{path}: no such file; {nearest_files(path)}")
        return path
    if name_or_path not in packaged_names(kind):
        hint = did_you_mean(name_or_path, packaged_names(kind))
        raise ConfigurationError(f"no packaged {kind[:-1]} {name_or_path!r}: {hint}; or give the path of a YAML file")
    return directory(kind) / f"{name_or_path}.yaml"
