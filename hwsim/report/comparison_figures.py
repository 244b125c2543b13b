"""The figures of a comparison: what controllers trade, and how each got there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from hwsim.comparison import Comparison, Interval
from hwsim.records.store import RunFolder
from hwsim.report.learning_figures import Learning, draw_learning
from hwsim.report.panels import draw_bits, draw_clock, draw_misses, draw_temperature
from hwsim.report.small_multiples import draw_small_multiples
from hwsim.report.style import (
    GREEN,
    SERIES,
    WIDTH_INCHES,
    Label,
    label_gap,
    label_right,
    save,
    spread,
    styled,
    titled_figure,
)

LEAST_COLUMN_INCHES = 1.65
RIGHT_INCHES, LEFT_INCHES = 1.75, 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """A mean and how far its interval reaches below and above, as matplotlib takes it."""

    at: float
    error: tuple[tuple[float], tuple[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A controller in the plane of the trade-off."""

    x: float
    y: float
    label: str
    colour: str


def write_comparison_figures(
    comparison: Comparison, runs: Mapping[str, Sequence[RunFolder]], folder: Path, learning: Mapping[str, Learning]
) -> list[Path]:
    """Write ``tradeoff.svg``, ``timeseries.svg``, ``multiples.svg`` and, where it is known, ``regret.svg``.

    Args:
        comparison: The statistics.
        runs: Label of the controller -> its replications; the first one is drawn over time.
        folder: Where to write.
        learning: Label of the controller -> what its first run lost over time, where that is known.

    Returns:
        The paths written.

    Raises:
        RecordsError: A file of a run is missing or damaged.
    """
    first = {label: folders[0] for label, folders in runs.items()}
    with styled():
        figures = {
            "tradeoff.svg": draw_tradeoff(comparison),
            "timeseries.svg": draw_timeseries(first),
            "multiples.svg": draw_small_multiples(first),
            **({"regret.svg": draw_learning(learning)} if learning else {}),
        }
        return [save(figure, folder / name) for name, figure in figures.items()]


def draw_tradeoff(comparison: Comparison) -> Figure:
    """Return energy per input against the share answered right and on time (without outputs: on time)."""
    with_outputs = all(metrics["accuracy"].mean is not None for metrics in comparison.controllers.values())
    what = "inputs answered right and on time" if with_outputs else "frames finished on time"
    many = comparison.replications > 1
    figure = titled_figure(
        f"{comparison.scenario}: energy against {what}",
        f"{'Means' if many else 'Values'} of {comparison.replications} run{'s' * many} of each controller; "
        "bars are 95 % intervals.",
        height_inches=5.6,
    )
    axes = figure.add_axes((0.085, 0.1, 0.85, 0.74))
    points = []
    for place, (label, metrics) in enumerate(comparison.controllers.items()):
        energy, right = metrics["energy_per_input_joules"], metrics["correct_on_time_rate"]
        x, y = _scaled(energy, 1e3), _scaled(right, 100) if with_outputs else _on_time(metrics)
        if x is None or y is None:
            continue  # a controller that completed nothing has no energy per input
        points.append(_Point(x=x.at, y=y.at, label=label, colour=SERIES[place % len(SERIES)]))
        axes.errorbar(x.at, y.at, xerr=x.error, yerr=y.error, fmt="o", color=points[-1].colour, capsize=3)
    axes.margins(x=0.12, y=0.14)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("energy of the whole device per completed input (mJ)")
    axes.set_ylabel(f"{what} (% of all that arrived)")
    axes.set_title(f"↖ better: less energy, more {what}", color=GREEN, fontsize=9.5)
    _name(axes, points)
    return figure


def draw_timeseries(runs: Mapping[str, RunFolder]) -> Figure:
    """Return one column per controller: temperature, clock, bits and misses of one run, on shared axes."""
    seed = next(iter(runs.values())).manifest["seed"]
    width = max(WIDTH_INCHES, LEFT_INCHES + RIGHT_INCHES + LEAST_COLUMN_INCHES * len(runs))
    figure = titled_figure(
        "Controllers side by side: heat, clock, bits and missed frames",
        f"One run of each, under the same arrivals and weather (seed {seed}).",
        height_inches=6.8,
        width_inches=width,
    )
    grid = figure.add_gridspec(
        4,
        len(runs),
        left=LEFT_INCHES / width,
        right=1 - RIGHT_INCHES / width,
        top=0.875,
        bottom=0.075,
        hspace=0.2,
        wspace=0.1,
        height_ratios=(1.8, 1, 1.2, 1),
    )
    first: list[Axes] = []
    for column, (label, run) in enumerate(runs.items()):
        for row, draw in enumerate((draw_temperature, draw_clock, draw_bits, draw_misses)):
            shared = first[row] if column else None
            axes = figure.add_subplot(grid[row, column], sharex=first[0] if first else None, sharey=shared)
            labels = draw(axes, run)
            axes.tick_params(labelbottom=row == 3, labelleft=column == 0)
            if column:
                axes.set_ylabel("")
            else:
                first.append(axes)
            if draw is draw_misses:
                _write_above(axes, labels)
            elif column == len(runs) - 1:
                label_right(axes, labels)
            if row == 0:
                axes.set_title(label, fontweight="bold")
    first[0].set_xlim(0, max(run.summary["simulated_seconds"] for run in runs.values()))
    # Columns stand close together: a number at the end of one axis would run into the next axis' zero.
    first[0].xaxis.set_major_locator(MaxNLocator(nbins=3, prune="upper"))
    figure.supxlabel("time since the start of the run (s)", fontsize=9)
    figure.align_ylabels(first)
    return figure


def _scaled(interval: Interval, scale: float) -> _Bar | None:
    if interval.mean is None or interval.low is None or interval.high is None:
        return None
    below, above = interval.mean - interval.low, interval.high - interval.mean
    return _Bar(at=interval.mean * scale, error=((below * scale,), (above * scale,)))


def _on_time(metrics: Mapping[str, Interval]) -> _Bar | None:
    missed = _scaled(metrics["deadline_miss_rate"], 100)
    return missed and _Bar(at=100 - missed.at, error=missed.error[::-1])


def _name(axes: Axes, points: Sequence[_Point]) -> None:
    """Write every point's name to its right, none on another, over the bars that it may cross."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ordered = sorted(points, key=lambda point: point.y)
    wanted = [(point.y - low) / (high - low) for point in ordered]
    for point, height in zip(ordered, spread(wanted, label_gap(axes)), strict=True):
        axes.annotate(
            point.label,
            (point.x, low + height * (high - low)),
            xytext=(9, 5),
            textcoords="offset points",
            color=point.colour,
            fontsize=10,
            fontweight="bold",
            zorder=5,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )


def _write_above(axes: Axes, labels: Sequence[Label]) -> None:
    """Write two labels above narrow axes, one at each end."""
    for label, place, side in zip(labels, (0, 1), ("left", "right"), strict=True):
        axes.text(place, 1.03, label.text, transform=axes.transAxes, color=label.colour, fontsize=8, ha=side)
