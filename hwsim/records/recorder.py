"""Writes the tables of a run while it goes on: an observer of the simulation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bitmixer.graph import LayerGraph
from hwsim.cost import CostTable
from hwsim.records.schema import DECISIONS, FRAMES, LAYERS, telemetry_schema
from hwsim.simulation.events import (
    DecisionTaken,
    FrameEnded,
    LayerExecuted,
    Observer,
    TelemetrySampled,
    Widths,
)

ROWS_IN_MEMORY = 1 << 15


class Recorder(Observer):
    """Keeps what happens; layers go to disk as they come, so that long runs need little memory.

    Attributes:
        frames: Every frame that ended, for the computation of its outputs.
    """

    def __init__(
        self,
        folder: Path,
        graph: LayerGraph,
        costs: CostTable,
        nodes: tuple[str, ...],
        *,
        stream: str,
        data: str,
        battery: bool = False,
    ) -> None:
        self._folder = folder
        self._graph = graph
        self._stream = stream
        self._data = data
        self._dram_bits = (costs.dram_read_bits + costs.dram_write_bits).reshape(-1)
        self._names = pa.array([layer.name for layer in graph.layers])
        self._macs = np.array([layer.macs for layer in graph.layers], dtype=np.float64)
        self._layers: list[LayerExecuted] = []
        self._decisions: list[DecisionTaken] = []
        self._telemetry: list[TelemetrySampled] = []
        self._telemetry_schema = telemetry_schema(nodes, battery=battery)
        self._assignments: dict[tuple[Widths, ...], tuple[Widths, ...]] = {}
        self._writer = pq.ParquetWriter(folder / "layers.parquet", LAYERS)
        self.frames: list[FrameEnded] = []

    def layer_executed(self, event: LayerExecuted) -> None:
        """Keep a layer, and write the kept ones when they are many."""
        self._layers.append(event)
        if len(self._layers) >= ROWS_IN_MEMORY:
            self._flush()

    def frame_ended(self, event: FrameEnded) -> None:
        """Keep a frame; equal assignments share one tuple."""
        self.frames.append(event._replace(widths=self._known(event.widths)))

    def decision_taken(self, event: DecisionTaken) -> None:
        """Keep a decision."""
        self._decisions.append(event)

    def telemetry_sampled(self, event: TelemetrySampled) -> None:
        """Keep a row of telemetry."""
        self._telemetry.append(event._replace(wanted=self._known(event.wanted)))

    def close(self) -> None:
        """Write what is kept, but for the frames, which may still get their outputs."""
        if self._layers:
            self._flush()
        self._writer.close()
        pq.write_table(self._decision_table(), self._folder / "decisions.parquet")
        pq.write_table(self._telemetry_table(), self._folder / "telemetry.parquet")

    def write_frames(self, predictions: dict[int, np.ndarray[Any, Any]], labels: np.ndarray[Any, Any] | None) -> None:
        """Write the frames, in the order of arrival.

        Args:
            predictions: Frame -> predicted class of each input; frames that are missing have none.
            labels: True class of every input of the test split.
        """
        frames = sorted(self.frames)
        with pq.ParquetWriter(self._folder / "frames.parquet", FRAMES) as writer:
            for start in range(0, max(len(frames), 1), ROWS_IN_MEMORY):
                rows = [self._frame_row(frame, predictions, labels) for frame in frames[start : start + ROWS_IN_MEMORY]]
                writer.write_table(pa.Table.from_pylist(rows, schema=FRAMES))

    def _known(self, widths: tuple[Widths, ...]) -> tuple[Widths, ...]:
        return self._assignments.setdefault(widths, widths)

    def _frame_row(
        self,
        frame: FrameEnded,
        predictions: dict[int, np.ndarray[Any, Any]],
        labels: np.ndarray[Any, Any] | None,
    ) -> dict[str, Any]:
        return {
            "frame": frame.frame,
            "stream": self._stream,
            "status": frame.status,
            "data": self._data,
            "network_version": 0,
            "final_attempt": 0,
            "arrival_picoseconds": frame.arrival_picoseconds,
            "start_picoseconds": frame.start_picoseconds,
            "finish_picoseconds": frame.finish_picoseconds,
            "deadline_picoseconds": frame.deadline_picoseconds,
            "input_indices": frame.inputs,
            "predictions": predictions.get(frame.frame, ()),
            "labels": () if labels is None else labels[list(frame.inputs)],
            "energy_joules": frame.energy_joules,
        }

    def _flush(self) -> None:
        columns = [np.array(column) for column in zip(*self._layers, strict=True)]
        events = LayerExecuted(*columns)  # type: ignore[arg-type]
        count = len(self._layers)
        rows = np.asarray(events.row)
        table = {
            "frame": events.frame,
            "stream": pa.repeat(self._stream, count),
            "attempt": pa.repeat(pa.scalar(0, pa.int32()), count),
            "purpose": pa.repeat("inference", count),
            "network_version": pa.repeat(pa.scalar(0, pa.int32()), count),
            "layer": self._names.take(pa.array(events.position)),
            "weight_bits": np.asarray(events.weight_bits, dtype=np.int8),
            "activation_bits": np.asarray(events.activation_bits, dtype=np.int8),
            "next_activation_bits": np.asarray(events.next_activation_bits, dtype=np.int8),
            "norm_reload": events.norm_reload,
            "planes_fetched": np.asarray(events.planes_fetched, dtype=np.int8),
            "start_picoseconds": events.start_picoseconds,
            "finish_picoseconds": events.finish_picoseconds,
            "cycles": events.cycles,
            "array_cycles": events.array_cycles,
            "dram_bits": self._dram_bits[rows],
            "dynamic_energy_scale": events.dynamic_energy_scale,
            "energy_joules": events.energy_joules,
        }
        self._writer.write_table(pa.table(table, schema=LAYERS))
        self._layers.clear()

    def _decision_table(self) -> pa.Table:
        names = [layer.name for layer in self._graph.layers]
        rows = []
        for event in self._decisions:
            before = event.before or ((0, 0),) * len(names)
            changed = sum(old != new for old, new in zip(before, event.after, strict=True))
            assignment = dict(zip(names, event.after, strict=True)) if changed else None
            running = 0 <= event.next_position < len(names) and event.frame >= 0
            rows.append({
                "time_picoseconds": event.time_picoseconds,
                "effective_picoseconds": event.effective_picoseconds,
                "frame": event.frame,
                "next_layer": names[event.next_position] if running else "",
                "changed_sites": changed,
                "bits_before": self._mean_weight_bits(event.before or event.after),
                "bits_after": self._mean_weight_bits(event.after),
                "assignment": json.dumps(assignment) if changed else "",
                "frequency_hertz": event.frequency_hertz,
                "reason": event.reason,
            })  # fmt: skip
        return pa.Table.from_pylist(rows, schema=DECISIONS)

    def _telemetry_table(self) -> pa.Table:
        rows = [
            (
                event.time_picoseconds, event.ambient_celsius, *event.node_celsius, event.die_reading_celsius,
                event.throttle_reading_celsius, event.frequency_hertz, event.throttle_cap_hertz, event.clock_changes,
                event.power_watts, event.leakage_watts, event.decisions, event.busy_share, event.queued_frames,
                self._mean_weight_bits(event.wanted), event.power_state, event.free_bandwidth_share,
                *(event.battery or ()),
            )
            for event in self._telemetry
        ]  # fmt: skip
        columns = list(zip(*rows, strict=True)) or [()] * len(self._telemetry_schema)
        return pa.table(list(columns), schema=self._telemetry_schema)

    def _mean_weight_bits(self, widths: tuple[Widths, ...]) -> float:
        return float(np.average([pair[0] for pair in widths], weights=self._macs))
