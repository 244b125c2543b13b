"""Finds the profiles, energy tables and scenarios that come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import hwsim
from bitmixer.documents import nearest_files
from bitmixer.errors import did_you_mean
from hwsim.errors import ConfigurationError

Kind = Literal["profiles", "profiles/arrays", "profiles/energy", "scenarios"]
_KINDS = {"profiles/arrays": "array profile", "profiles/energy": "energy table"}


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
        raise ConfigurationError(
            f"no packaged {_KINDS.get(kind, kind[:-1])} {name_or_path!r}: {hint}; or give the path of a YAML file"
        )
    return directory(kind) / f"{name_or_path}.yaml"


def find_any(kinds: Sequence[Kind], what: str, name_or_path: str, *, beside: Path = Path()) -> Path:
    """Return the file of a packaged name of any of ``kinds``, or the path itself; ``what`` names them together.

    Raises:
        ConfigurationError: No packaged one has this name, or nothing is at this path.
    """
    if not name_or_path.strip():
        raise ConfigurationError(f"a {what} without a name: name a packaged one, or give the path of a YAML file")
    for kind in kinds:
        if name_or_path in packaged_names(kind):
            return find(kind, name_or_path)
    try:
        return find(kinds[0], name_or_path, beside=beside)
    except ConfigurationError:
        if Path(name_or_path).suffix or len(Path(name_or_path).parts) > 1:
            raise
        hint = did_you_mean(name_or_path, [name for kind in kinds for name in packaged_names(kind)])
        raise ConfigurationError(
            f"no packaged {what} {name_or_path!r}: {hint}; or give the path of a YAML file"
        ) from None


def find_profile(name_or_path: str, *, beside: Path = Path()) -> Path:
    """Return the file of a packaged profile, of a device or of an array, or the path itself.

    Raises:
        ConfigurationError: No profile has this name, or nothing is at this path.
    """
    kinds: tuple[Kind, ...] = ("profiles", "profiles/arrays")
    known = {name for kind in kinds for name in packaged_names(kind)}
    if name_or_path in set(packaged_names("profiles/energy")) - known:
        raise ConfigurationError(f"{name_or_path} is an energy table, not a profile: hwsim profiles lists the profiles")
    return find_any(kinds, "profile", name_or_path, beside=beside)
