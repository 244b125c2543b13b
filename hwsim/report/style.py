"""How every figure looks: colours, sizes, labels beside lines; and files whose bytes repeat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, FAINT = "#222222", "#8a8a8a"
BLUE, ORANGE, GREEN, VERMILION, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9"
SERIES = (BLUE, VERMILION, GREEN, "#cc79a7", ORANGE, SKY, INK)
"""Okabe and Ito's palette for all kinds of colour vision (jfly.uni-koeln.de/color), without yellow."""

WIDTH_COLOURS = ("#fde725", "#c2df23", "#86d549", "#35b779", "#1f9e89", "#2c728e", "#3b528b", "#440154")
"""For 1 to 8 bits: viridis, whose lightness falls evenly, so that it also reads in grey."""

WIDTH_INCHES = 9.375
"""900 pixels on a page, at 96 to the inch."""

POINTS_PER_INCH = 72
LONGEST_CONTROLLER = 40
"""Letters of a controller and its options that fit into a title."""
LABEL_POINTS = 11.5
"""Least distance between two labels, so that they do not touch."""

_SETTINGS: dict[Any, Any] = {
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs everywhere
    "font.size": 9,
    "svg.hashsalt": "hwsim",
    "xtick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": INK,
    "ytick.labelsize": 8.5,
}


@dataclass(frozen=True, slots=True)
class Label:
    """Words beside a line, in its colour.

    Attributes:
        y: Where the line is, in the axis' units.
        text: The words.
        colour: The line's colour.
    """

    y: float
    text: str
    colour: str


@contextmanager
def styled() -> Iterator[None]:
    """Make figures that are drawn and saved within look alike; nothing stays set afterwards."""
    with mpl.rc_context(_SETTINGS):
        yield


class ShownFigure(Figure):
    """A figure that a notebook shows, whether it has set up matplotlib or not."""

    def _repr_svg_(self) -> str:
        text = StringIO()
        with styled():
            self.savefig(text, format="svg")
        return text.getvalue()


def titled_figure(title: str, subtitle: str, *, height_inches: float, width_inches: float = WIDTH_INCHES) -> Figure:
    """Return an empty figure with a title, and a line below it that says what to see."""
    figure = ShownFigure(figsize=(width_inches, height_inches))
    left, top = 0.12 / width_inches, 1 - 0.12 / height_inches
    figure.text(left, top, title, fontsize=12.5, fontweight="bold", va="top", color=INK)
    figure.text(left, top - 0.27 / height_inches, subtitle, fontsize=9.5, va="top", color=INK)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write an SVG whose bytes depend on nothing but what it shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", dpi=150, metadata={"Date": None})
    return path


def told(controller: str) -> str:
    """Return a controller as a title has room for: without its options where they are many."""
    return controller if len(controller) <= LONGEST_CONTROLLER else f"{controller.split(':', maxsplit=1)[0]}:…"


def label_right(axes: Axes, labels: Sequence[Label]) -> None:
    """Write labels to the right of the axes, each beside its line but none on another."""
    low, high = axes.get_ylim()
    ordered = sorted(labels, key=lambda label: label.y)
    wanted = [(label.y - low) / (high - low) for label in ordered]
    for label, height in zip(ordered, spread(wanted, label_gap(axes)), strict=True):
        axes.annotate(
            label.text,
            (1, height),
            xycoords="axes fraction",
            xytext=(7, 0),
            textcoords="offset points",
            color=label.colour,
            va="center",
            fontsize=8.5,
        )


def label_gap(axes: Axes) -> float:
    """Return the least distance between two labels, as a share of the height of the axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes are drawn on once they are on a figure"
    return LABEL_POINTS / (axes.get_position().height * figure.get_figheight() * POINTS_PER_INCH)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return ascending positions within 0..1, near those wanted and ``gap`` apart where there is room.

    >>> spread([0.5, 0.5], 0.1)
    [0.45, 0.55]
    """
    if not wanted:
        return []
    gap = min(gap, 1 / len(wanted))
    steps = np.arange(len(wanted)) * gap
    upward = np.maximum.accumulate(np.asarray(wanted) - steps)
    downward = np.minimum.accumulate((np.asarray(wanted) - steps)[::-1])[::-1]
    positions = np.clip((upward + downward) / 2, 0, max(0.0, 1 - float(steps[-1]))) + steps
    return [round(float(position), 6) for position in positions]


def name_margin(names: Iterable[str]) -> float:
    """Return the share of a figure's width that names beside an axis need, at 7.5 points."""
    return (0.3 + 0.066 * max(map(len, names))) / WIDTH_INCHES


def percent(share: float) -> str:
    """Return a share to two significant digits or the whole percent.

    >>> percent(0.0), percent(0.00041), percent(0.034), percent(0.489)
    ('0 %', '0.041 %', '3.4 %', '49 %')
    """
    value = share * 100
    return f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"
