"""Runs the tutorials and writes each as a page with what it printed.

A tutorial is a file in the percent format: ``# %% [markdown]`` begins words, ``# %%`` code. It runs by itself, too, in
an empty folder: ``python docs/tutorials/first_run.py``.

Usage:
    python docs/tutorials/record.py [NAME ...]   # writes NAME.md beside NAME.py; all of them if none is named
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TUTORIALS = ("first_run", "train_your_own", "compare_controllers", "write_a_controller", "add_a_device", "explore")
"""In the order of reading."""
MARK = "# %%"


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a tutorial: words, or code."""

    is_code: bool
    text: str


def cells(source: str) -> Iterator[Cell]:
    """Yield the cells of a file in the percent format."""
    for part in source.split(f"\n{MARK}")[1:]:
        mark, _, body = part.partition("\n")
        if "[markdown]" in mark:
            lines = (line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines())
            yield Cell(is_code=False, text="\n".join(lines))
        else:
            yield Cell(is_code=True, text=body.strip())


def record(name: str) -> str:
    """Run a tutorial in an empty folder and return its page."""
    file = HERE / f"{name}.py"
    scope: dict[str, Any] = {"__name__": "__main__", "__file__": str(file)}
    parts = [f"<!-- Written by record.py from {file.name}; do not edit. -->"]
    with tempfile.TemporaryDirectory() as folder, _working_in(Path(folder)):
        for cell in cells(file.read_text(encoding="utf-8")):
            if not cell.is_code:
                parts.append(cell.text)
                continue
            parts.append(f"```python\n{cell.text}\n```")
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(cell.text, str(file), "exec"), scope)
            if printed.getvalue():
                parts.append(f"```text\n{printed.getvalue().rstrip()}\n```")
    parts.append(f"The whole as a file: [{file.name}]({file.name}).")
    return "\n\n".join(parts) + "\n"


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Work in a folder, and import what lies beside the tutorials."""
    before = Path.cwd()
    sys.path.insert(0, str(HERE))
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        sys.path.remove(str(HERE))


if __name__ == "__main__":
    for tutorial in sys.argv[1:] or TUTORIALS:
        (HERE / f"{tutorial}.md").write_text(record(tutorial), encoding="utf-8")
        print(tutorial)
