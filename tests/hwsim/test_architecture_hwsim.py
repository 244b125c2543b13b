"""Who may import whom within hwsim, and what starts without torch, matplotlib or pandas."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hwsim

PACKAGE = Path(hwsim.__file__).parent
HEAVY = "torch", "matplotlib", "pandas"
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(file: Path, *, at_run_time: bool = True) -> Iterator[str]:
    """Yield the modules that a file imports, within functions too; not what only type checkers see."""
    pending: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and at_run_time:
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        pending.extend(ast.iter_child_nodes(node))


def importers(*prefixes: str) -> set[str]:
    """Return the files that import one of these modules or a part of it."""
    return {
        file.relative_to(PACKAGE).as_posix()
        for file in FILES
        for name in imports(file)
        if any(f"{name}.".startswith(f"{prefix}.") for prefix in prefixes)
    }


def test_only_outputs_runs_networks() -> None:
    assert importers("torch", "bitmixer.execution", "bitmixer.network", "bitmixer.layers") == {"outputs.py"}
    graphs = [f"bitmixer.graphs.{name}" for name in ("checkpoint", "network", "networks", "queries", "topology")]
    assert importers(*graphs) == {"loading.py"}


def test_only_the_simulation_knows_simpy() -> None:
    found = importers("simpy")
    assert "simulation/simulator.py" in found
    assert all(name.startswith("simulation/") for name in found)


def test_only_the_report_draws() -> None:
    found = importers("matplotlib")
    assert found
    assert all(name.startswith("report/") for name in found)


def test_only_circuits_know_amaranth() -> None:
    found = importers("amaranth")
    assert "rtl/dot_product.py" in found
    assert all(name.startswith("rtl/") for name in found)
    assert {name for name in importers("hwsim.rtl") if not name.startswith("rtl/")} == {"commands/area.py"}


def test_only_the_environment_knows_gymnasium() -> None:
    assert importers("gymnasium", "stable_baselines3") == {"gym.py"}
    assert importers("hwsim.gym") == set()


def test_circuits_know_nothing_of_runs() -> None:
    users = importers("hwsim.simulation", "hwsim.plant", "hwsim.controllers", "hwsim.config", "hwsim.pipeline")
    assert not [name for name in users if name.startswith("rtl/")]


def test_controllers_cannot_reach_simulation_or_plant() -> None:
    # But for the laws by which devices throttle: pure arithmetic, which some rules follow, too.
    plant = [f"hwsim.plant.{file.stem}" for file in (PACKAGE / "plant").iterdir() if file.stem != "throttling"]
    forbidden = importers("hwsim.simulation", *plant, "hwsim.device", "hwsim.records")
    assert {"pipeline.py", "device.py"} <= forbidden
    assert not [name for name in forbidden if name.startswith("controllers/")]


def test_plant_and_cost_do_not_know_who_uses_them() -> None:
    users = importers("hwsim.simulation", "hwsim.controllers", "hwsim.records", "hwsim.pipeline")
    assert not [name for name in users if name.startswith(("plant/", "cost/", "config/"))]


def loaded_by(code: str, *modules: str) -> set[str]:
    """Return which modules are loaded after some code has run in a new interpreter."""
    told = f"import sys\n{code}\nprint('loaded', *sorted(set({modules!r}) & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    first, *names = done.stderr.splitlines()[-1].split()
    assert first == "loaded"
    return set(names)


def command(*arguments: str) -> str:
    return (
        f"sys.argv = ['hwsim', *{arguments!r}]\nfrom hwsim.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code, done.code"
    )


def test_the_package_itself_loads_next_to_nothing() -> None:
    assert loaded_by("import hwsim", *HEAVY, "numpy", "scipy", "pyarrow", "pydantic", "simpy") == set()


def test_help_needs_none_of_the_libraries() -> None:
    assert loaded_by(command("--help"), *HEAVY, "scipy", "pyarrow", "pydantic", "simpy", "ruamel.yaml") == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", "bismo_pynq_z1"),
        ("cost", "--network", "resnet8_digits"),
        ("cost", "--network", "resnet18", "--bits", "4"),
        ("profiles",),
        ("profiles", "show", "bismo_pynq_z1"),
        ("controllers",),
        ("schema", "scenario"),
    ],
    ids=" ".join,
)
def test_what_runs_no_network_needs_none(arguments: tuple[str, ...]) -> None:
    assert loaded_by(command(*arguments), *HEAVY) == set()


def test_a_scenario_is_validated_without_running_anything(bursty: str) -> None:
    assert loaded_by(command("validate", bursty), *HEAVY) == set()


def test_a_run_without_outputs_and_figures_needs_no_network(bursty: str, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\nfrom hwsim import pipeline\n"
        f"pipeline.run(pipeline.plan({bursty!r}), Path({str(tmp_path / 'run')!r}), figures=False)"
    )
    assert loaded_by(code, "torch", "matplotlib") == set()
