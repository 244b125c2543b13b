"""The figures of one run: what happened over time, where energy and time went, which bits ran where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from hwsim.layer_statistics import LayerTotals, layer_statistics
from hwsim.records.store import NetworkTables, RunFolder
from hwsim.records.streams import streams_of
from hwsim.report.bits_figure import draw_bit_map
from hwsim.report.panels import draw_battery, draw_bits, draw_clock, draw_misses, draw_queue, draw_temperature
from hwsim.report.style import (
    BLUE,
    GREEN,
    INK,
    VERMILION,
    label_right,
    name_margin,
    percent,
    save,
    styled,
    titled_figure,
    told,
)

LAYER_ROW_INCHES = 0.2
HOUR_SECONDS = 3600
LONG_RUN_HOURS = 3
"""Longer ones have an axis in hours."""


def write_run_figures(run: RunFolder) -> list[Path]:
    """Write ``timeline.svg``, ``layers.svg`` and ``bits.svg`` into the run's ``figures`` folder.

    Where there are several streams, the last two are drawn for each: ``layers_0.svg`` for the first.

    Returns:
        The paths written.

    Raises:
        RecordsError: A file of the run is missing or damaged.
    """
    streams = streams_of(run)
    with styled():
        paths = [save(draw_timeline(run), run.path / "figures" / "timeline.svg")]
        for at, stream in enumerate(streams):
            suffix = f"_{at}" if len(streams) > 1 else ""
            for name, draw in {"layers": draw_layers, "bits": draw_bit_map}.items():
                paths.append(save(draw(stream), run.path / "figures" / f"{name}{suffix}.svg"))
    return paths


def draw_timeline(run: RunFolder) -> Figure:
    """Return the device's heat, clock, battery if it has one, bits, queue and misses over one axis of time."""
    manifest, summary = run.manifest, run.summary
    panels = {draw_temperature: 2.0, draw_clock: 1.0, draw_bits: 1.2, draw_queue: 0.7, draw_misses: 0.8}
    if "battery" in manifest["limits"]:
        panels = {draw_battery: 1.4, **panels}
    streams = streams_of(run)
    ran = f"{manifest['network']} under “{told(manifest['controller'])}”"
    if len(streams) > 1:
        ran = ", ".join(f"{stream.name} ({stream.manifest['network']})" for stream in streams)
    figure = titled_figure(
        f"{ran}: the run over time",
        f"The die peaked at {summary['peak_die_temperature_celsius']:.1f} °C; "
        f"the clock was throttled for {summary['throttled_seconds']:.4g} s; "
        f"{percent(summary['deadline_miss_rate'] or 0)} of the frames were late or dropped.",
        height_inches=8.2,
    )
    grid = figure.add_gridspec(
        len(panels),
        1,
        left=0.085,
        right=0.825,
        top=0.915,
        bottom=0.06,
        hspace=0.16,
        height_ratios=list(panels.values()),
    )
    rows: list[Axes] = []
    for place, draw in enumerate(panels):
        axes = figure.add_subplot(grid[place], sharex=rows[0] if rows else None)
        label_right(axes, draw(axes, run))
        axes.tick_params(labelbottom=place == len(panels) - 1)
        rows.append(axes)
    _label_time(rows[-1], summary["simulated_seconds"])
    figure.align_ylabels(rows)
    return figure


def _label_time(axes: Axes, seconds: float) -> None:
    """Scale an axis of seconds to a run of this length, and label it in hours where it has many."""
    axes.set_xlim(0, seconds)
    unit = "s"
    if seconds > LONG_RUN_HOURS * HOUR_SECONDS:
        unit = "h"
        axes.xaxis.set_major_locator(MultipleLocator(HOUR_SECONDS * max(1, round(seconds / HOUR_SECONDS / 8))))
        axes.xaxis.set_major_formatter(lambda at, _: f"{at / HOUR_SECONDS:g}")
    axes.set_xlabel(f"time since the start of the run ({unit})")


def draw_layers(run: NetworkTables) -> Figure:
    """Return mean bits, energy and time of every layer."""
    totals = layer_statistics(run, run.graph).totals
    height = 1.35 + LAYER_ROW_INCHES * len(totals)
    figure = titled_figure(
        f"{run.manifest['network']}: bits, energy and time of every layer",
        f"Whole run, controller “{told(run.manifest['controller'])}”; layers in the order of issue.",
        height_inches=height,
    )
    grid = figure.add_gridspec(
        1,
        3,
        left=name_margin(run.graph.index) + 0.02,
        right=0.96,
        top=1 - 0.85 / height,
        bottom=0.5 / height,
        wspace=0.08,
        width_ratios=(1, 1.2, 1.2),
    )
    bits = figure.add_subplot(grid[0])
    energy, time = (figure.add_subplot(grid[place], sharey=bits) for place in (1, 2))
    _draw_mean_bits(bits, totals)
    _draw_shares(energy, [row.energy_joules for row in totals], "dynamic energy", "J", VERMILION)
    _draw_shares(time, [row.busy_seconds for row in totals], "time on the array", "s", GREEN)
    bits.set_yticks(range(len(totals)), [row.layer for row in totals])
    bits.set_ylim(len(totals) - 0.4, -0.6)
    for axes in (energy, time):
        axes.tick_params(left=False, labelleft=False)
    return figure


def _draw_mean_bits(axes: Axes, totals: Sequence[LayerTotals]) -> None:
    places = np.arange(len(totals))
    weight, activation = (
        np.array([getattr(row, f"mean_{kind}_bits") for row in totals], np.float64)  # null is nan: not drawn
        for kind in ("weight", "activation")
    )
    axes.plot(activation, places, "o", markersize=7, markerfacecolor="none", color=INK)
    axes.plot(weight, places, "o", markersize=4, color=BLUE)
    axes.set_xlim(0, 8.8)
    axes.set_xlabel("mean bits")
    axes.set_title("● weights   ○ activations", fontsize=9)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)


def _draw_shares(axes: Axes, values: list[float], label: str, unit: str, colour: str) -> None:
    """Draw bars with each one's share of the sum beside it."""
    whole = sum(values) or 1.0
    bars = axes.barh(range(len(values)), values, height=0.68, color=colour)
    axes.bar_label(bars, [percent(round(value / whole, 3)) for value in values], padding=3, fontsize=8, color=INK)
    axes.set_xlim(0, max([*values, 1e-12]) * 1.18)
    axes.set_xlabel(f"{label} ({unit})")
    axes.set_title(f"in all {sum(values):.4g} {unit}", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(4))
