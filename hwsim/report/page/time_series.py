"""What the page draws over time, as plain numbers: few enough for a page, with every peak kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from hwsim.metrics import PICOSECONDS_PER_SECOND
from hwsim.realised_bits import dominant_widths, realised_weight_bits
from hwsim.records.store import NetworkTables, RunFolder, numbers
from hwsim.records.streams import StreamTables, streams_of
from hwsim.report.timeline.stream_tracks import waiting_frames

POINTS = 700
"""Parts of the time of which the least and the greatest value are kept; a page is about as many pixels wide."""
MAP_COLUMNS = 300
PERIODS = 120
"""Parts of the time in which arrivals and misses are counted."""


def panels(run: RunFolder, streams: Sequence[StreamTables]) -> list[dict[str, Any]]:
    """Return the panels of the common time axis: title, unit, lines (name, seconds, values) and marks (name, value)."""
    telemetry, limits = run.table("telemetry"), run.manifest["limits"]
    names = telemetry.column_names
    time = numbers(telemetry.column("time_picoseconds"))

    def line(name: str, column: str, scale: float = 1.0) -> dict[str, Any]:
        values = telemetry.column(column)
        known = numbers(pc.is_valid(values))
        return _line(name, time[known], numbers(values.drop_null()) * scale)

    def panel(title: str, unit: str, lines: list[dict[str, Any]], marks: Sequence[Any] = ()) -> dict[str, Any]:
        return {"title": title, "unit": unit, "lines": lines, "marks": [{"name": of, "value": at} for of, at in marks]}

    readings = ("die_reading_celsius", "throttle_reading_celsius")
    hot = [name for name in names if name.endswith("_celsius") and name not in readings]
    watts = [name for name in names if name.endswith("_watts") and "reading" not in name and "battery" not in name]
    rated = [("rated", limits["maximum_junction_celsius"])]
    trips = [("trip", trip["temperature_celsius"]) for trip in limits.get("trips", ())]
    shown = [
        panel("Temperature", "°C", [line(name.removesuffix("_celsius"), name) for name in hot], rated + trips),
        panel("Power", "W", [line(name.removesuffix("_watts").replace("_", " "), name) for name in watts]),
        panel(
            "Clock", "MHz",
            [line("clock", "frequency_hertz", 1e-6), line("throttle's cap", "throttle_cap_hertz", 1e-6)],
        ),
    ]  # fmt: skip
    if "battery_state_of_charge" in names:
        shown.append(panel("Battery", "% full", [line("charge", "battery_state_of_charge", 100)]))
    for stream in streams:
        of = f" of {stream.name}" if len(streams) > 1 else ""
        bits = _line("each frame", *realised_weight_bits(stream, stream.graph))
        shown += [panel(f"Weight bits{of}", "bit", [bits]), *_of_frames(stream, of, int(time[-1]))]
    return shown


def brief_panels(label: str, run: RunFolder) -> list[dict[str, Any]]:
    """Return two panels of a run that stands beside others: temperature of the die with the trips, bits of frames."""
    limits = run.manifest["limits"]
    node = f"{limits['sensor_node']}_celsius"
    telemetry = run.table("telemetry", ["time_picoseconds", node])
    die = _line("die", numbers(telemetry.column("time_picoseconds")), numbers(telemetry.column(node)))
    bits = [_line(each.name, *realised_weight_bits(each, each.graph)) for each in streams_of(run)]
    trips = [{"name": "trip", "value": trip["temperature_celsius"]} for trip in limits.get("trips", ())]
    return [
        {"title": f"{label}: temperature", "unit": "°C", "lines": [die], "marks": trips},
        {"title": f"{label}: weight bits", "unit": "bit", "lines": bits, "marks": []},
    ]


def sampled_line(name: str, seconds: NDArray[np.float64], values: NDArray[np.float64]) -> dict[str, Any]:
    """Return a line from few points."""
    return _line(name, (seconds * PICOSECONDS_PER_SECOND).astype(np.int64), values)


def bit_map(stream: NetworkTables) -> dict[str, Any]:
    """Return the weight bits of every layer over time: the width that each spent most time at, 0 where none ran."""
    layers = stream.table("layers", ["purpose", "layer", "weight_bits", "start_picoseconds", "finish_picoseconds"])
    layers = layers.filter(pc.equal(layers.column("purpose"), "inference"))
    start, finish = (numbers(layers.column(f"{edge}_picoseconds")) for edge in ("start", "finish"))
    end = int(finish.max(initial=1))
    column = np.minimum(start / end * MAP_COLUMNS, MAP_COLUMNS - 1).astype(np.int64)
    widths = dominant_widths(stream.graph, layers, column, MAP_COLUMNS, finish - start)
    return {
        "network": stream.manifest["network"],
        "layers": list(stream.graph.index),
        "rows": ["".join(map(str, row)) for row in widths.tolist()],
        "end": end / PICOSECONDS_PER_SECOND,
    }


def _of_frames(stream: StreamTables, of: str, end: int) -> list[dict[str, Any]]:
    columns = ("arrival_picoseconds", "start_picoseconds", "finish_picoseconds", "status")
    frames = stream.table("frames", columns)
    arrival, start, finish = (numbers(frames.column(name)) for name in columns[:3])
    missed = ~numbers(pc.equal(frames.column("status"), "on_time"))
    waiting = _line("waiting", *waiting_frames(arrival, np.where(start >= 0, start, finish)))
    edges = np.linspace(0, max(end, 1), PERIODS + 1)
    seconds = edges[:-1].astype(np.int64)
    counts = {"arrived": arrival, "late or dropped": arrival[missed]}
    period = f"frames per {(edges[1] - edges[0]) / PICOSECONDS_PER_SECOND:.3g} s"
    return [
        {"title": f"Queue{of}", "unit": "frames", "lines": [waiting], "marks": []},
        {
            "title": f"Arrivals and misses{of}", "unit": period, "marks": [],
            "lines": [_line(name, seconds, np.histogram(times, edges)[0]) for name, times in counts.items()],
        },
    ]  # fmt: skip


def _line(name: str, picoseconds: NDArray[np.int64], values: NDArray[Any]) -> dict[str, Any]:
    kept = _extremes(picoseconds, values.astype(np.float64))
    return {
        "name": name,
        "seconds": [float(f"{at / PICOSECONDS_PER_SECOND:.9g}") for at in picoseconds[kept].tolist()],
        "values": [float(f"{value:.6g}") for value in values[kept].tolist()],
    }


def _extremes(time: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the positions of the least and the greatest value of each part of the time, and of both ends."""
    if len(values) <= 2 * POINTS:
        return np.arange(len(values))
    part = (time - time[0]) * POINTS // (time[-1] - time[0] + 1)
    order = np.lexsort((values, part))
    first = np.flatnonzero(np.diff(part[order], prepend=-1))
    last = np.append(first[1:], len(order)) - 1
    return np.unique(np.concatenate([order[first], order[last], [0, len(values) - 1]]))
