"""Collects what docs/results/validation.md says of how far the models are to be believed, and writes that page.

Usage, with HWSIM_REFERENCE set (a minute):
    python docs/results/validation.py measure   # prices, heats and runs; writes validation.json
    python docs/results/validation.py page      # writes validation.md from it and from other pages' twins
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

HERE = Path(__file__).parent
TWIN, PAGE = HERE / "validation.json", HERE / "validation.md"
SHARED = HERE.parents[2] / "shared" / "reference"

SIMULATORS = {
    "scalesim": ("SCALE-Sim, weight stationary", "scalesim-project/SCALE-Sim@1d62b68"),
    "stripes": ("Stripes", "isakedo/DNNsim@4748a60"),
    "loom": ("Loom, bound", "law of isakedo/DNNsim@4748a60"),
    "pragmatic": ("Bit-Pragmatic, bound", "law of isakedo/DNNsim@4748a60"),
    "bitfusion": ("BitFusion", "hsharma35/bitfusion@04ec1c8"),
}
"""First word of a table's name -> what it is of, and the simulator that made it (bounds: its law at the declared bits)."""
THERMAL_CASES = ("two_blocks", "npu6")
RUNS: dict[str, tuple[str, ...]] = {
    "thermal_throttle": ("duration=20 s",),
    "two_streams": ("duration=5 s",),
    "bandwidth_contention": ("duration=1 s",),
    "brown_out": ("duration=20 s",),
    "field_adaptation": ("duration=5 s",),
}
"""Scenario -> how it is shortened."""


def measure() -> None:
    """Hold the models against references, and runs against their own ledgers and records."""
    from hwsim import provenance

    reference = Path(os.environ.get("HWSIM_REFERENCE") or SHARED)
    versions = ", ".join(map(" ".join, provenance.versions().items()))
    found = {
        "command": "python docs/results/validation.py measure", "seed": 1,
        "machine": f"{platform.machine()}, CPU, {versions}",
        "cycles": {file.stem: cycles(file) for file in sorted((reference / "cycles").glob("*.json"))},
        "heat": {case: heat(reference / "hotspot" / case) for case in THERMAL_CASES},
        "runs": {name: ran(name, sets) for name, sets in RUNS.items()},
    }  # fmt: skip
    TWIN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def cycles(described: Path) -> dict[str, Any]:
    """Price the layers of another simulator's table, and compare column by column."""
    from typer.testing import CliRunner

    from hwsim.cli import app

    asked = json.loads(described.read_text(encoding="utf-8"))
    table = described.parent / asked["table"]
    answer = CliRunner().invoke(app, ["cost", "--array", asked["array"], *asked["options"], "--layers", str(table)])
    ours = list(csv.DictReader(io.StringIO(answer.stdout)))
    theirs = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    pairs = {
        name: [(int(own[name]), int(other[column])) for own, other in zip(ours, theirs, strict=True)]
        for name, column in asked["columns"].items()
    }
    return {
        "layers": len(theirs),
        "columns": {
            name: {
                "largest_difference": max(abs(own - other) for own, other in both),
                "ours": sum(own for own, _ in both), "theirs": sum(other for _, other in both),
            }
            for name, both in pairs.items()
        },
    }  # fmt: skip


def heat(case: Path) -> dict[str, Any]:
    """Compute a case of HotSpot's, and compare temperatures."""
    import numpy as np

    from hwsim.hotspot.temperatures import temperatures_csv

    files = case / "chip.flp", case / "hotspot.config", case / "power.ptrace"
    header, *rows = temperatures_csv(*files, steady=False, all_nodes=False).splitlines()
    transient = np.array([[float(value) for value in row.split(",")] for row in rows])
    expected = np.loadtxt(case / "transient.txt", skiprows=1, ndmin=2)
    steady = temperatures_csv(*files, steady=True, all_nodes=True).splitlines()[1]
    settled = [float(line.split()[1]) for line in (case / "steady.txt").read_text().splitlines() if line.strip()]
    return {
        "blocks": len(header.split(",")), "nodes": len(settled), "intervals": len(transient),
        "transient_kelvin": float(np.abs(transient - expected).max()),
        "steady_kelvin": float(np.abs(np.array(steady.split(","), float) - np.array(settled)).max()),
    }  # fmt: skip


def ran(scenario: str, sets: tuple[str, ...]) -> dict[str, Any]:
    """Run a scenario; tell how far its ledgers are apart, and whether its answers come out of its records again."""
    from hwsim import pipeline
    from hwsim.replay import replay

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        summary = pipeline.run(pipeline.plan(scenario, seed=1, sets=sets), run, figures=False)
        again = replay(run)
    ledgers = summary["energy_ledgers"]
    plant = ledgers["plant_joules"]
    return {
        "sets": list(sets), "ledgers": len(ledgers), "joules": plant,
        "relative_difference": max(abs(joules - plant) for joules in ledgers.values()) / plant,
        "inputs": again.inputs, "mixed_frames": again.mixed_frames, "frames_that_differ": len(again.differing),
    }  # fmt: skip


def page() -> None:
    """Write the page."""
    found = json.loads(TWIN.read_text(encoding="utf-8"))
    parts = [
        _head(found),
        _cycles(found["cycles"]),
        _heat(found["heat"]),
        _devices(),
        _networks(),
        _runs(found["runs"]),
    ]
    PAGE.write_text("\n\n".join([*parts, TESTED]) + "\n", encoding="utf-8")


def _head(found: dict[str, Any]) -> str:
    return (
        "# Validation\n\n"
        "Every figure that says how close a model comes to something outside of this project, in one place. Written by `validation.py` from its "
        f"twin `validation.json` and from the twins of other pages; nothing is typed by hand. `{found['command']}`, seed {found['seed']}; "
        f"machine: {found['machine']}."
    )


def _cycles(tables: dict[str, Any]) -> str:
    rows = []
    for name, table in tables.items():
        what, source = SIMULATORS[name.partition("_")[0]]
        last = name.rpartition("_")[2]
        bits = last if last.startswith("a") else ""
        for column, found in table["columns"].items():
            rows.append([
                f"{what} {bits}".strip(), source, f"`{column}`", str(table["layers"]), f"{found['theirs']:,}", f"{found['ours']:,}",
                f"{found['largest_difference']:,}",
            ])  # fmt: skip
    return (
        "## Arrays against other simulators\n\n"
        "ResNet-18, layer by layer: sums over all layers, and the largest difference of any one of them. Where cycles depend on values, what is "
        "compared is the bound that holds for all values; the very cycles are compared in a test (below).\n\n"
        + _table(["array", "simulator", "column", "layers", "theirs", "ours", "largest difference"], rows)
    )


def _heat(cases: dict[str, Any]) -> str:
    rows = [
        [f"`{name}`", str(case["blocks"]), str(case["nodes"]), str(case["intervals"]), _kelvin(case["transient_kelvin"]),
         _kelvin(case["steady_kelvin"])]
        for name, case in cases.items()
    ]  # fmt: skip
    return (
        "## Heat against HotSpot 7\n\n"
        "Largest difference over all blocks and rows. HotSpot (uvahotspot/HotSpot@f18831e, block model) ran with its integrator's tolerance "
        "tightened to 1e-8; what is left of the transients is that integrator's ([thermal.md](../thermal.md#how-close-how-fast)).\n\n"
        + _table(["case", "blocks", "nodes", "intervals", "transient", "steady state"], rows)
    )


def _kelvin(difference: float) -> str:
    return f"{difference:.1e} K" if difference else "0"


def _devices() -> str:
    import devices_page

    rows = devices_page.rows(json.loads((HERE / "devices.json").read_text(encoding="utf-8")))
    made = [row for row in rows if "by construction" in row[-1]]
    others = [row for row in rows if row not in made]
    return (
        "## Devices against what is published\n\n"
        f"Ratio of a profile's figure to the published one. {len(made)} more figures are met because the profile was made from them; "
        "they, and the reasons for what is missed, are in [devices.md](devices.md).\n\n"
        + _table(["device", "what", "published", "profile", "ratio"], [[*row[:3], *row[4:6]] for row in others])
    )


def _networks() -> str:
    from sgquant_page import PUBLISHED, float_accuracies

    found = json.loads((HERE / "sgquant.json").read_text(encoding="utf-8"))
    rows = []
    for (network, data), published in PUBLISHED.items():
        runs = float_accuracies(found, network, data)
        ours = f"{100 * sum(runs) / len(runs):.2f}" if runs else "not run"
        rows.append([f"{network}, {data}", f"{100 * published:.1f}", ours, str(len(runs))])
    return (
        "## Networks against their papers\n\n"
        "Test accuracy of graph networks in real numbers, in percent, mean over seeds. Other networks are trained for fewer epochs, or on other "
        "data, than their papers', so that no accuracy of theirs can be compared; what each method gains here is on its own page: "
        "[bit-mixer.md](bit-mixer.md), [bsq.md](bsq.md), [bcnn.md](bcnn.md), [fp8.md](fp8.md), [sgquant.md](sgquant.md).\n\n"
        + _table(["network", "published", "ours", "seeds"], rows)
    )


def _runs(runs: dict[str, Any]) -> str:
    rows = [
        [f"`{name}`", f"`--set {' --set '.join(run['sets'])}`", str(run["ledgers"]), f"{run['joules']:.4g} J", _apart(run["relative_difference"]),
         f"{run['inputs']:,}", str(run["mixed_frames"]), str(run["frames_that_differ"])]
        for name, run in runs.items()
    ]  # fmt: skip
    return (
        "## Runs against themselves\n\n"
        "How far a run's ledgers are apart (a run fails at 1e-9), and how many frames' answers differ when they are computed again from its records.\n\n"
        + _table(["scenario", "shortened", "ledgers", "energy", "apart", "inputs", "frames of mixed bits", "answers that differ"], rows)
    )  # fmt: skip


def _apart(share: float) -> str:
    return "0" if share == 0 else f"1e{math.ceil(math.log10(share))} or less"


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


TESTED = """## Held by tests

What is exact, or a law, has no figure: a test asserts it. (Those that need others' tables are skipped by name where these are not at hand.)

| what | test |
|---|---|
| Cycles of Loom and Bit-Pragmatic from the very values, row by row of DNNsim's tables | `tests/hwsim/test_valued_references.py` |
| BitFusion's traffic, tiles and energies, row by row of its simulator's tables | `tests/hwsim/test_array_references.py` |
| HotSpot's capacities and conductances, number by number | `tests/hwsim/test_hotspot.py` |
| Temperatures with leakage within 2 mK of `scipy`'s solution, on random networks | `tests/hwsim/test_leakage_bound.py` |
| Battery, bandwidth, idle states: laws and closed forms on random cases | `tests/hwsim/test_battery.py`, `test_bandwidth.py`, `test_idle_states.py` |
| Throttling laws: traces by hand, and second implementations from the laws' text | `tests/hwsim/throttling/` |
| The tile-by-tile simulation equals the closed form where nothing disturbs it | `tests/hwsim/test_tile_by_tile.py` |
| The array as a circuit, cycle by cycle, equals model and matrix product | `tests/hwsim/rtl/` |
| A converted network equals the module bit for bit while its quantisers are off; random networks | `tests/bitmixer/test_conversion.py`, `test_random_networks.py` |
| Bit planes, popcount and thresholds give PyTorch's accumulators | `tests/bitmixer/kernels/` |
| ONNX and QONNX files compute what onnxruntime and qonnx compute | `tests/bitmixer/interchange/` |
| The same scenario and seed give the same bytes; garbled labels change no decision | `tests/hwsim/test_pipeline.py`, `test_probes.py` |"""

if __name__ == "__main__":
    {"measure": measure, "page": page}[sys.argv[1]]()
