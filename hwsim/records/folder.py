"""The folder of one run: making it ready, and its files that are not tables."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim import provenance
from hwsim.config.input_file import COPIES
from hwsim.config.scenario import resolved, spelled
from hwsim.errors import ConfigurationError
from hwsim.layer_statistics import LayerStatistics, LayerTotals
from hwsim.plant.supply import BatteryPack
from hwsim.records import live

if TYPE_CHECKING:
    from hwsim.planning import Plan, PlannedLearning

VERSIONS = "versions"
"""Folder of what each training step changed in the network."""
FIRST_FILE = "layers.parquet"
"""Written before all others, so it tells a run's folder from a folder of the user's own files."""
RECORD_FILES = (
    "summary.json", "manifest.json", "layers.csv", "graph.json", "profile.yaml", "scenario.yaml",
    "frames.parquet", "telemetry.parquet", "decisions.parquet", "observations.parquet",
    "timeline.pftrace", "report.html", live.FILE, FIRST_FILE,
)  # fmt: skip


def run_folder(parent: Path, name: str, seed: int) -> Path:
    """Return the folder of one run; letters that file systems mind are replaced."""
    label = "".join(letter if letter.isalnum() or letter in "_-=." else "-" for letter in name)
    return parent / f"{label}-s{seed}"


def require_usable(folder: Path) -> None:
    """Check that the folder is new, empty, or holds a former run, which may be written over.

    Raises:
        ConfigurationError: It holds other files, or cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder}: is a file; give --out a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / FIRST_FILE).is_file():
        raise ConfigurationError(f"{folder}: holds files that are no run; give --out a new or empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: cannot be made ({error.strerror}); give --out a folder that can be written"
        ) from None


def clear(folder: Path) -> None:
    """Remove a former run."""
    for name in RECORD_FILES:
        (folder / name).unlink(missing_ok=True)
    for graph in folder.glob("graph_*.json"):
        graph.unlink()
    for name in ("figures", COPIES, VERSIONS):
        shutil.rmtree(folder / name, ignore_errors=True)


def write_manifest(planned: Plan, folder: Path, *, interrupted: bool) -> None:
    """Write what ran: manifest, layer graph and the documents as they were read."""
    scenario, device = planned.scenario, planned.device
    manifest = {
        "run_id": planned.run_id,
        "interrupted": interrupted,
        "scenario_name": scenario.name,
        "scenario": resolved(scenario, planned.profile)["scenario"],
        "profile": planned.profile.name,
        "profile_values": resolved(scenario, planned.profile)["profile"],
        "actual_device": {name: number.text for name, number in planned.departures.items()},
        "controller": planned.controller,
        "seed": scenario.seed,
        **_stream_entries(planned),
        "limits": {
            "maximum_frequency_hertz": device.frequencies_hertz[0],
            "sensor_node": device.thermal_network.nodes[device.sensor_node],
            "maximum_junction_celsius": device.maximum_junction_celsius,
            "decision_energy_joules": device.decision.energy_joules,
            "trips": [dataclasses.asdict(mark) for mark in device.throttling.marks],
            **_battery_limits(device.battery),
        },
        "idle_states": [state.name for state in device.idle_states],
        **({} if planned.learning is None else {"learning": _learning_entry(planned.learning)}),
        "source_sha256": provenance.source_sha256("bitmixer", "hwsim"),
        "versions": provenance.versions(),
    }
    write_json(folder / "manifest.json", manifest)
    for at, stream in enumerate(planned.streams):
        (folder / graph_file(at)).write_text(stream.checkpoint.graph.to_json(), encoding="utf-8")
    for name, text in planned.documents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _learning_entry(learning: PlannedLearning) -> dict[str, Any]:
    """Return what the manifest says of training steps."""
    return {"name": learning.name, "stream": learning.settings.stream, "inputs": learning.settings.inputs}


def graph_file(at: int) -> str:
    """Return the name of the file that holds the layer graph of the stream at a position."""
    return f"graph_{at}.json" if at else "graph.json"


def _stream_entries(planned: Plan) -> dict[str, Any]:
    """Return what the manifest says of the only stream, or of several: of all in short, and of each."""
    entries: list[dict[str, Any]] = [
        {
            "network": stream.checkpoint.name,
            "network_path": stream.checkpoint.reference,
            "network_sha256": stream.checkpoint.sha256,
            "data": stream.stream.data,
            "inputs_per_frame": stream.stream.inputs_per_frame,
        }
        for stream in planned.streams
    ]
    if len(entries) == 1:
        return entries[0]
    each = [
        {"name": stream.stream.name, "controller": spelled(stream.controller), "graph": graph_file(at), **entry}
        for at, (stream, entry) in enumerate(zip(planned.streams, entries, strict=True))
    ]
    return {
        "network": " and ".join(dict.fromkeys(entry["network"] for entry in entries)),
        "data": " and ".join(dict.fromkeys(entry["data"] for entry in entries if entry["data"])) or None,
        "inputs_per_frame": [entry["inputs_per_frame"] for entry in entries],
        "streams": each,
    }


def _battery_limits(pack: BatteryPack | None) -> dict[str, Any]:
    if pack is None:
        return {}
    capacity = {"capacity_joules": pack.battery.capacity_joules, "available_share": pack.battery.available_share}
    return {"battery": {**capacity, "cut_off": pack.cut_off, "restart": pack.restart}}


def write_layer_totals(layers: Mapping[str, LayerStatistics], folder: Path) -> None:
    """Write ``layers.csv``, of each stream's layers."""
    with (folder / "layers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["stream", *(field.name for field in dataclasses.fields(LayerTotals))])
        writer.writeheader()
        for stream, statistics in layers.items():
            writer.writerows({"stream": stream, **dataclasses.asdict(row)} for row in statistics.totals)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write readable JSON."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
