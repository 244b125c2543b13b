"""Writes the tables of a run while it goes on: an observer of the simulation."""

from __future__ import annotations

import itertools
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bitmixer.graph import LayerGraph
from hwsim.cost import CostTable
from hwsim.drift import Drift
from hwsim.records.observations import ObservationTable
from hwsim.records.schema import DECISIONS, FRAMES, LAYERS, SPILL, telemetry_schema
from hwsim.simulation.events import (
    ControllerAsked,
    DecisionTaken,
    FrameEnded,
    LayerExecuted,
    Observer,
    TelemetrySampled,
    Widths,
)

ROWS_IN_MEMORY = 1 << 15


@dataclass(frozen=True, kw_only=True)
class RecordedStream:
    """What records say of a stream.

    Attributes:
        name: Its name.
        graph: Its network.
        costs: The network's cost table.
        data: Data set of its inputs, which may change over time; without a name where there are no outputs.
        labels: True class of every input of the test split; ``None`` without outputs.
    """

    name: str
    graph: LayerGraph
    costs: CostTable
    data: Drift = field(default_factory=lambda: Drift.none(""))
    labels: NDArray[np.int32] | None = None


@dataclass(frozen=True, kw_only=True)
class RecordedLearner:
    """What records say of training steps.

    Attributes:
        name: Their name.
        stream: Position of the stream whose network learns.
        costs: Cost table of a step.
    """

    name: str
    stream: int
    costs: CostTable


class Recorder(Observer):
    """Keeps what happens; layers go to disk as they come, so that long runs need little memory.

    Args:
        folder: Where to.
        streams: The streams, in the order of the scenario.
        nodes: The device's thermal nodes.
        battery: Whether it has a battery.
        idle_states: Names of its idle states.
        learner: The training steps of one stream's network, if it learns.

    Attributes:
        frames: Every frame that ended, for the computation of its outputs.
        steps: Every training step that was done; each makes a new version of the network.
    """

    def __init__(
        self, folder: Path, streams: Sequence[RecordedStream], nodes: tuple[str, ...], *, battery: bool = False,
        idle_states: tuple[str, ...] = (), learner: RecordedLearner | None = None,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._streams = tuple(streams)
        self._learner = learner
        running: list[RecordedStream | RecordedLearner] = [*streams, *([] if learner is None else [learner])]
        rows = [each.costs.dram_read_bits.reshape(-1) for each in running]
        self._read_bits = np.concatenate(rows)
        self._write_bits = np.concatenate([each.costs.dram_write_bits.reshape(-1) for each in running])
        self._first_row = _starts(rows)
        self._first_site = _starts([each.costs.graph.layers for each in running])
        self._names = pa.array([layer.name for each in running for layer in each.costs.graph.layers])
        self._stream_names = pa.array([each.name for each in running])
        self._macs = [np.array([layer.macs for layer in each.graph.layers], dtype=np.float64) for each in streams]
        self._layers: list[LayerExecuted] = []
        self._decisions: list[DecisionTaken] = []
        self._telemetry: list[TelemetrySampled] = []
        self._telemetry_schema = telemetry_schema(
            nodes, battery=battery, idle_states=idle_states,
            streams=tuple(each.name for each in streams) if len(streams) > 1 else (),
        )  # fmt: skip
        self._assignments: dict[tuple[Widths, ...], tuple[Widths, ...]] = {}
        self._began: dict[int, dict[int, int]] = {}
        self._observations = ObservationTable(folder, tuple(each.name for each in streams))
        self._writer = pq.ParquetWriter(folder / "layers.parquet", LAYERS)
        self.frames: list[FrameEnded] = []
        self.steps: list[FrameEnded] = []

    def layer_executed(self, event: LayerExecuted) -> None:
        """Keep a layer, and write the kept ones when they are many."""
        self._layers.append(event)
        if len(self._layers) >= ROWS_IN_MEMORY:
            self._flush()

    def frame_ended(self, event: FrameEnded) -> None:
        """Keep a frame; equal assignments share one tuple."""
        self.frames.append(event._replace(widths=self._known(event.widths)))

    def step_ended(self, event: FrameEnded) -> None:
        """Keep a training step that was done; an aborted one has changed nothing."""
        if event.widths:
            self.steps.append(event)

    def decision_taken(self, event: DecisionTaken) -> None:
        """Keep a decision."""
        self._decisions.append(event)

    def controller_asked(self, event: ControllerAsked) -> None:
        """Keep what a controller saw and answered."""
        self._observations.add(event)

    def telemetry_sampled(self, event: TelemetrySampled) -> None:
        """Keep a row of telemetry."""
        self._telemetry.append(event._replace(wanted=tuple(map(self._known, event.wanted))))

    def close(self) -> None:
        """Write what is kept, but for the frames, which may still get their outputs."""
        if self._layers:
            self._flush()
        self._writer.close()
        self._observations.close()
        pq.write_table(self._decision_table(), self._folder / "decisions.parquet")
        pq.write_table(self._telemetry_table(), self._folder / "telemetry.parquet")

    def write_frames(self, predictions: Mapping[int, NDArray[np.int32]], *, labelled: bool) -> None:
        """Write the frames, in the order of arrival.

        Args:
            predictions: Frame -> predicted class of each input; frames that are missing have none.
            labelled: Whether the true classes are written, too.
        """
        frames = sorted(self.frames)
        with pq.ParquetWriter(self._folder / "frames.parquet", FRAMES) as writer:
            for start in range(0, max(len(frames), 1), ROWS_IN_MEMORY):
                chunk = frames[start : start + ROWS_IN_MEMORY]
                rows = [self._frame_row(frame, predictions, labelled=labelled) for frame in chunk]
                writer.write_table(pa.Table.from_pylist(rows, schema=FRAMES))

    def _known(self, widths: tuple[Widths, ...]) -> tuple[Widths, ...]:
        return self._assignments.setdefault(widths, widths)

    def _frame_row(
        self, frame: FrameEnded, predictions: Mapping[int, NDArray[np.int32]], *, labelled: bool
    ) -> dict[str, Any]:
        stream = self._streams[frame.stream]
        return {
            "frame": frame.frame,
            "stream": stream.name,
            "status": frame.status,
            "data": stream.data.name(frame.arrival_picoseconds),
            "network_version": self._version(frame.stream, frame.start_picoseconds),
            "final_attempt": frame.attempt,
            "arrival_picoseconds": frame.arrival_picoseconds,
            "start_picoseconds": frame.start_picoseconds,
            "finish_picoseconds": frame.finish_picoseconds,
            "deadline_picoseconds": frame.deadline_picoseconds,
            "input_indices": frame.inputs,
            "predictions": predictions.get(frame.frame, ()),
            "labels": stream.labels[list(frame.inputs)] if labelled and stream.labels is not None else (),
            "energy_joules": frame.energy_joules,
        }

    def _flush(self) -> None:
        columns = [np.array(column) for column in zip(*self._layers, strict=True)]
        events = LayerExecuted(*columns)  # type: ignore[arg-type]
        stream, rows = np.asarray(events.stream), np.asarray(events.row)
        priced, at = rows >= 0, self._first_row[stream] + rows  # what is moved for a preempted frame has no row
        spilled = events.moved_bits * (np.asarray(events.purpose) == SPILL)
        written = np.where(priced, self._write_bits[at], spilled)
        table = {
            "frame": events.frame,
            "stream": self._stream_names.take(pa.array(stream)),
            "attempt": np.asarray(events.attempt, dtype=np.int32),
            "purpose": events.purpose,
            "network_version": self._versions(events),
            "layer": self._names.take(pa.array(self._first_site[stream] + events.position)),
            "weight_bits": np.asarray(events.weight_bits, dtype=np.int8),
            "activation_bits": np.asarray(events.activation_bits, dtype=np.int8),
            "next_activation_bits": np.asarray(events.next_activation_bits, dtype=np.int8),
            "norm_reload": events.norm_reload,
            "planes_fetched": np.asarray(events.planes_fetched, dtype=np.int8),
            "start_picoseconds": events.start_picoseconds,
            "finish_picoseconds": events.finish_picoseconds,
            "cycles": events.cycles,
            "array_cycles": events.array_cycles,
            "dram_bits": np.where(priced, self._read_bits[at] + written, events.moved_bits),
            "dram_write_bits": written,
            "dynamic_energy_scale": events.dynamic_energy_scale,
            "energy_joules": events.energy_joules,
        }
        self._writer.write_table(pa.table(table, schema=LAYERS))
        self._layers.clear()

    def _version(self, stream: int, started: int) -> int:
        """Return the version of its network that a stream's frame began with."""
        if self._learner is None or stream != self._learner.stream:
            return 0
        return bisect_right([step.finish_picoseconds for step in self.steps], started)

    def _versions(self, events: LayerExecuted) -> NDArray[np.int32]:
        """Return the version that each layer row ran: that with which its frame, or its training step, began."""
        stream = np.asarray(events.stream)
        versions = np.zeros(len(stream), np.int32)
        if self._learner is None:
            return versions
        ends = np.array([step.finish_picoseconds for step in self.steps], dtype=np.int64)
        for own in (self._learner.stream, len(self._streams)):
            rows = np.flatnonzero(stream == own)
            frames, starts = np.asarray(events.frame)[rows], np.asarray(events.start_picoseconds)[rows]
            began = self._began.setdefault(own, {})
            for frame, start in zip(frames.tolist(), starts.tolist(), strict=True):
                began.setdefault(frame, start)
            versions[rows] = np.searchsorted(ends, [began[frame] for frame in frames.tolist()], side="right")
        return versions

    def _decision_table(self) -> pa.Table:
        rows = []
        for event in self._decisions:
            stream = self._streams[event.stream]
            names = [layer.name for layer in stream.graph.layers]
            before = event.before or ((0, 0),) * len(names)
            changed = sum(old != new for old, new in zip(before, event.after, strict=True))
            assignment = dict(zip(names, event.after, strict=True)) if changed else None
            running = 0 <= event.next_position < len(names) and event.frame >= 0
            rows.append({
                "stream": stream.name,
                "time_picoseconds": event.time_picoseconds,
                "effective_picoseconds": event.effective_picoseconds,
                "frame": event.frame,
                "next_layer": names[event.next_position] if running else "",
                "changed_sites": changed,
                "bits_before": self._mean_weight_bits({event.stream: event.before or event.after}),
                "bits_after": self._mean_weight_bits({event.stream: event.after}),
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
                event.power_reading_watts, event.power_watts, event.leakage_watts, event.co_running_watts,
                event.decisions, event.busy_share, sum(event.queued),
                self._mean_weight_bits(dict(enumerate(event.wanted))), event.power_state, event.free_bandwidth_share,
                *(event.battery or ()), *itertools.chain(*event.idle_states), *self._by_stream(event),
            )
            for event in self._telemetry
        ]  # fmt: skip
        columns = list(zip(*rows, strict=True)) or [()] * len(self._telemetry_schema)
        return pa.table(list(columns), schema=self._telemetry_schema)

    def _by_stream(self, event: TelemetrySampled) -> list[float]:
        """Return the columns that telemetry has for each of several streams."""
        if len(self._streams) == 1:
            return []
        wanted = [self._mean_weight_bits({stream: widths}) for stream, widths in enumerate(event.wanted)]
        return [value for pair in zip(event.queued, wanted, strict=True) for value in pair]

    def _mean_weight_bits(self, widths: Mapping[int, tuple[Widths, ...]]) -> float:
        """Return the mean over the sites of some streams' networks, weighted by multiply-accumulates."""
        macs = np.concatenate([self._macs[stream] for stream in widths])
        return float(np.average([pair[0] for pairs in widths.values() for pair in pairs], weights=macs))


def _starts(parts: Sequence[Sized]) -> NDArray[np.int64]:
    """Return where each part begins once they are joined."""
    return np.cumsum([0, *map(len, parts)])[:-1]
