"""Draw which operands of which degree classes give up bits while a radio takes the bandwidth, for docs/graphs.md.

Usage: python docs/examples/graph_node.py; prints the table of that page. Needs BITMIXER_DATA.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap

from hwsim import pipeline
from hwsim.records.store import RunFolder
from hwsim.report import style
from hwsim.report.panels import telemetry

FIGURE = Path(__file__).parent.parent / "images" / "graph_node.svg"
SCENARIO = "graph_node"
CONTROLLERS = {
    "static": "static, 8 bit",
    "static:bits=2": "static, 2 bit",
    "hysteresis:rungs=[8,2]": "hysteresis, 8 or 2 bit",
    "bandwidth_greedy": "`bandwidth_greedy`, 8 to 1 bit, class by class",
}
WIDTHS = (1, 2, 4, 8)
PICOSECONDS = 1e12


def main(path: Path = FIGURE, duration: str = "4 s") -> dict[str, dict[str, Any]]:
    """Draw the figure and return controller -> summary of its run."""
    with tempfile.TemporaryDirectory() as folder, style.styled():
        summaries = {}
        for at, controller in enumerate(CONTROLLERS):
            planned = pipeline.plan(SCENARIO, controller=controller, sets=[f"duration={duration}"])
            summaries[controller] = pipeline.run(planned, Path(folder) / str(at), figures=False)
        draw(path, RunFolder(Path(folder) / str(len(CONTROLLERS) - 1)))
    return summaries


def draw(path: Path, run: RunFolder) -> None:
    """Draw free bandwidth, and the bits of every operand of every site, frame by frame."""
    figure = style.titled_figure(
        "Degree classes that give up bits",
        f"{SCENARIO}, bandwidth_greedy: bits of features (or messages) and of attention (or weights), frame by frame.",
        height_inches=6.5,
    )
    grid = figure.add_gridspec(2, 1, left=0.24, right=0.9, top=0.87, bottom=0.08, hspace=0.08, height_ratios=(0.5, 4))
    free_axes = figure.add_subplot(grid[0])
    time, free = telemetry(run, "free_bandwidth_share")
    free_axes.fill_between(time, 100 * free, step="pre", color=style.SKY, alpha=0.5, linewidth=0)
    free_axes.set(ylim=(0, 105), ylabel="bandwidth\nfree (%)")
    axes = figure.add_subplot(grid[1], sharex=free_axes)
    names, begins, bits = operand_bits(run)
    shades = ListedColormap([style.VERMILION, style.ORANGE, style.SKY, "#eeeeee"])
    edges = np.append(begins, begins[-1] + (begins[-1] - begins[-2]))
    axes.pcolormesh(edges, np.arange(len(names) + 1), bits, cmap=shades, norm=BoundaryNorm([0, 1.5, 3, 6, 9], 4))
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=6)
    axes.invert_yaxis()
    axes.set_xlabel("time since the start of the run (s)")
    free_axes.tick_params(labelbottom=False)
    for at, width in enumerate(WIDTHS):
        axes.text(1.01, 0.1 + 0.06 * at, f"{width} bit", transform=axes.transAxes, fontsize=8,
                  bbox={"facecolor": shades(at), "edgecolor": "none", "pad": 2})  # fmt: skip
    style.save(figure, path)


def operand_bits(run: RunFolder) -> tuple[list[str], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return names of operands, when each frame began, and [operand, frame] bits."""
    rows = run.table("layers", ["frame", "layer", "start_picoseconds", "weight_bits", "activation_bits"]).to_pylist()
    frames = sorted({row["frame"] for row in rows})
    sites = list(dict.fromkeys(row["layer"] for row in rows))
    operands = {"weight_bits": ("attention", "weights"), "activation_bits": ("messages", "features")}
    names = [
        f"{site.replace('.', ' ').replace('/', ' ')}: {kind['combination' in site]}"
        for site in sites for kind in operands.values()
    ]  # fmt: skip
    bits, begins = np.zeros((len(names), len(frames))), np.full(len(frames), np.inf)
    for row in rows:
        frame, site = frames.index(row["frame"]), sites.index(row["layer"])
        begins[frame] = min(begins[frame], row["start_picoseconds"] / PICOSECONDS)
        for at, operand in enumerate(operands):
            bits[len(operands) * site + at, frame] = row[operand]
    return names, begins, bits


if __name__ == "__main__":
    for controller, found in main().items():
        print(
            f"| {CONTROLLERS[controller]} | {found['accuracy']:.1%} | {found['deadline_miss_rate']:.1%} "
            f"| {found['correct_on_time_rate']:.1%} | {found['energy_joules']:.1f} J |".replace("%", " %")
        )
