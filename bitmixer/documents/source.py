"""Documents in YAML 1.2: read without executing anything, checked, and every error placed in its line."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarbool import ScalarBoolean

from bitmixer.documents.section import KeyPath, Problem, problems_of, shown
from bitmixer.errors import DocumentError, did_you_mean

Document = TypeVar("Document", bound=BaseModel)

_LONGEST_TEXT = 1_000_000


@dataclass(frozen=True, slots=True)
class Override:
    """A value that replaces one in a document.

    Attributes:
        path: Dotted path, for example ``streams.0.deadline``.
        value: Its new value, as YAML gives it.
        place: Where the user wrote it, for error messages.
    """

    path: str
    value: object
    place: str


@dataclass(slots=True)
class Tree:
    """The plain data of a document (dict, list and scalars), and where each part was written.

    Attributes:
        data: The top-level value.
        places: Path -> ``file:line:column`` of a value.
        key_places: Path -> the same of its key.
        created: Paths that only an override brought in, with the keys that stood beside them.
    """

    data: Any = None
    places: dict[KeyPath, str] = field(default_factory=dict)
    key_places: dict[KeyPath, str] = field(default_factory=dict)
    created: dict[KeyPath, tuple[str, ...]] = field(default_factory=dict)

    def place(self, path: KeyPath, *, of_key: bool = False) -> str:
        """Return where the value at ``path`` (or its key) was written, or else the nearest part around it."""
        places = self.key_places if of_key else self.places
        return places.get(path) or self.place(path[:-1])


def load_document(path: Path, model: type[Document], overrides: Sequence[Override] = ()) -> Document:
    """Read a YAML file, replace what ``overrides`` says, and validate it.

    Raises:
        DocumentError: Unreadable, not YAML, or wrong in what it says; one line per problem, each
            ``file:line:column: path.to.key: what is wrong, what was expected, how to mend it``.
    """
    tree = read_tree(path)
    for override in overrides:
        replace(tree, override)
    return validate(tree, model)


def read_tree(path: Path) -> Tree:
    """Read a YAML file whose top level is a mapping.

    Raises:
        DocumentError: It cannot be read, is not YAML 1.2, or its top level is no mapping.
    """
    tree = parse(read_text(path), str(path))
    if not isinstance(tree.data, dict):
        found = "is empty" if tree.data is None else "holds no mapping at its top level"
        raise DocumentError(f"{path}:1:1: {found}: expected 'key: value' lines, beginning with 'schema_version: 1'")
    return tree


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        DocumentError: It cannot be read, or is no UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DocumentError(f"{path}: no such file; {nearest_files(path)}") from None
    except IsADirectoryError:
        raise DocumentError(f"{path}: is a directory: give a file") from None
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path}: byte {error.start} is not UTF-8: save it as a UTF-8 text") from None
    except OSError as error:
        raise DocumentError(f"{path}: cannot be read: {error.strerror}") from None


def parse(text: str, origin: str) -> Tree:
    """Return the plain data of a YAML text.

    Raises:
        DocumentError: Not YAML 1.2, or more than documents use (tags, dates, NaN, keys of numbers).
    """
    return copy.deepcopy(_parsed(text, origin))  # the caller may change what it gets


@lru_cache(maxsize=64)  # the runs of a sweep have their documents in common, and parsing is most of planning a run
def _parsed(text: str, origin: str) -> Tree:
    if len(text) > _LONGEST_TEXT:
        raise DocumentError(f"{origin}: longer than {_LONGEST_TEXT} characters: not a configuration file")
    tree = Tree()
    try:
        tree.data = _plain(YAML(typ="rt").load(StringIO(text)), (), f"{origin}:1:1", origin, tree)
    except DuplicateKeyError as error:
        key = str(error.problem).split('"')[1]
        raise DocumentError(f"{_mark(origin, error)}: key {key!r} is given twice: keep one") from None
    except MarkedYAMLError as error:
        raise DocumentError(f"{_mark(origin, error)}: not valid YAML: {error.problem}") from None
    except YAMLError as error:
        raise DocumentError(f"{origin}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise DocumentError(f"{origin}: nested too deeply, or an alias that holds itself: write it out") from None
    return tree


def written(data: object) -> str:
    """Return plain data as a YAML text that ``parse`` reads as the same data."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.allow_unicode = False, 120, True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = StringIO()
    yaml.dump(data, text)
    return text.getvalue()


def replace(tree: Tree, override: Override) -> None:
    """Put an override's value into ``tree``; keys on the way that do not exist are created.

    Raises:
        DocumentError: The path leads through a value that has no parts, or past a list's end.
    """
    node: Any = tree.data
    path: KeyPath = ()
    *way, last = override.path.split(".")
    for step in way:
        key = _key(node, step, path, override)
        path = (*path, key)
        if isinstance(node, dict) and key not in node:
            tree.created[path] = tuple(node)
            tree.places[path] = tree.key_places[path] = override.place
            node[key] = {}
        node = node[key]
    key = _key(node, last, path, override)
    node[key] = override.value
    path = (*path, key)
    for places in (tree.places, tree.key_places):
        for stale in [known for known in places if known[: len(path)] == path]:
            del places[stale]
        places[path] = override.place


def validate(tree: Tree, model: type[Document]) -> Document:
    """Return the document that ``tree`` holds.

    Raises:
        DocumentError: One line per problem, in the order of the file.
    """
    try:
        return model.model_validate(tree.data)
    except ValidationError as error:
        order = {place: position for position, place in enumerate(tree.places.values())}
        problems = sorted(problems_of(error), key=lambda problem: order[tree.place(_existing(tree, problem))])
        raise DocumentError("\n".join(_line(tree, problem) for problem in problems)) from None


def _line(tree: Tree, problem: Problem) -> str:
    path = _existing(tree, problem)
    sentence = problem.sentence
    for created, siblings in tree.created.items():
        if path[: len(created)] == created and not problem.about_key:
            name = str(created[-1])
            sentence = f"{name!r} is not in the file ({did_you_mean(name, siblings)}), and by itself: {sentence}"
    named = (*path, problem.path[-1]) if problem.is_missing else path
    dotted = ".".join(map(str, named))
    return ": ".join(part for part in (tree.place(path, of_key=problem.about_key), dotted, sentence) if part)


def _existing(tree: Tree, problem: Problem) -> KeyPath:
    """Return the path without the union tags that pydantic mixes in, and without a key that is missing."""
    node: Any = tree.data
    path: KeyPath = ()
    for key in problem.path:
        parts = dict(enumerate(node)) if isinstance(node, list) else node
        if isinstance(parts, dict) and key in parts:
            node, path = parts[key], (*path, key)
    return path


def _key(node: object, step: str, path: KeyPath, override: Override) -> str | int:
    where = ".".join(map(str, path)) or "the document"
    if isinstance(node, dict):
        return step
    if not isinstance(node, list):
        raise DocumentError(f"{override.place}: {where} is {shown(node)} and has no {step!r}: end the path there")
    if not step.isdecimal() or int(step) >= len(node):
        positions = ("nothing", "position 0")[len(node)] if len(node) < 2 else f"a position from 0 to {len(node) - 1}"
        raise DocumentError(f"{override.place}: {where} is a list of {len(node)}: expected {positions}, got {step!r}")
    return int(step)


def _plain(node: Any, path: KeyPath, place: str, origin: str, tree: Tree) -> Any:
    """Return ``node`` as dict, list and scalars, and note where each part stands."""
    tree.places[path] = place
    where = ": ".join(filter(None, (place, ".".join(map(str, path)))))
    if getattr(getattr(node, "tag", None), "value", None):
        raise DocumentError(f"{where}: tags such as {node.tag.value} are not read: write the plain value")
    if isinstance(node, CommentedMap):
        return {key: _item(node, key, path, origin, tree) for key in node}
    if isinstance(node, CommentedSeq):
        places = (_at(origin, node.lc.item(position)) for position in range(len(node)))
        return [
            _plain(item, (*path, position), item_place, origin, tree)
            for position, (item, item_place) in enumerate(zip(node, places, strict=True))
        ]
    return _scalar(node, where)


def _scalar(node: object, where: str) -> bool | int | float | str | None:
    """Return a scalar without what the parser adds for writing it back."""
    if node is None:
        return None
    if isinstance(node, bool | ScalarBoolean):
        return bool(node)
    for kind in (int, float, str):
        if isinstance(node, kind) and math.isfinite(node if isinstance(node, float) else 0):
            return kind(node)
    if isinstance(node, float):
        raise DocumentError(f"{where}: {float(node)} is not a finite number: write one")
    raise DocumentError(f"{where}: {type(node).__name__} values are not read: put it in quotes")


def _item(node: CommentedMap, key: object, path: KeyPath, origin: str, tree: Tree) -> Any:
    place = tree.places[path]
    merged = key not in (node.lc.data or {})
    key_place = place if merged else _at(origin, node.lc.key(key))
    if not isinstance(key, str):
        raise DocumentError(f"{key_place}: key {key!r} is not a text: put it in quotes")
    tree.key_places[(*path, key)] = key_place
    return _plain(node[key], (*path, key), place if merged else _at(origin, node.lc.value(key)), origin, tree)


def _at(origin: str, position: tuple[int, int]) -> str:
    return f"{origin}:{position[0] + 1}:{position[1] + 1}"


def _mark(origin: str, error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return _at(origin, (mark.line, mark.column)) if mark else origin


def nearest_files(path: Path) -> str:
    """Return a hint about the files of its kind where a missing one was looked for; YAML files, if it names no kind."""
    if not path.parent.is_dir():
        return f"there is no directory {path.parent} either"
    kinds = {path.suffix} if path.suffix not in ("", ".yaml", ".yml") else {".yaml", ".yml"}
    names = [file.name for file in path.parent.iterdir() if file.suffix in kinds]
    return did_you_mean(path.name, names) if names else f"its folder has no {' or '.join(sorted(kinds))} file"
