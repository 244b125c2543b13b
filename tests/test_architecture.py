"""The one arrow between the packages, and what may be loaded without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def imported_modules(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.add(str(node.module))
    return found


def test_bitmixer_never_imports_hwsim() -> None:
    files = list((ROOT / "bitmixer").rglob("*.py"))
    assert len(files) > 20
    guilty = [str(file) for file in files for name in imported_modules(file) if name.split(".")[0] == "hwsim"]
    assert guilty == []


@pytest.mark.parametrize(
    "module",
    [
        "bitmixer",
        "bitmixer.bitwidths",
        "bitmixer.graph",
        "bitmixer.errors",
        "bitmixer.networks",
        "bitmixer.data",
        "bitmixer.training.recipe",
        "bitmixer.cli",
    ],
)
def test_plain_data_modules_load_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'matplotlib', 'pandas'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_public_names_are_functions_whatever_was_imported_before() -> None:
    code = (
        "import bitmixer.networks, bitmixer.conversion, bitmixer.capturing, bitmixer\n"
        "from bitmixer import capture, convert\n"
        "assert all(callable(getattr(bitmixer, name)) for name in bitmixer.__all__)\n"
        "assert bitmixer.convert is convert and bitmixer.capture is capture\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    import bitmixer

    with pytest.raises(AttributeError, match="no attribute 'konvert'"):
        bitmixer.konvert  # noqa: B018
