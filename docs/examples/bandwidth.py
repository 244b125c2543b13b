"""Draw what happens to pages while a camera crowds the DRAM, for docs/bandwidth.md.

Usage: python docs/examples/bandwidth.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from hwsim import pipeline
from hwsim.metrics import PICOSECONDS_PER_SECOND
from hwsim.records.store import RunFolder, numbers
from hwsim.report import style
from hwsim.report.panels import telemetry
from hwsim.report.style import Label

FIGURE = Path(__file__).parent.parent / "images" / "bandwidth_contention.svg"
SCENARIO = "bandwidth_contention"
CONTROLLERS = {
    "static": ("static 8 bit", style.VERMILION),
    "static:bits=2": ("static 2 bit", style.GREEN),
    "hysteresis": ("hysteresis", style.BLUE),
}
SHOWN = (0.6, 1.6)
"""Seconds."""


def main(path: Path = FIGURE, duration: str = "4 s") -> dict[str, dict[str, Any]]:
    """Draw the figure and return controller -> summary of its run."""
    with tempfile.TemporaryDirectory() as folder, style.styled():
        summaries = {}
        runs = {}
        for controller in CONTROLLERS:
            planned = pipeline.plan(SCENARIO, controller=controller, sets=[f"duration={duration}"])
            place = Path(folder) / controller.replace(":", "-")
            summaries[controller] = pipeline.run(planned, place, figures=False)
            runs[controller] = RunFolder(place)
        draw(path, runs)
    return summaries


def draw(path: Path, runs: dict[str, RunFolder]) -> None:
    """Draw free bandwidth, time in the system and bits over the time that is shown."""
    figure = style.titled_figure(
        "Pages that share the DRAM with a camera",
        f"{SCENARIO}, one second of it: at 8 bits pages are late while the camera stores; fewer bits move less.",
        height_inches=5.0,
    )
    grid = figure.add_gridspec(
        3, 1, left=0.085, right=0.845, top=0.865, bottom=0.1, hspace=0.18, height_ratios=(0.7, 1.6, 1)
    )
    rows: list[Axes] = []
    for place, panel in enumerate((draw_free, draw_latency, draw_bits)):
        axes = figure.add_subplot(grid[place], sharex=rows[0] if rows else None)
        labels = panel(axes, runs)
        style.label_right(axes, labels)
        axes.tick_params(labelbottom=place == 2)
        rows.append(axes)
    rows[-1].set_xlim(*SHOWN)
    rows[-1].set_xlabel("time since the start of the run (s)")
    figure.align_ylabels(rows)
    style.save(figure, path)


def draw_free(axes: Axes, runs: dict[str, RunFolder]) -> list[Label]:
    """Draw the share of the bandwidth that the camera leaves."""
    time, free = telemetry(runs["static"], "free_bandwidth_share")
    axes.fill_between(time, 100 * free, step="pre", color=style.SKY, alpha=0.5, linewidth=0)
    axes.set_ylim(0, 105)
    axes.set_ylabel("bandwidth\nfree (%)")
    return [Label(50, "left by the camera", style.SKY)]


def draw_latency(axes: Axes, runs: dict[str, RunFolder]) -> list[Label]:
    """Draw the time from each page's arrival to its end; crosses are dropped ones."""
    names = ["status", "arrival_picoseconds", "finish_picoseconds", "deadline_picoseconds"]
    for controller, (_, colour) in CONTROLLERS.items():
        table = runs[controller].table("frames", names)
        status, arrival, finish, deadline = (numbers(table.column(name)) for name in names)
        seconds, taken = arrival / PICOSECONDS_PER_SECOND, (finish - arrival) * 1e3 / PICOSECONDS_PER_SECOND
        shown = (seconds >= SHOWN[0]) & (seconds <= SHOWN[1])
        done = shown & ((status == "on_time") | (status == "late"))
        lost = shown & ~done
        axes.plot(seconds[done], taken[done], "o", markersize=2.2, color=colour, markeredgewidth=0)
        axes.plot(seconds[lost], taken[lost], "x", markersize=4, color=colour)
    due = float((deadline - arrival)[0]) * 1e3 / PICOSECONDS_PER_SECOND
    axes.axhline(due, color=style.INK, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("time in the\nsystem (ms)")
    labels = [Label(due * share, *CONTROLLERS[name]) for share, name in zip((1.35, 0.2, 0.5), CONTROLLERS, strict=True)]
    return [*labels, Label(due, "deadline", style.INK)]


def draw_bits(axes: Axes, runs: dict[str, RunFolder]) -> list[Label]:
    """Draw the weight bits that each controller wants."""
    for controller, (_, colour) in CONTROLLERS.items():
        time, wanted = telemetry(runs[controller], "wanted_weight_bits")
        axes.plot(time, wanted, color=colour, linewidth=1.2, drawstyle="steps-post")
    axes.set_ylim(0, 8.8)
    axes.set_ylabel("weight bits\nwanted")
    return [Label(bits, *CONTROLLERS[name]) for bits, name in zip((8, 2, 5), CONTROLLERS, strict=True)]


if __name__ == "__main__":
    for controller, summary in main().items():
        rates = {name: round(summary[name], 4) for name in ("accuracy", "deadline_miss_rate", "correct_on_time_rate")}
        print(controller, rates, f"{1e6 * summary['energy_per_input_joules']:.1f} uJ per input")
