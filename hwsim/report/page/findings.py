"""Answers of the page: why frames missed, what cost energy, which bits answered how well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hwsim.layer_statistics import ANSWERING, layer_statistics, site_positions
from hwsim.metrics import COMPLETED, PICOSECONDS_PER_SECOND
from hwsim.records.store import RunFolder, numbers
from hwsim.records.streams import StreamTables

BINS = 60
MOST_ASSIGNMENTS = 12
CAUSES: Mapping[str, str] = {
    "dropped_queue": "it found the queue full, or the device off",
    "dropped_deadline": "its deadline passed while it waited",
    "aborted": "the device went off while it waited or ran",
    "late_work": "its layers alone took longer than it was given",
    "late_wait": "it waited too long for the array before it",
}
_TIMES = ("arrival_picoseconds", "start_picoseconds", "finish_picoseconds", "deadline_picoseconds")


def misses(stream: StreamTables, run: RunFolder) -> list[dict[str, Any]]:
    """Return the causes of late, dropped and aborted frames, most frequent first, each with its slowest example.

    A late frame whose time on the array, from its first layer's issue to its end, exceeds the time from arrival to
    deadline was late by its own work; any other late frame waited too long.
    """
    frames = stream.table("frames", ("frame", "status", *_TIMES))
    frame = numbers(frames.column("frame"))
    arrival, start, finish, deadline = (numbers(frames.column(name)) for name in _TIMES)
    status = np.array(frames.column("status").to_pylist(), dtype=np.str_)
    work = np.where(finish - start > deadline - arrival, "late_work", "late_wait")
    cause = np.where(status == "late", work, status)
    throttled = _throttled(run, finish)
    found = []
    for name, told in CAUSES.items():
        of_it = np.flatnonzero(cause == name)
        if len(of_it):
            worst = of_it[np.argmax((finish - arrival)[of_it])]
            found.append(
                {
                    "cause": told,
                    "frames": len(of_it),
                    "share": len(of_it) / len(frame),
                    "throttled": float(throttled[of_it].mean()),
                    "example": int(frame[worst]),
                    "waited_milliseconds": _milliseconds(
                        (start[worst] if start[worst] >= 0 else finish[worst]) - arrival[worst]
                    ),
                    "ran_milliseconds": _milliseconds(finish[worst] - start[worst]) if start[worst] >= 0 else None,
                    "at_seconds": arrival[worst] / PICOSECONDS_PER_SECOND,
                }
            )
    return sorted(found, key=lambda each: -each["frames"])


def energy_parts(run: RunFolder) -> list[tuple[str, float]]:
    """Return what the device's energy went into, in joules, greatest first; the parts add up to the whole."""
    telemetry = run.table("telemetry")
    before = np.diff(numbers(telemetry.column("time_picoseconds")), prepend=0) / PICOSECONDS_PER_SECOND
    parts = {"layers on the array, with their DRAM traffic": 0.0}
    for batch in run.batches("layers", ("energy_joules",)):
        parts["layers on the array, with their DRAM traffic"] += float(numbers(batch.column("energy_joules")).sum())
    for column, name in {"leakage_watts": "leakage", "co_running_watts": "what runs beside the accelerator"}.items():
        if column in telemetry.column_names:
            parts[name] = float(numbers(telemetry.column(column)) @ before)
    whole = float(numbers(telemetry.column("power_watts")) @ before)
    parts["constant power, decisions, changes of clock and state"] = whole - sum(parts.values())
    return sorted(((name, joules) for name, joules in parts.items() if joules), key=lambda part: -part[1])


def layer_rows(stream: StreamTables) -> list[dict[str, Any]]:
    """Return one row per layer: executions, mean bits, cycles, stalls, utilisation, traffic, energy and time."""
    sites = len(stream.graph.layers)
    worked = np.zeros(sites)
    for batch in stream.batches("layers", ("layer", "array_cycles")):
        cycles = numbers(batch.column("array_cycles"))
        worked += np.bincount(site_positions(batch, stream.graph), weights=cycles, minlength=sites)
    return [
        {
            "layer": row.layer,
            "executions": row.executions,
            "weight_bits": row.mean_weight_bits,
            "activation_bits": row.mean_activation_bits,
            "cycles": row.cycles,
            "stalled": row.cycles - int(array_cycles),
            "utilisation": array_cycles / row.cycles if row.cycles else None,
            "dram_megabytes": row.dram_bits / 8e6,
            "energy_joules": row.energy_joules,
            "busy_seconds": row.busy_seconds,
        }
        for row, array_cycles in zip(layer_statistics(stream, stream.graph).totals, worked.tolist(), strict=True)
    ]


def latencies(stream: StreamTables) -> dict[str, Any]:
    """Return how long completed frames took from arrival to finish, as counts of equal bins (milliseconds)."""
    frames = stream.table("frames", ("status", *_TIMES))
    frames = frames.filter(pc.is_in(frames.column("status"), value_set=pa.array(COMPLETED)))
    arrival, _, finish, deadline = (numbers(frames.column(name)) for name in _TIMES)
    allowed = _milliseconds(np.median(deadline - arrival)) if len(arrival) else 0.0
    took = (finish - arrival) * 1e3 / PICOSECONDS_PER_SECOND
    top = max(allowed * 1.1, float(took.max(initial=0.0)), 1e-9)
    counts, edges = np.histogram(took, bins=BINS, range=(0, top))
    return {"stream": stream.name, "counts": counts.tolist(), "edges": edges.tolist(), "deadline": allowed}


def assignments(stream: StreamTables) -> list[dict[str, Any]]:
    """Return the assignments that completed frames ran under, most inputs first, with the share answered right."""
    frames = stream.table("frames", ("frame", "final_attempt", "status", "predictions", "labels"))
    frames = frames.filter(pc.is_in(frames.column("status"), value_set=pa.array(COMPLETED)))
    if not len(frames):
        return []
    frame, attempt = (numbers(frames.column(name)) for name in ("frame", "final_attempt"))
    distinct, group = np.unique(_realised(stream, frame, attempt), axis=0, return_inverse=True)
    inputs = numbers(pc.list_value_length(frames.column("predictions")))
    right = numbers(pc.equal(pc.list_flatten(frames.column("predictions")), pc.list_flatten(frames.column("labels"))))
    answered = np.bincount(np.repeat(group, inputs), minlength=len(distinct))
    correct = np.bincount(np.repeat(group, inputs), weights=right, minlength=len(distinct))
    macs = np.array([layer.macs for layer in stream.graph.layers], np.float64)
    free = np.array([not layer.pinned for layer in stream.graph.layers])
    ran = np.bincount(group, minlength=len(distinct))
    return [
        {
            "name": _called(distinct[at], free),
            "weight_bits": float(np.average(distinct[at] // 256, weights=macs)),
            "frames": int(ran[at]),
            "accuracy": float(correct[at] / answered[at]) if answered[at] else None,
        }
        for at in np.argsort(-ran, kind="stable")[:MOST_ASSIGNMENTS].tolist()
    ]


def _realised(stream: StreamTables, frame: NDArray[Any], attempt: NDArray[Any]) -> NDArray[np.int32]:
    """Return (frames, sites): weight bits x 256 + activation bits that each frame's answer comes from."""
    realised = np.zeros((len(frame), len(stream.graph.layers)), np.int32)
    columns = ("frame", "attempt", "purpose", "layer", "weight_bits", "activation_bits")
    for batch in stream.batches("layers", columns):
        rows = batch.filter(pc.is_in(batch.column("purpose"), value_set=pa.array(ANSWERING)))
        of, tried, weight, activation = (numbers(rows.column(columns[at])) for at in (0, 1, 4, 5))
        place = np.minimum(np.searchsorted(frame, of), len(frame) - 1)
        kept = (frame[place] == of) & (attempt[place] == tried)
        codes = weight.astype(np.int32) * 256 + activation
        realised[place[kept], site_positions(rows, stream.graph)[kept]] = codes[kept]
    return realised


def _called(codes: NDArray[np.int32], free: NDArray[np.bool_]) -> str:
    """Return ``w4a4`` where all sites that may differ are alike, else the span of their weight bits."""
    chosen = np.unique(codes[free] if free.any() else codes)
    if len(chosen) == 1:
        return f"w{chosen[0] // 256}a{chosen[0] % 256}"
    return f"mixed, {chosen.min() // 256} to {chosen.max() // 256} weight bits"


def _throttled(run: RunFolder, time: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether the throttle held the clock down at each time."""
    telemetry = run.table("telemetry", ("time_picoseconds", "throttle_cap_hertz"))
    rows = np.searchsorted(numbers(telemetry.column("time_picoseconds")), time, side="right") - 1
    caps: NDArray[np.bool_] = (
        numbers(telemetry.column("throttle_cap_hertz")) < run.manifest["limits"]["maximum_frequency_hertz"]
    )
    return caps[np.maximum(rows, 0)]


def _milliseconds(picoseconds: Any) -> float:
    return float(picoseconds) * 1e3 / PICOSECONDS_PER_SECOND
