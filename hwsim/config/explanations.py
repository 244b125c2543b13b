"""What the fields of a document mean, as the docstrings of their sections say it."""

from __future__ import annotations

import inspect
import re

from pydantic import BaseModel

_HEADING = "Attributes:"
_ENTRY = re.compile(r"^    (\w+): +(.*)$")
_MARKUP = re.compile(r"``")


def summary(described: type) -> str:
    """Return what a class's own docstring says before its attributes, without markup; empty where it has none."""
    return _plain(_own_text(described).partition(_HEADING)[0].strip())


def attribute_texts(described: type) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say of attributes, by their names."""
    found: dict[str, str] = {}
    for each in reversed(described.__mro__):
        found.update(_entries(_own_text(each).partition(_HEADING)[2]))
    return found


def explanations(section: type[BaseModel]) -> dict[str, str]:
    """Return what each field of a section means, by its name; absent where nothing says it."""
    texts = attribute_texts(section)
    told = {name: field.description or texts.get(name) for name, field in section.model_fields.items()}
    return {name: text for name, text in told.items() if text}


def _own_text(described: type) -> str:
    return inspect.cleandoc(described.__dict__.get("__doc__") or "")


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
