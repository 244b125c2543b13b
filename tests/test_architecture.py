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


def test_each_part_of_hwsim_knows_only_its_own_business() -> None:
    """Only outputs runs networks, only simulation knows SimPy, controllers see neither simulator nor plant."""
    users: dict[str, set[str]] = {}
    for file in (ROOT / "hwsim").rglob("*.py"):
        for name in imported_modules(file):
            users.setdefault(name, set()).add(file.relative_to(ROOT / "hwsim").as_posix())
    assert {file for name, files in users.items() if name.split(".")[0] == "torch" for file in files} == {"outputs.py"}
    assert all(file.startswith("simulation/") for file in users["simpy"])
    for name, files in users.items():
        for file in files:
            package = file.split("/")[0]
            if name.startswith("hwsim.simulation"):
                assert package not in ("controllers", "plant", "cost", "config"), (file, name)
            if name.startswith("hwsim.plant"):
                # The laws of throttling are pure arithmetic, which some controllers follow, too.
                law = package == "controllers" and name.startswith("hwsim.plant.throttling")
                assert law or package not in ("controllers", "config", "cost"), (file, name)
            if name.startswith("hwsim.cost"):
                assert package != "plant", (file, name)
            if name.startswith("hwsim.config"):
                assert package not in ("plant", "cost", "simulation", "controllers"), (file, name)


HEAVY = "sorted({'torch', 'matplotlib', 'pandas'} & set(sys.modules))"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["validate", "thermal_throttle", "bismo_pynq_z1"],
        ["cost", "--network", "resnet18"],
        ["cost", "--network", "resnet18", "--training", "e5m2"],
        ["cost", "--array", "bitfusion", "--network", "resnet18"],
        ["profiles", "show", "bismo_pynq_z1"],
        ["controllers"],
    ],
)
def test_commands_that_run_no_network_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['hwsim', *{arguments!r}]\n"
        "from hwsim.cli import main\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert not left.code, left.code\n"
        f"print({HEAVY})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_run_without_outputs_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom hwsim import pipeline\n"
        "planned = pipeline.plan('thermal_throttle', sets=['duration=1 s', 'outputs=none'])\n"
        f"pipeline.run(planned, Path({str(tmp_path / 'out')!r}), figures=False)\n"
        "print(sorted({'torch', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "module",
    [
        "hwsim",
        "bitmixer",
        "bitmixer.bitwidths",
        "bitmixer.graph",
        "bitmixer.errors",
        "bitmixer.networks",
        "bitmixer.operands",
        "bitmixer.data",
        "bitmixer.training.recipe",
        "bitmixer.cli",
        "hwsim.cost.arrays.valued",
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
