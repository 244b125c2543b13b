"""The trade-off between a cost and accuracy as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bitmixer.search.points import Point
from bitmixer.search.searching import METHODS, TradeOff

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT = "#222222", "#8a8a8a"
COLOURS = {"greedy": "#d55e00", "exact": "#0072b2", "random": FAINT}
"""Of Okabe and Ito's palette, for all kinds of colour vision."""

AXIS = {
    "average_bits": "average bits, mean over switchable sites of weight and activation bits",
    "average_weight_bits": "average bits of a weight, over switchable sites",
    "bit_operations": "bit operations per input (multiply-accumulates x weight bits x activation bits)",
    "weight_bytes": "bytes of weights",
}
_SETTINGS: dict[Any, Any] = {
    "axes.edgecolor": FAINT, "axes.labelcolor": INK, "axes.labelsize": 9, "axes.spines.right": False,
    "axes.spines.top": False, "font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "bitmixer",
    "xtick.color": INK, "xtick.labelsize": 8.5, "ytick.color": INK, "ytick.labelsize": 8.5,
}  # fmt: skip
_WIDTH_INCHES, _HEIGHT_INCHES = 9.375, 4.7


def draw_trade_off(trade_off: TradeOff, path: Path, *, title: str, inputs: int) -> Path:
    """Draw accuracy against cost, one line per method, uniform widths as points of reference; return the SVG.

    Args:
        trade_off: Points of a search under several budgets.
        path: Where to write it; its bytes depend on nothing but what it shows.
        title: What was searched, on which data.
        inputs: Number of test inputs behind every accuracy, which decides how exact it is.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES))
        axes = figure.add_axes((0.07, 0.12, 0.9, 0.71))
        figure.text(0.012, 0.975, title, fontsize=12.5, fontweight="bold", va="top", color=INK)
        figure.text(0.012, 0.915, _subtitle(trade_off, inputs), fontsize=9.5, va="top", color=INK)
        _draw_methods(axes, trade_off)
        _draw_uniform(axes, trade_off.uniform)
        _label_axes(axes, trade_off)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path


def _subtitle(trade_off: TradeOff, inputs: int) -> str:
    middle = float(np.median([point.accuracy for point in trade_off.points]))
    error = 100 * (middle * (1 - middle) / inputs) ** 0.5
    return (
        f"Searched on training images, judged on {inputs} test images: "
        f"one point's standard error is {error:.1f} percentage points."
    )


def _draw_methods(axes: Axes, trade_off: TradeOff) -> None:
    lines = {method: _line(trade_off, method) for method in METHODS}
    lines = {method: line for method, line in lines.items() if line}
    for point in trade_off.points:
        if point.method == "random":
            axes.plot(point.cost, 100 * point.accuracy, ".", color=FAINT, alpha=0.35, markersize=4, zorder=1)
    for method, line in lines.items():
        dashes = "--" if method == "random" else "-"
        axes.plot(
            *zip(*line.values(), strict=True), dashes, color=COLOURS[method], marker="o", markersize=3.5, zorder=2
        )
    _label_lines(axes, lines, trade_off)


def _line(trade_off: TradeOff, method: str) -> dict[float, tuple[float, float]]:
    """Return mean cost and accuracy in percent by budget."""
    points: dict[float, list[Point]] = {}
    for point in trade_off.points:
        if point.method == method and point.limit is not None:
            points.setdefault(point.limit, []).append(point)
    return {
        limit: (float(np.mean([p.cost for p in group])), 100 * float(np.mean([p.accuracy for p in group])))
        for limit, group in sorted(points.items())
    }


def _label_lines(axes: Axes, lines: Mapping[str, Mapping[float, tuple[float, float]]], trade_off: TradeOff) -> None:
    """Name each line where the lines are farthest apart, the upper ones above and the lowest below."""
    limits = sorted(set.intersection(*(set(line) for line in lines.values())))
    apart = max(limits, key=lambda limit: np.ptp([line[limit][1] for line in lines.values()]))
    ordered = sorted(lines, key=lambda method: lines[method][apart][1])
    for rank, method in enumerate(ordered):
        below = rank == 0 and len(ordered) > 1
        count = len(trade_off.under(apart, method))
        axes.annotate(
            f"random, mean of {count}" if method == "random" else method,
            lines[method][apart],
            xytext=(22, -34) if below else (-58, 6 + 16 * rank),
            textcoords="offset points",
            color=COLOURS[method],
            fontweight="bold",
            arrowprops={"arrowstyle": "-", "color": COLOURS[method], "linewidth": 0.8},
        )


def _draw_uniform(axes: Axes, points: Sequence[Point]) -> None:
    dearest = max(point.cost for point in points)
    for point in points:
        place = (point.cost, 100 * point.accuracy)
        side: dict[str, Any] = (
            {"xytext": (0, -15), "ha": "right"} if point.cost == dearest else {"xytext": (7, -11), "ha": "left"}
        )
        axes.plot(*place, "D", color=INK, markersize=6, zorder=3)
        axes.annotate(point.method, place, textcoords="offset points", color=INK, fontsize=8.5, **side)


def _label_axes(axes: Axes, trade_off: TradeOff) -> None:
    from matplotlib.ticker import EngFormatter, NullFormatter

    axes.set_ylabel("classified right, %")
    axes.set_xlabel(AXIS.get(trade_off.cost.name, trade_off.cost.name))
    axes.set_xscale("log")
    axes.set_xticks(sorted({point.cost for point in trade_off.uniform}))
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
