"""The figures of a sweep: which points no other beats, and what each parameter does to each objective."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from hwsim.config.sweep import Direction, Parameter, number_of
from hwsim.report.metric_texts import format_of, what_is
from hwsim.report.style import BLUE, FAINT, INK, VERMILION, WIDTH_INCHES, label_gap, save, spread, styled, titled_figure
from hwsim.sweeps.results import JudgedPoint, SweepResult
from hwsim.sweeps.table import short_names, shown

MOST_MEANS = 8
"""Of more distinct values, too few points share one for a mean."""
LABELLED = 12
"""Points of the front that are named; the others are drawn."""
PANEL_INCHES = 1.9
LEFT_INCHES = 1.25
MOST_TICKS = 6
LONGEST_NAME = 38


def write_sweep_figures(result: SweepResult) -> list[Path]:
    """Write ``effects.svg`` and, of two objectives or more, ``pareto.svg`` into the sweep's ``figures`` folder.

    Returns:
        The paths written; none where no point has all objectives.
    """
    if not result.front:
        return []
    folder = result.folder / "figures"
    with styled():
        paths = [save(draw_effects(result), folder / "effects.svg")]
        if len(result.plan.objectives) > 1:
            paths.append(save(draw_pareto(result), folder / "pareto.svg"))
    return paths


def draw_pareto(result: SweepResult) -> Figure:
    """Return the points in the plane of the first two objectives, those that no other beats with their settings."""
    (first, second), front = tuple(result.plan.objectives)[:2], result.front
    many = len(result.plan.objectives) > 2
    figure = titled_figure(
        f"{result.plan.name}: {len(result.points)} points, {len(front)} that no other beats",
        "In these two objectives and others." if many else "Dots further out along both arrows are better.",
        height_inches=5.6,
    )
    axes = figure.add_axes((0.1, 0.1, 0.62, 0.76))
    known = [each for each in result.points if each.values is not None]
    axes.plot(*_plane(known), "o", color=FAINT, markersize=4, alpha=0.7)
    order = sorted(front, key=lambda each: each.objectives[first] or 0)
    axes.plot(*_plane(order), "o" if many else "o-", color=BLUE, markersize=6, linewidth=1)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(0.06)
    for metric, axis, set_label in ((first, axes.xaxis, axes.set_xlabel), (second, axes.yaxis, axes.set_ylabel)):
        _write_values(axis, metric)
        set_label(f"{what_is(metric)} {_arrow(result.plan.objectives[metric], upright=axis is axes.yaxis)}")
    _name(axes, order, second)
    return figure


def draw_effects(result: SweepResult) -> Figure:
    """Return a panel for every objective and parameter: each point, and the mean at each value."""
    parameters, objectives = result.plan.sweep.parameters, tuple(result.plan.objectives)
    names = short_names(tuple(parameters))
    height = 1.3 + PANEL_INCHES * len(objectives)
    width = max(WIDTH_INCHES, 1.4 + 1.8 * len(parameters))
    figure = titled_figure(
        f"{result.plan.name}: what each parameter does",
        f"Each dot is one of {len(result.points)} points; lines join the means at each value.",
        height_inches=height, width_inches=width,
    )  # fmt: skip
    grid = figure.add_gridspec(
        len(objectives), len(parameters), left=LEFT_INCHES / width, right=1 - 0.25 / width, top=1 - 0.72 / height,
        bottom=0.85 / height, wspace=0.12, hspace=0.14,
    )  # fmt: skip
    for row, metric in enumerate(objectives):
        for column, (path, parameter) in enumerate(parameters.items()):
            axes = figure.add_subplot(grid[row, column])
            _draw_effect(axes, result.points, metric, path, parameter)
            axes.tick_params(labelleft=column == 0, labelbottom=row == len(objectives) - 1)
            if not column:
                axes.set_ylabel("\n".join(textwrap.wrap(what_is(metric), 24)))
            if row == len(objectives) - 1:
                axes.set_xlabel("\n".join(textwrap.wrap(f"{names[path]}{_unit(parameter)}", 30)))
    return figure


def _draw_effect(axes: Axes, points: Sequence[JudgedPoint], metric: str, path: str, parameter: Parameter) -> None:
    judged = [(each.point.values[path], value) for each in points if (value := each.objectives[metric]) is not None]
    places, names = _places([value for value, _ in judged], parameter)
    values = np.array([value for _, value in judged])
    axes.plot(places, values, "o", color=FAINT, markersize=3.5, alpha=0.6)
    distinct = np.unique(places)
    if len(distinct) <= MOST_MEANS:
        means = [values[places == place].mean() for place in distinct]
        axes.plot(distinct, means, "o-", color=VERMILION, markersize=4, linewidth=1)
    if parameter.scale == "log":
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=MOST_TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
    if names:
        axes.set_xticks(range(len(names)), [_short(each, 14) for each in names], rotation=20, ha="right")
    elif len(distinct) <= MOST_TICKS:
        axes.set_xticks(distinct, [f"{place:.4g}" for place in distinct])
    _write_values(axes.yaxis, metric)
    axes.margins(x=0.1, y=0.12)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)


def _places(values: Sequence[Any], parameter: Parameter) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Return where values stand on an axis, and its ticks where they are names rather than numbers of one unit."""
    try:
        numbers = [number_of(value) for value in values]
    except ValueError:
        numbers = []
    if numbers and len({unit for _, unit in numbers}) == 1:
        return np.array([number for number, _ in numbers]), []
    order = {shown(value): place for place, value in enumerate(parameter.extremes)}
    return np.array([order[shown(value)] for value in values], float), list(order)


def _unit(parameter: Parameter) -> str:
    """Return the unit of a parameter's values in brackets, if they are numbers of one."""
    try:
        units = {number_of(value)[1] for value in parameter.extremes}
    except ValueError:
        return ""
    return f" ({units.pop()})" if len(units) == 1 and units != {""} else ""


def _plane(points: Sequence[JudgedPoint]) -> Iterator[list[float]]:
    for place in (0, 1):
        yield [each.values[place] for each in points if each.values is not None]


def _name(axes: Axes, points: Sequence[JudgedPoint], metric: str) -> None:
    """Write settings to the right of the axes, each at the height of its point if there is room, and a line to it."""
    step = max(1, -(-len(points) // LABELLED))
    named = sorted(points[::step], key=lambda each: each.objectives[metric] or 0)
    settings = _short(", ".join(short_names(tuple(points[0].point.values)).values()), LONGEST_NAME)
    axes.text(1.03, 1.02, settings, transform=axes.transAxes, fontsize=8, color=INK, fontweight="bold")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    wanted = [((each.objectives[metric] or 0) - low) / (high - low) for each in named]
    for each, height in zip(named, spread(wanted, label_gap(axes) * 1.2), strict=True):
        text = _short(", ".join(map(shown, each.point.values.values())), LONGEST_NAME)
        values = each.values
        assert values is not None, "points of the front have all objectives"
        axes.annotate(
            text, (values[0], values[1]), xycoords="data", xytext=(1.03, height), textcoords="axes fraction",
            va="center", fontsize=8, color=INK,
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.5, "shrinkB": 4},
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip


def _write_values(axis: Any, metric: str) -> None:
    written = format_of(metric)
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: written(value)))


def _arrow(direction: Direction, *, upright: bool) -> str:
    arrows: Mapping[Direction, str] = (
        {"minimise": "↓", "maximise": "↑"} if upright else {"minimise": "←", "maximise": "→"}
    )
    return arrows[direction]


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
