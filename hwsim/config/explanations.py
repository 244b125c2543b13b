"""What the fields of a document mean, as the docstrings of their sections say it."""

from __future__ import annotations

import inspect
import re

from pydantic import BaseModel

_HEADING = "Attributes:"
_ENTRY = re.compile(r"^    (\w+): +(.*)$")
_MARKUP = re.compile(r"``")


def summary(model: type[BaseModel]) -> str:
    """Return what a section's docstring says before its attributes, without markup; empty where it has none."""
    return _plain(_own_text(model).partition(_HEADING)[0].strip())


def explanations(model: type[BaseModel]) -> dict[str, str]:
    """Return what each field means, by its name; absent where no docstring of the section or its bases says it."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel):
            found.update(_entries(_own_text(each).partition(_HEADING)[2]))
    return {name: text for name, text in found.items() if name in model.model_fields}


def _own_text(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__dict__.get("__doc__") or "")


def _entries(text: str) -> dict[str, str]:
    """Return the entries below the heading: ``name: text``, further lines of the text indented deeper."""
    entries: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if match := _ENTRY.match(line):
            name = match[1]
            entries[name] = _plain(match[2])
        elif name and line.startswith("        "):
            entries[name] += f" {_plain(line.strip())}"
        elif line.strip():
            break
    return entries


def _plain(text: str) -> str:
    return _MARKUP.sub("", text)
