"""Writes ``report.html`` from the records of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hwsim.config.array_profile import load_any_profile
from hwsim.config.provenance import provenance
from hwsim.metrics import PICOSECONDS_PER_SECOND
from hwsim.records.store import RunFolder
from hwsim.records.streams import StreamTables, streams_of
from hwsim.report.page.findings import assignments, energy_parts, latencies, layer_rows, misses
from hwsim.report.page.template import embedded, rendered
from hwsim.report.page.time_series import bit_map, panels
from hwsim.report.terminal import SECTIONS, verdict, written_value

FILE = "report.html"


def write_page(run: RunFolder) -> Path:
    """Write ``report.html`` into the run's folder.

    Returns:
        The path written.

    Raises:
        RecordsError: A file of the run is missing or damaged.
        DocumentError: The copy of its profile is.
    """
    path = run.path / FILE
    path.write_text(rendered("page", _content(run)), encoding="utf-8")
    return path


def _content(run: RunFolder) -> dict[str, Any]:
    """Return what the template shows."""
    streams = streams_of(run)
    layers = {stream.name: layer_rows(stream) for stream in streams}
    drawn = {
        "end": run.summary["simulated_seconds"],
        "panels": panels(run, streams),
        "maps": [bit_map(stream) for stream in streams],
        "latencies": [latencies(stream) for stream in streams],
    }
    return {
        "manifest": run.manifest,
        "summary": run.summary,
        "verdict": verdict(run.summary),
        "sections": _metrics(run),
        "streams": [_told(stream) for stream in streams],
        "layers": layers,
        "misses": {stream.name: misses(stream, run) for stream in streams},
        "energy": energy_parts(run),
        "assignments": {stream.name: assignments(stream) for stream in streams},
        "numbers": provenance(load_any_profile(str(run.path / "profile.yaml"))),
        "drawn": embedded(drawn),
    }


def _metrics(run: RunFolder) -> dict[str, list[tuple[str, str]]]:
    """Return heading -> (value with its unit, what it is) of every metric that the run has."""
    found = {
        heading: [
            (written_value(run.summary[metric], written), what)
            for metric, (what, written) in metrics.items()
            if metric in run.summary
        ]
        for heading, metrics in SECTIONS.items()
    }
    return {heading: rows for heading, rows in found.items() if rows}


def _told(stream: StreamTables) -> dict[str, Any]:
    scenario = stream.manifest.get("scenario", {}).get("streams", [])
    own: dict[str, Any] = next((each for each in scenario if each["name"] == stream.name), {})
    return {
        "name": stream.name,
        "network": stream.manifest["network"],
        "data": stream.manifest["data"] or "no data: outputs were not wanted",
        "controller": stream.manifest["controller"],
        "inputs_per_frame": stream.manifest["inputs_per_frame"],
        "deadline_milliseconds": own.get("deadline_picoseconds", 0) / PICOSECONDS_PER_SECOND * 1e3,
    }
