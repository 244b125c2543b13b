"""Draw the two runs of docs/battery.md.

Usage:
    python -m hwsim run brown_out --set outputs=none --out runs/eight
    python -m hwsim run brown_out --controller static:bits=2 --set outputs=none --out runs/two
    python docs/examples/battery.py runs/eight runs/two   # writes docs/images/battery.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure

from hwsim.records.store import RunFolder
from hwsim.report.panels import draw_battery
from hwsim.report.style import label_right, save, styled, titled_figure

FIGURE = Path(__file__).parent.parent / "images" / "battery.svg"


def main() -> None:
    with styled():
        save(draw([RunFolder(Path(folder)) for folder in sys.argv[1:]]), FIGURE)


def draw(runs: list[RunFolder]) -> Figure:
    """Return one panel per run: its battery over time."""
    figure = titled_figure(
        "The same battery at 8 and at 2 bits",
        "Scenario brown_out: shaded, the device is cut off; between 60 s and 120 s a cloud is over its panel.",
        height_inches=1.0 + 1.9 * len(runs),
    )
    grid = figure.add_gridspec(len(runs), 1, left=0.085, right=0.825, top=0.8, bottom=0.11, hspace=0.35)
    for place, run in enumerate(runs):
        axes = figure.add_subplot(grid[place], sharex=figure.axes[0] if place else None)
        label_right(axes, draw_battery(axes, run))
        axes.set_title(f"static, {run.summary['mean_weight_bits']:.2g} bits", fontsize=9.5, loc="left")
    figure.axes[-1].set_xlabel("time since the start of the run (s)")
    figure.axes[-1].set_xlim(0, runs[0].summary["simulated_seconds"])
    return figure


if __name__ == "__main__":
    main()
