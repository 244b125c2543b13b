"""Bits and temperature over time of many controllers: a small pair of axes each, all to one scale."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.ticker import MaxNLocator

from hwsim.records.store import RunFolder
from hwsim.report.panels import draw_bits, telemetry
from hwsim.report.style import BLUE, ORANGE, titled_figure, told

COLUMNS = 4
CELL_INCHES = 1.85
HEAD_INCHES, FOOT_INCHES = 0.75, 0.5


def draw_small_multiples(runs: Mapping[str, RunFolder]) -> Figure:
    """Return die temperature with the trips above weight bits, a dot for each frame, of one run of each controller."""
    columns = min(COLUMNS, len(runs))
    rows = ceil(len(runs) / columns)
    seed = next(iter(runs.values())).manifest["seed"]
    height = HEAD_INCHES + FOOT_INCHES + CELL_INCHES * rows
    figure = titled_figure(
        "Temperature of the die, and bits",
        f"One run of each, under the same arrivals and weather (seed {seed}). Dashed: trips of the throttle",
        height_inches=height,
    )
    grid = figure.add_gridspec(
        rows, columns, left=0.065, right=0.985, top=1 - HEAD_INCHES / height, bottom=FOOT_INCHES / height, hspace=0.35,
        wspace=0.1,
    )  # fmt: skip
    first: tuple[Axes, Axes] | None = None
    for place, (label, run) in enumerate(runs.items()):
        row, column = divmod(place, columns)
        inner = GridSpecFromSubplotSpec(2, 1, grid[row, column], hspace=0.12)
        hot = figure.add_subplot(inner[0], sharex=first and first[0], sharey=first and first[0])
        bits = figure.add_subplot(inner[1], sharex=hot, sharey=first and first[1])
        first = first or (hot, bits)
        _draw_die(hot, run)
        draw_bits(bits, run)
        hot.set_title(told(label), fontsize=8.5, fontweight="bold")
        hot.tick_params(labelbottom=False, labelleft=column == 0, labelsize=7)
        bits.tick_params(labelbottom=place + columns >= len(runs), labelleft=column == 0, labelsize=7)
        hot.set_ylabel("°C" if column == 0 else "", fontsize=8)
        bits.set_ylabel("bits" if column == 0 else "", fontsize=8)
    if first is not None:
        first[0].set_xlim(0, max(run.summary["simulated_seconds"] for run in runs.values()))
        first[0].xaxis.set_major_locator(MaxNLocator(nbins=3, prune="upper"))
        first[1].yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    figure.supxlabel("time since the start of the run (s)", fontsize=8.5)
    return figure


def _draw_die(axes: Axes, run: RunFolder) -> None:
    limits = run.manifest["limits"]
    time, die = telemetry(run, f"{limits['sensor_node']}_celsius")
    axes.plot(time, die, color=BLUE, linewidth=1.1)
    for trip in limits["trips"]:
        axes.axhline(trip["temperature_celsius"], color=ORANGE, linewidth=0.8, linestyle="--")
