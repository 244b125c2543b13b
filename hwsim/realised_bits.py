"""What the array really ran at: the bits of sites, frames and decisions, from the records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bitmixer.graph import LayerGraph
from hwsim.errors import RecordsError
from hwsim.records.store import RunTables, numbers

MID_FRAME_COLUMNS = (
    "changed_sites",
    "effective_picoseconds",
    "frame",
    "next_layer",
    "bits_before",
    "bits_after",
    "assignment",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MidFrameSwitch:
    """A decision that changed sites of the frame that was on the array.

    Attributes:
        effective_picoseconds: When it took effect.
        frame: The frame.
        next_layer: The first site that it could bind.
        bits_change: Mean weight bits after less before.
    """

    effective_picoseconds: int
    frame: int
    next_layer: str
    bits_change: float


def mid_frame_switches(decisions: pa.Table, graph: LayerGraph) -> list[MidFrameSwitch]:
    """Return the decisions that changed at least one site of a frame already on the array.

    A decision binds the sites from ``next_layer`` on. The first assignment on record has none to be
    compared with; if it changed sites while a frame ran, it counts.

    Args:
        decisions: The columns in ``MID_FRAME_COLUMNS``.
        graph: The network that ran.
    """
    switches = []
    before: dict[str, list[int]] = {}
    for row in decisions.filter(pc.not_equal(decisions.column("assignment"), "")).to_pylist():
        after = json.loads(row["assignment"])
        if row["changed_sites"] and row["frame"] >= 0 and row["next_layer"]:
            bound = graph.layers[graph.index[row["next_layer"]] :]
            if any(before.get(layer.name) != after[layer.name] for layer in bound):
                switches.append(
                    MidFrameSwitch(
                        effective_picoseconds=row["effective_picoseconds"],
                        frame=row["frame"],
                        next_layer=row["next_layer"],
                        bits_change=row["bits_after"] - row["bits_before"],
                    )
                )
        before = after
    return switches


def realised_weight_bits(run: RunTables, graph: LayerGraph) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the start (picoseconds) and mean weight bits, weighted by MACs, of every frame that ran."""
    layers = run.table("layers", ["frame", "purpose", "layer", "weight_bits", "start_picoseconds"])
    layers = layers.filter(pc.equal(layers.column("purpose"), "inference"))
    macs = _macs(graph)[site_positions(layers, graph)]
    frames, first, group = np.unique(numbers(layers.column("frame")), return_index=True, return_inverse=True)
    weighted = np.bincount(group, weights=macs * numbers(layers.column("weight_bits")), minlength=len(frames))
    mean = weighted / np.bincount(group, weights=macs, minlength=len(frames))
    return numbers(layers.column("start_picoseconds"))[first], mean


def site_positions(layers: pa.Table, graph: LayerGraph) -> NDArray[np.int32]:
    """Return the position in the order of issue of every row's layer.

    Raises:
        RecordsError: A layer is not in the graph.
    """
    positions = pc.index_in(layers.column("layer"), value_set=pa.array(list(graph.index), pa.string()))
    if positions.null_count:
        stranger = layers.column("layer").filter(pc.is_null(positions))[0].as_py()
        raise RecordsError(
            f"layers.parquet: layer {stranger!r} is not in graph.json: they are of different runs"
        )
    return numbers(positions)


def bit_metrics(run: RunTables, graph: LayerGraph) -> dict[str, Any]:
    """Return the part of ``summary.json`` about bits.

    Raises:
        RecordsError: A layer is not in the graph.
    """
    layers = run.table("layers", ["frame", "attempt", "purpose", "layer", "weight_bits", "activation_bits"])
    positions = site_positions(layers, graph)
    weight, activation = (numbers(layers.column(name)) for name in ("weight_bits", "activation_bits"))
    macs = _macs(graph)[positions]
    return {
        "mean_weight_bits": ratio(macs @ weight, macs.sum()),
        "mean_activation_bits": ratio(macs @ activation, macs.sum()),
        "bit_switches": _bit_switches(positions, _code(weight, activation)),
        "mid_frame_switches": len(mid_frame_switches(run.table("decisions", MID_FRAME_COLUMNS), graph)),
        "mixed_frames": _mixed_frames(layers, positions, graph),
    }


def _bit_switches(positions: NDArray[np.int32], codes: NDArray[np.int16]) -> int:
    """Count the executions of a site at other widths than its execution before."""
    order = np.argsort(positions, kind="stable")  # rows are in the order of execution
    same_site = np.diff(positions[order]) == 0
    return int((same_site & (np.diff(codes[order]) != 0)).sum())


def _mixed_frames(layers: pa.Table, positions: NDArray[np.int32], graph: LayerGraph) -> int:
    """Count the frames of which one attempt ran its sites that are not pinned at different widths."""
    free = np.array([not layer.pinned for layer in graph.layers])[positions]
    answering = numbers(pc.is_in(layers.column("purpose"), value_set=pa.array(["inference", "rerun"])))
    rows = np.flatnonzero(free & answering)
    if not len(rows):
        return 0
    frames, attempts = (numbers(layers.column(name))[rows] for name in ("frame", "attempt"))
    weight, activation = (numbers(layers.column(name))[rows] for name in ("weight_bits", "activation_bits"))
    codes, stride = _code(weight, activation), int(attempts.max()) + 1
    attempt_numbers, first, group = np.unique(
        frames * stride + attempts, return_index=True, return_inverse=True
    )
    differs = codes != codes[first][group]
    return len(np.unique(attempt_numbers[group[differs]] // stride))


def _code(weight_bits: NDArray[np.int8], activation_bits: NDArray[np.int8]) -> NDArray[np.int16]:
    """Return one number per pair of widths."""
    return weight_bits.astype(np.int16) * 256 + activation_bits


def _macs(graph: LayerGraph) -> NDArray[np.float64]:
    return np.array([layer.macs for layer in graph.layers], np.float64)


def ratio(part: float, whole: float) -> float | None:
    """Return ``part / whole``; ``None`` where the whole is zero."""
    return float(part / whole) if whole else None
