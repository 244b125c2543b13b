"""Measure graph networks at scale and write the page: ``python docs/results/graph_scale.py measure`` (or ``page``).

Both benchmarks run as programs of their own, one at a time; keep others away: ``chrt -r 1 python ... measure``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TWIN, PAGE = HERE / "graph_scale.json", HERE / "graph_scale.md"
BENCHMARKS = HERE.parents[1] / "benchmarks"
PROGRAMS = {
    "scale": ["graph_networks.py"],
    "aggregation_64": ["aggregation.py", "--width", "64", "--rounds", "7"],
    "aggregation_256": ["aggregation.py", "--width", "256", "--rounds", "7"],
}
LIMIT_GIBIBYTES, LIMIT_SECONDS = 24, 60
SIMULATED = ("read, check and price the scenario", "simulate it, outputs included")


def measure() -> None:
    """Run the benchmarks and write the twin."""
    found: dict[str, Any] = {"command": "chrt -r 1 python docs/results/graph_scale.py measure"}
    with tempfile.TemporaryDirectory() as folder:
        for name, (program, *options) in PROGRAMS.items():
            file = Path(folder) / f"{name}.json"
            subprocess.run([sys.executable, str(BENCHMARKS / program), *options, "--json", str(file)], check=True)
            found[name] = json.loads(file.read_text(encoding="utf-8"))
    TWIN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def page() -> None:
    """Write the page from the twin."""
    found = json.loads(TWIN.read_text(encoding="utf-8"))
    PAGE.write_text("\n\n".join([_scale(found), *_aggregations(found)]) + "\n", encoding="utf-8")


def _scale(found: dict[str, Any]) -> str:
    scale = found["scale"]
    simulated = sum(scale["seconds"][part] for part in SIMULATED)
    rows = "\n".join(f"| {what} | {seconds:.2f} |" for what, seconds in scale["seconds"].items())
    run = scale["simulation"]
    peak = scale["inference_peak_gibibytes"]
    return (
        "# Graph networks at scale, measured\n\n"
        f"Written by `graph_scale.py` from its twin `graph_scale.json`. Command: `{found['command']}`. Machine: {scale['machine']}, an AMD EPYC on which others work "
        "too; a real-time priority keeps them off the core, not out of the caches.\n\n"
        f"A generated graph of {scale['nodes']:,} nodes and {scale['edges']:,} edges (both directions), 32 features; a GCN with 16 hidden features whose every operand is "
        "quantised. Untrained: what it answers takes as long to compute.\n\n"
        f"| | seconds |\n|---|--:|\n{rows}\n\n"
        f"Inference peaks at {peak:.2f} GiB, the graph and its generation included: **{_held(peak, LIMIT_GIBIBYTES, 'GiB')}**. A minute of a device that answers "
        f"queries ({run['frames_arrived']} passes, {run['inputs_completed']} queries answered, {run['bit_switches']} changes of bits, "
        f"{scale['assignments']} distinct assignments, each a pass of the real network) takes {simulated:.1f} s with its outputs and without the training, the graph being "
        f"generated again: **{_held(simulated, LIMIT_SECONDS, 's')}**. Replayed, {scale['differing_frames']} frames differ."
    )  # fmt: skip


def _held(value: float, limit: float, unit: str) -> str:
    return f"{'within' if value <= limit else 'above'} the {limit} {unit} that were allowed"


def _aggregations(found: dict[str, Any]) -> list[str]:
    parts = []
    head = (
        "## Aggregation of packed codes\n\n"
        "Compiled loops over the same edges on one thread, in turns; sums are exact 32-bit numbers, or float32. Medians, and ratios to float32. Torch's sparse "
        "product of float32 stands beside them. Fewer bits make rows shorter; what remains are the sums that are written, four bytes each at every width, and the work of taking "
        "codes out of bytes."
    )
    for name in ("aggregation_64", "aggregation_256"):
        each = found[name]
        median = {key: sorted(values)[len(values) // 2] for key, values in each["seconds"].items()}
        rows = "\n".join(
            f"| {key} | {value:.3f} | {min(each['seconds'][key]):.3f} | {median['float32'] / value:.2f}x |"
            for key, value in median.items()
        )
        parts.append(
            f"{each['nodes']:,} nodes, {each['edges']:,} edges with loops, {each['width']} features, {len(median)} ways in {len(each['seconds']['float32'])} rounds:\n\n"
            f"| operands | median, s | least, s | speed against float32 |\n|---|--:|--:|--:|\n{rows}"
        )
    return [head, *parts]


if __name__ == "__main__":
    {"measure": measure, "page": page}[sys.argv[1]]()
    if sys.argv[1] == "measure":
        page()
