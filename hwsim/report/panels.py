"""Panels over time that the figures of one run and of several share.

Each draws one quantity of one run onto axes, and returns the labels that belong beside its lines.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hwsim.metrics import PICOSECONDS_PER_SECOND
from hwsim.plant.shutdown import BROWN_OUT
from hwsim.realised_bits import realised_weight_bits
from hwsim.records.store import RunFolder, RunTables, numbers
from hwsim.records.streams import streams_of
from hwsim.report.style import BLUE, FAINT, GREEN, INK, ORANGE, SERIES, SKY, VERMILION, Label, percent

MEGAHERTZ = 1e6
DOT_COLUMNS = 900
"""Frames whose dots would fall on one pixel share a dot."""

_BITS_COLOURS = ((BLUE, FAINT), (VERMILION, ORANGE), (GREEN, SKY))
"""Of each stream: the dots of its frames, the line of what was wanted."""

BIN_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
MOST_BINS = 200


def telemetry(run: RunTables, *names: str) -> list[NDArray[Any]]:
    """Return the time in seconds and the named columns of ``telemetry.parquet``."""
    columns = ["time_picoseconds", *names]
    table = run.table("telemetry", columns)
    time, *values = (numbers(table.column(name)) for name in columns)
    return [time / PICOSECONDS_PER_SECOND, *values]


def draw_temperature(axes: Axes, run: RunFolder) -> list[Label]:
    """Draw die temperature, its reading, ambient, trips and the limit."""
    limits = run.manifest["limits"]
    die = f"{limits['sensor_node']}_celsius"
    time, true, reading, ambient = telemetry(run, die, "die_reading_celsius", "ambient_celsius")
    axes.plot(time, reading, color=SKY, linewidth=0.6, alpha=0.8)
    axes.plot(time, true, color=BLUE, linewidth=1.4)
    axes.plot(time, ambient, color=GREEN, linewidth=1.2)
    heard = reading[~np.isnan(reading)]
    labels = [
        Label(float(true[-1]), "die (true)", BLUE),
        Label(float(heard[-1] if len(heard) else true[-1]), "die (as sensed)", SKY),
        Label(float(ambient[-1]), "ambient air", GREEN),
    ]
    for trip in limits["trips"]:
        celsius, cap = trip["temperature_celsius"], trip["frequency_cap_hertz"]
        axes.axhline(celsius, color=ORANGE, linewidth=0.9, linestyle="--")
        told = f": {cap / MEGAHERTZ:g} MHz" if cap else ""
        labels.append(Label(celsius, f"trip {celsius:g} °C{told}", ORANGE))
    limit = limits["maximum_junction_celsius"]
    axes.axhline(limit, color=INK, linewidth=1.2, zorder=1)
    axes.set_ylabel("temperature\n(°C)")
    axes.margins(y=0.08)
    return [*labels, Label(limit, f"limit {limit:g} °C", INK)]


def draw_clock(axes: Axes, run: RunFolder) -> list[Label]:
    """Draw the clock of the array, and the cap that the throttle puts on it."""
    time, clock, cap = telemetry(run, "frequency_hertz", "throttle_cap_hertz")
    axes.plot(time, cap / MEGAHERTZ, color=ORANGE, linewidth=2.6, alpha=0.5, drawstyle="steps-post")
    axes.plot(time, clock / MEGAHERTZ, color=INK, linewidth=1.1, drawstyle="steps-post")
    axes.set_ylim(0, run.manifest["limits"]["maximum_frequency_hertz"] / MEGAHERTZ * 1.12)
    axes.set_ylabel("clock\n(MHz)")
    return [
        Label(float(cap[-1]) / MEGAHERTZ, "throttle's cap", ORANGE),
        Label(float(clock[-1]) / MEGAHERTZ, "clock", INK),
    ]


def draw_bits(axes: Axes, run: RunFolder) -> list[Label]:
    """Draw mean weight bits of each stream: what its controller wanted, and a dot for what each frame ran at."""
    streams = streams_of(run)
    labels = []
    for stream, (dot, line) in zip(streams, cycle(_BITS_COLOURS)):
        time, wanted = telemetry(stream, "wanted_weight_bits")
        start, realised = realised_weight_bits(stream, stream.graph)
        seconds, bits = _thinned(start / PICOSECONDS_PER_SECOND, realised, float(time[-1]))
        axes.plot(time, wanted, color=line, linewidth=1.1, drawstyle="steps-post")
        axes.plot(seconds, bits, linestyle="none", marker="o", markersize=1.8, color=dot, markeredgewidth=0)
        of = "" if len(streams) == 1 else f" ({stream.name})"
        labels.append(Label(float(wanted[-1]), f"wanted{of}", line))
        if len(bits):
            labels.append(Label(float(bits[-1]), f"each frame{of}", dot))
    widths = [allowed.weight for stream in streams for layer in stream.graph.layers for allowed in layer.allowed]
    axes.set_ylim(min(widths) - 0.5, max(widths) + 0.5)
    axes.set_ylabel("weight bits\n(mean by MACs)")
    return labels


def draw_queue(axes: Axes, run: RunFolder) -> list[Label]:
    """Draw how many frames of each stream wait."""
    streams = streams_of(run)
    labels, highest = [], 0
    for stream, colour in zip(streams, (INK,) if len(streams) == 1 else cycle(SERIES)):  # noqa: B905 (colours repeat)
        time, queued = telemetry(stream, "queued_frames")
        most = int(queued.max())
        axes.plot(time, queued, color=colour, linewidth=0.8, drawstyle="steps-post")
        of = "" if len(streams) == 1 else f"{stream.name}: "
        labels.append(Label(most, of + (f"at most {most}" if most else "none ever waits"), colour))
        highest = max(highest, most)
    axes.set_ylim(0, max(1.0, highest * 1.15))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_ylabel("frames\nwaiting")
    return labels


def draw_battery(axes: Axes, run: RunFolder) -> list[Label]:
    """Draw how full the battery and its available well are, and when the device was cut off."""
    limits = run.manifest["limits"]["battery"]
    time, charge, available, state = telemetry(
        run, "battery_state_of_charge", "battery_available_joules", "power_state"
    )
    filling = available / (limits["available_share"] * limits["capacity_joules"])
    edges = np.flatnonzero(np.diff((state == BROWN_OUT).astype(np.int8), prepend=0, append=0))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        axes.axvspan(time[start], time[min(end, len(time) - 1)], color=VERMILION, alpha=0.18, linewidth=0)
    axes.plot(time, 100 * charge, color=BLUE, linewidth=1.2)
    axes.plot(time, 100 * filling, color=SKY, linewidth=1.2)
    axes.axhline(100 * limits["cut_off"], color=ORANGE, linewidth=0.9, linestyle="--")
    axes.set_ylim(0, 105 * max(charge.max(), filling.max(), limits["restart"]))
    axes.set_ylabel("battery\n(% full)")
    return [
        Label(100 * float(charge[-1]), "all charge", BLUE),
        Label(100 * float(filling[-1]), "available well", SKY),
        Label(100 * limits["cut_off"], f"cut-off {100 * limits['cut_off']:g} %", ORANGE),
    ]


def draw_misses(axes: Axes, run: RunFolder) -> list[Label]:
    """Draw the share of arriving frames that end late or dropped, stacked; labels tell each stream's share."""
    frames = run.table("frames", ["status", "arrival_picoseconds"])
    arrival = numbers(frames.column("arrival_picoseconds")) / PICOSECONDS_PER_SECOND
    status = numbers(frames.column("status"))
    late, lost = status == "late", ~np.isin(status, ("late", "on_time"))
    width, edges = _bins(float(telemetry(run)[0][-1]))
    arrived = np.maximum(np.histogram(arrival, edges)[0], 1)
    shares = [100 * np.histogram(arrival[which], edges)[0] / arrived for which in (lost, late)]
    floor = np.zeros(len(arrived))
    for share, colour in zip(shares, (VERMILION, ORANGE), strict=True):
        axes.stairs(floor + share, edges, baseline=floor, fill=True, color=colour)
        floor = floor + share
    axes.set_ylim(0, 100)
    axes.set_ylabel(f"frames missed\n(% per {width:g} s)")
    return [
        Label(30, f"{percent(lost.mean() if len(lost) else 0)} dropped", VERMILION),
        Label(70, f"{percent(late.mean() if len(late) else 0)} late", ORANGE),
        *_misses_by_stream(run),
    ]


def _misses_by_stream(run: RunFolder) -> list[Label]:
    """Return what share of each of several streams' frames ended late or dropped."""
    streams = streams_of(run)
    if len(streams) == 1:
        return []
    missed = [numbers(stream.table("frames", ["status"]).column("status")) != "on_time" for stream in streams]
    return [
        Label(0, f"{stream.name}: {percent(each.mean() if len(each) else 0)} missed", INK)
        for stream, each in zip(streams, missed, strict=True)
    ]


def _thinned(seconds: NDArray[Any], bits: NDArray[Any], end_seconds: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return one point for all that would fall on the same pixel."""
    columns = np.round(seconds / end_seconds * DOT_COLUMNS).astype(np.int64)
    _, first = np.unique(columns * 1000 + np.round(bits * 50).astype(np.int64), return_index=True)
    return seconds[first], bits[first]


def _bins(end_seconds: float) -> tuple[float, NDArray[Any]]:
    """Return the width and edges of the narrowest round bins that do not crowd the axis."""
    width = next((width for width in BIN_SECONDS if end_seconds / width <= MOST_BINS), BIN_SECONDS[-1])
    return width, np.arange(int(np.ceil(end_seconds / width)) + 1) * width
