"""A profile that extends another: what it says itself, and everything else as there."""

from __future__ import annotations

from pathlib import Path

from bitmixer.documents import read_tree
from bitmixer.documents.source import Tree
from hwsim.config.input_file import found
from hwsim.config.packaged import find_profile
from hwsim.errors import ConfigurationError

KEY = "extends"
FILES = (("thermal", "floorplan"), ("thermal", "configuration"))
"""Sections that name a file, whose path starts at the document that says it."""


def read_extended(path: Path, *, seen: tuple[Path, ...] = ()) -> Tree:
    """Read a profile; each of its top-level keys takes the place of the one in the profile that it extends.

    ``extends: NAME`` names a packaged profile, of a device or of an array, or the path of one as seen from this file.

    Raises:
        DocumentError: One of the files cannot be read.
        ConfigurationError: The profile to extend does not exist, or extends this one.
    """
    tree = read_tree(path)
    _place_files(tree, path.parent)
    if KEY not in tree.data:
        return tree
    name, place = tree.data.pop(KEY), tree.place((KEY,))
    try:
        base_path = find_profile(str(name), beside=path.parent)
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {KEY}: {error}") from None
    if base_path.resolve() in seen or base_path.resolve() == path.resolve():
        raise ConfigurationError(f"{place}: {KEY}: {name} extends this profile: name one that does not")
    base = read_extended(base_path, seen=(*seen, path.resolve()))
    for key in tree.data:
        for places in (base.places, base.key_places):
            for stale in [known for known in places if known[:1] == (key,)]:
                del places[stale]
    base.data.update(tree.data)
    base.places.update(tree.places)
    base.key_places.update(tree.key_places)
    return base


def _place_files(tree: Tree, folder: Path) -> None:
    for section, key in FILES:
        named = tree.data[section].get(key) if isinstance(tree.data.get(section), dict) else None
        if isinstance(named, dict) and isinstance(named.get("path"), str):
            named["path"] = str(found(folder, named["path"]))
