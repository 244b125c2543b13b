"""Draw the data flow on one page.

Usage:
    python docs/examples/data_flow.py    # writes docs/images/data_flow.svg
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from hwsim.report.style import BLUE, FAINT, GREEN, INK, ORANGE, VERMILION, save, styled, titled_figure

FIGURE = Path(__file__).parent.parent / "images" / "data_flow.svg"
WIDTH, HEIGHT = 1.36, 0.62
COLUMNS, ROWS = (0.85, 2.75, 4.65, 6.55, 8.45), (0.45, 1.65, 2.85)


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the flow: its place in the grid, its name and what it is, and the colour of its kind."""

    column: int
    row: int
    name: str
    told: str
    colour: str

    @property
    def centre(self) -> tuple[float, float]:
        """Where it is, in inches."""
        return COLUMNS[self.column], ROWS[self.row]


BOXES = {
    box.name: box
    for box in (
        Box(0, 2, "your module", "and its data", BLUE),
        Box(1, 2, "switchable network", "one set of weights", BLUE),
        Box(1, 1, "layer graph", "as hardware sees it", BLUE),
        Box(0, 0, "scenario", "arrivals, weather", ORANGE),
        Box(1, 0, "device", "array, memory, energies", ORANGE),
        Box(2, 1, "cost table", "each site at each width", ORANGE),
        Box(2, 0, "plant", "heat, clock, battery, bus", VERMILION),
        Box(3, 1, "simulation", "frames, commits, events", VERMILION),
        Box(3, 0, "controller", "sees sensors, sets bits", GREEN),
        Box(3, 2, "execution", "of the real network", BLUE),
        Box(4, 2, "records", "frames, telemetry", INK),
        Box(4, 1, "ledgers", "energies must agree", INK),
        Box(4, 0, "metrics, report", "timeline, figures", INK),
    )
}
ARROWS = (
    ("your module", "switchable network", "convert,\ntrain", "->"),
    ("switchable network", "layer graph", "capture", "->"),
    ("switchable network", "execution", "weights", "->"),
    ("layer graph", "cost table", "", "->"),
    ("scenario", "device", "profile", "->"),
    ("device", "cost table", "", "->"),
    ("device", "plant", "", "->"),
    ("cost table", "simulation", "", "->"),
    ("plant", "simulation", "", "<->"),
    ("simulation", "controller", "observation,\ndecision", "<->"),
    ("simulation", "execution", "realised\nassignments", "->"),
    ("simulation", "records", "", "->"),
    ("execution", "records", "answers", "->"),
    ("records", "ledgers", "", "->"),
    ("ledgers", "metrics, report", "", "->"),
)
"""From, to, what goes there, and the heads."""


def main(file: Path = FIGURE) -> Path:
    """Draw the figure and return its file."""
    with styled():
        figure = titled_figure(
            "The data flow", "Bits are decided in the simulation; answers are computed under the bits that it used.",
            height_inches=4.1,
        )  # fmt: skip
        axes = figure.add_axes((0, 0, 1, 0.84))
        axes.set(xlim=(0, 9.375), ylim=(0, 0.84 * 4.1), aspect="equal")
        axes.axis("off")
        for box in BOXES.values():
            _draw_box(axes, box)
        for start, end, label, heads in ARROWS:
            _draw_arrow(axes, BOXES[start], BOXES[end], label, heads)
        return save(figure, file)


def _draw_box(axes: Axes, box: Box) -> None:
    x, y = box.centre
    style = "round,pad=0,rounding_size=0.08"
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    axes.add_patch(
        FancyBboxPatch(corner, WIDTH, HEIGHT, boxstyle=style, facecolor="white", edgecolor=box.colour, lw=1.6)
    )
    axes.text(x, y + 0.11, box.name, ha="center", va="center", fontsize=8.6, fontweight="bold", color=INK)
    axes.text(x, y - 0.14, box.told, ha="center", va="center", fontsize=7.5, color=INK)


def _draw_arrow(axes: Axes, start: Box, end: Box, label: str, heads: str) -> None:
    (x, y), (to_x, to_y) = _edge(start, end), _edge(end, start)
    axes.add_patch(FancyArrowPatch(
        (x, y), (to_x, to_y), arrowstyle=f"{heads},head_length=4,head_width=2.5", color=FAINT, lw=1.2, shrinkA=1, shrinkB=1
    ))  # fmt: skip
    if label:
        beside = x == to_x
        axes.text(
            (x + to_x) / 2 + (0.08 if beside else 0), (y + to_y) / 2 + (0 if beside else 0.05), label, fontsize=7.5,
            ha="left" if beside else "center", va="center" if beside else "bottom", color=INK,
        )  # fmt: skip


def _edge(box: Box, other: Box) -> tuple[float, float]:
    """Return where an arrow to another box leaves this one: at its side, or above and below where they share a column."""
    x, y = box.centre
    if box.column == other.column:
        return x, y + (HEIGHT / 2 if other.row > box.row else -HEIGHT / 2)
    return x + (WIDTH / 2 if other.column > box.column else -WIDTH / 2), y


if __name__ == "__main__":
    print(main())
