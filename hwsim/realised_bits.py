"""What the array really ran at: the bits of sites, frames and decisions, from the records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bitmixer.bitwidths import MAX_BITS
from bitmixer.graph import LayerGraph
from hwsim.layer_statistics import site_positions
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


def dominant_widths(
    graph: LayerGraph, layers: pa.Table, column: NDArray[Any], columns: int, busy: NDArray[Any]
) -> NDArray[np.int64]:
    """Return (layers, columns): the weight bits with the most time in each cell; 0 where nothing ran.

    Args:
        graph: The network.
        layers: Rows of layers, with columns layer and weight_bits.
        column: Column that each row falls into.
        columns: How many there are.
        busy: Time that each row took.
    """
    sites, choices = len(graph.layers), MAX_BITS + 1
    cell = site_positions(layers, graph).astype(np.int64) * columns + column
    # One picosecond more, so that a layer that took no time is still seen.
    time: NDArray[Any] = np.bincount(
        cell * choices + numbers(layers.column("weight_bits")),
        weights=busy + 1,
        minlength=sites * columns * choices,
    )
    widest: NDArray[np.int64] = time.reshape(sites, columns, choices).argmax(axis=2)
    return widest


def _macs(graph: LayerGraph) -> NDArray[np.float64]:
    return np.array([layer.macs for layer in graph.layers], np.float64)
