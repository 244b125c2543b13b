"""Files that a scenario names: read with it, part of what identifies a run, and copied into its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from bitmixer.documents import KeyPath, Section, Text, Tree, key_of, read_text
from bitmixer.errors import DocumentError
from hwsim.config.quantity import Measured
from hwsim.config.timed_rows import read_timed_rows
from hwsim.errors import ConfigurationError

COPIES = "inputs"
"""Folder beside a run's copy of the scenario that holds the copies of such files."""


class InputFile(Section):
    """A text file of timed rows.

    Attributes:
        path: From the scenario's folder; where nothing is there, its name in ``inputs`` beside the scenario.
    """

    path: Text
    _text: str = PrivateAttr("")
    _rows: tuple[tuple[float, ...], ...] = PrivateAttr(())

    @property
    def text(self) -> str:
        """Content of the file."""
        return self._text

    @property
    def rows(self) -> tuple[tuple[float, ...], ...]:
        """Time in picoseconds, and the wanted columns, of each row."""
        return self._rows

    @property
    def content(self) -> Any:
        """What of the file the simulation uses."""
        return self.rows

    def load(self, path: Path, text: str) -> None:
        """Take the content of the file.

        Raises:
            ConfigurationError: It is wrong; says ``file:line:column``.
        """
        self._rows = read_timed_rows(text, str(path), self._columns(), ties=self._ties())
        self._text = text

    def _columns(self) -> Mapping[str, Measured]:
        return {}

    def _ties(self) -> bool:
        return True


def input_files(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, InputFile]]:
    """Yield every file that a section names, with the way to it."""
    match value:
        case InputFile():
            yield path, value
        case Section():
            for field in type(value).model_fields:
                yield from input_files(getattr(value, field), (*path, key_of(field)))
        case Mapping():
            for key, item in value.items():
                yield from input_files(item, (*path, key))
        case tuple():
            for position, item in enumerate(value):
                yield from input_files(item, (*path, position))


def load_input_files(section: Section, tree: Tree, folder: Path) -> None:
    """Read all files that a document names.

    Args:
        section: The document.
        tree: Where its parts were written.
        folder: Where relative paths start.

    Raises:
        ConfigurationError: One is missing or wrong, or two have one name.
    """
    named: dict[str, Path] = {}
    for key, file in input_files(section):
        path = found(folder, file.path)
        try:
            text = read_text(path)
            if named.setdefault(path.name, path) != path:
                raise ConfigurationError(
                    f"{path}: a run keeps copies, and {named[path.name]} has the same name: rename one"
                )
        except DocumentError as error:
            place = (*key, "path")
            raise ConfigurationError(f"{tree.place(place)}: {'.'.join(map(str, place))}: {error}") from None
        file.load(path, text)


def copies(section: Section) -> dict[str, str]:
    """Return the texts of all files that a document names, by the paths of their copies in a run's folder."""
    return {f"{COPIES}/{Path(file.path).name}": file.text for _, file in input_files(section)}


def identity(file: InputFile) -> dict[str, str]:
    """Return what of a file affects a result: its content, whatever its name, units, comments and other columns."""
    return {"kind": "file", "sha256": hashlib.sha256(json.dumps(file.content).encode()).hexdigest()}


def found(folder: Path, name: str) -> Path:
    """Return where a file lies that a document in ``folder`` names: there, or among the copies beside it."""
    path = folder / Path(name).expanduser()
    copy = folder / COPIES / path.name
    return copy if not path.exists() and copy.is_file() else path
