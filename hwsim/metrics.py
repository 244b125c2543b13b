"""From records to numbers: pure functions on the tables of a run.

Only the columns that are needed are read, so that millions of layer rows fit in little memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bitmixer.graph import LayerGraph
from hwsim.errors import RecordsError
from hwsim.layer_statistics import LayerStatistics, combined, ratio
from hwsim.plant.shutdown import BROWN_OUT, POWERED, RUNAWAY, SHUT_DOWN
from hwsim.realised_bits import MID_FRAME_COLUMNS, mid_frame_switches
from hwsim.records.schema import idle_columns
from hwsim.records.store import RunTables, numbers
from hwsim.records.streams import StreamTables

PICOSECONDS_PER_SECOND = 10**12
COMPLETED = ("on_time", "late")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """One entry for every input that arrived, in the order of arrival.

    Attributes:
        input_indices: Positions in the data set's test split.
        completed: Whether its frame was computed.
        on_time: Whether that was before the deadline.
        right: Whether the predicted class is the label; ``None`` in a run without outputs.
    """

    input_indices: NDArray[np.int32]
    completed: NDArray[np.bool_]
    on_time: NDArray[np.bool_]
    right: NDArray[np.bool_] | None


def summarise(run: RunTables, layers: LayerStatistics, graph: LayerGraph, *, wall_seconds: float) -> dict[str, Any]:
    """Return the content of ``summary.json``.

    Rates and means whose denominator is zero are ``None``, as is what needs outputs in a run without them.

    Args:
        run: The records.
        layers: Statistics of its layer rows.
        graph: The network that ran.
        wall_seconds: Time that the simulation took on this machine.

    Raises:
        RecordsError: The tables contradict one another.
    """
    switches = len(mid_frame_switches(run.table("decisions", MID_FRAME_COLUMNS), graph))
    return _summary(run, layers, switches, wall_seconds)


def summarise_streams(
    run: RunTables, streams: Sequence[StreamTables], layers: Sequence[LayerStatistics], *, wall_seconds: float
) -> dict[str, Any]:
    """Return the content of ``summary.json`` of a run of one or more streams.

    Where there are several, the totals are over all of them, and ``streams`` has those of each.

    Args:
        run: The records.
        streams: The same, stream by stream.
        layers: Statistics of each stream's layer rows.
        wall_seconds: Time that the simulation took on this machine.

    Raises:
        RecordsError: The tables contradict one another.
    """
    switches = [
        len(mid_frame_switches(stream.table("decisions", MID_FRAME_COLUMNS), stream.graph)) for stream in streams
    ]
    totals = _summary(run, combined(layers), sum(switches), wall_seconds)
    if len(streams) == 1:
        return totals
    parts = {
        stream.name: {
            **_frame_metrics(stream),
            "dynamic_energy_joules": math.fsum(row.energy_joules for row in own.totals),
            "busy_seconds": math.fsum(row.busy_seconds for row in own.totals),
            "preemptions": own.preemptions,
            "moved_bits": own.moved_bits,
            **_bit_metrics(own, switched),
        }
        for stream, own, switched in zip(streams, layers, switches, strict=True)
    }
    return {**totals, "preemptions": combined(layers).preemptions, "streams": parts}


def _summary(run: RunTables, layers: LayerStatistics, switches: int, wall_seconds: float) -> dict[str, Any]:
    frames, device = _frame_metrics(run), _device_metrics(run)
    battery = _battery_metrics(run) if "battery" in run.manifest["limits"] else {}
    resting = _idle_metrics(run) if run.manifest.get("idle_states") else {}
    return {
        "run_id": run.manifest["run_id"],
        "controller": run.manifest["controller"],
        **frames,
        **device,
        **battery,
        **resting,
        "energy_per_input_joules": ratio(device["energy_joules"], frames["inputs_completed"]),
        **_bit_metrics(layers, switches),
        "probes": layers.probes,
        "probe_energy_joules": layers.probe_joules,
        **_decision_metrics(run, device["decisions"], layers),
        "wall_seconds": wall_seconds,
    }


def _decision_metrics(run: RunTables, decisions: int, layers: LayerStatistics) -> dict[str, Any]:
    """Return what deciding took, and how much that is of what the frames' layers took."""
    joules = decisions * run.manifest["limits"]["decision_energy_joules"]
    return {
        "decision_energy_joules": joules,
        "decision_energy_share": ratio(joules, layers.answering_joules),
    }


def _bit_metrics(layers: LayerStatistics, switches: int) -> dict[str, Any]:
    return {
        "mean_weight_bits": layers.mean_weight_bits,
        "mean_activation_bits": layers.mean_activation_bits,
        "bit_switches": layers.bit_switches,
        "mid_frame_switches": switches,
        "mixed_frames": layers.mixed_frames,
    }


def learning_metrics(run: RunTables, name: str, samples: int) -> dict[str, Any]:
    """Return what the training steps of a run took.

    Args:
        run: The records.
        name: That of the training steps' rows.
        samples: Inputs that the network has learned from.
    """
    columns = ["stream", "purpose", "frame", "start_picoseconds", "finish_picoseconds", "energy_joules"]
    rows = run.table("layers", columns)
    rows = rows.filter(pc.equal(rows.column("stream"), name))
    start, finish = (numbers(rows.column(each)) for each in ("start_picoseconds", "finish_picoseconds"))
    joules = math.fsum(rows.column("energy_joules").to_pylist())
    return {
        "steps": len(pc.unique(rows.column("frame"))),
        "samples": samples,
        "energy_joules": joules,
        "energy_per_sample_joules": ratio(joules, samples),
        "busy_seconds": int((finish - start).sum()) / PICOSECONDS_PER_SECOND,
        "preemptions": int(numbers(pc.equal(rows.column("purpose"), "spill")).sum()),
    }


def accuracy_by_data(run: RunTables) -> dict[str, float | None]:
    """Return the accuracy on each data that the frames had, in the order of time."""
    columns = ["data", "status", "input_indices", "predictions", "labels"]
    frames = run.table("frames", columns)
    found = {}
    for data in pc.unique(frames.column("data")).to_pylist():
        inputs = answers(frames.filter(pc.equal(frames.column("data"), data)))
        if inputs.right is not None:
            found[data] = ratio(inputs.right.sum(), int(inputs.completed.sum()))
    return found


def answers(frames: pa.Table) -> Answers:
    """Return what became of every input.

    Args:
        frames: Columns status, input_indices, predictions and labels.

    Raises:
        RecordsError: A completed frame has more or fewer predictions than inputs.
    """
    inputs_per_frame = numbers(pc.list_value_length(frames.column("input_indices")))
    completed_frames = pc.is_in(frames.column("status"), value_set=pa.array(COMPLETED))
    on_time_frames = pc.equal(frames.column("status"), "on_time")
    completed = np.repeat(numbers(completed_frames), inputs_per_frame)
    right = None
    if len(pc.list_flatten(frames.column("labels"))):
        done = frames.filter(completed_frames)
        predictions, labels = (numbers(pc.list_flatten(done.column(name))) for name in ("predictions", "labels"))
        if not len(predictions) == len(labels) == completed.sum():
            raise RecordsError(
                f"frames.parquet: {completed.sum()} inputs completed, but {len(predictions)} predictions and "
                f"{len(labels)} labels; expected one of each per input: run it again"
            )
        right = np.zeros(len(completed), np.bool_)
        right[completed] = predictions == labels
    return Answers(
        input_indices=numbers(pc.list_flatten(frames.column("input_indices"))),
        completed=completed,
        on_time=np.repeat(numbers(on_time_frames), inputs_per_frame),
        right=right,
    )


def _frame_metrics(run: RunTables) -> dict[str, Any]:
    columns = [
        "status",
        "arrival_picoseconds",
        "finish_picoseconds",
        "input_indices",
        "predictions",
        "labels",
    ]
    frames = run.table("frames", columns)
    status = frames.column("status")
    completed = numbers(pc.is_in(status, value_set=pa.array(COMPLETED)))
    arrived = len(frames)
    took = numbers(frames.column("finish_picoseconds")) - numbers(frames.column("arrival_picoseconds"))
    p50, p99 = _percentiles(took[completed] / PICOSECONDS_PER_SECOND, (50, 99))
    inputs = answers(frames)
    inputs_completed = int(inputs.completed.sum())
    missed = arrived - int(numbers(pc.equal(status, "on_time")).sum())
    accuracy = correct_on_time_rate = None
    if inputs.right is not None:
        accuracy = ratio(inputs.right.sum(), inputs_completed)
        correct_on_time_rate = ratio((inputs.right & inputs.on_time).sum(), len(inputs.right))
    return {
        "frames_arrived": arrived,
        "frames_completed": int(completed.sum()),
        "frames_dropped": arrived - int(completed.sum()),
        "inputs_completed": inputs_completed,
        "accuracy": accuracy,
        "correct_on_time_rate": correct_on_time_rate,
        "latency_p50_seconds": p50,
        "latency_p99_seconds": p99,
        "deadline_miss_rate": ratio(missed, arrived),
    }


def _device_metrics(run: RunTables) -> dict[str, Any]:
    limits = run.manifest["limits"]
    die = f"{limits['sensor_node']}_celsius"
    columns = [
        "time_picoseconds", die, "throttle_cap_hertz", "power_watts", "co_running_watts", "decisions", "busy_share",
        "power_state",
    ]  # fmt: skip
    telemetry = run.table("telemetry", columns)
    if not len(telemetry):
        raise RecordsError("telemetry.parquet: no rows; expected one per period of telemetry: run it again")
    time, temperature, cap, power, others, decisions, busy, state = (
        numbers(telemetry.column(name)) for name in columns
    )
    # Means are over the time before their row; a state such as the cap holds from its row on.
    before = np.diff(time, prepend=0) / PICOSECONDS_PER_SECOND
    after = np.diff(time, append=time[-1]) / PICOSECONDS_PER_SECOND
    simulated = int(time[-1]) / PICOSECONDS_PER_SECOND
    return {
        "energy_joules": float(power @ before),
        "co_running_joules": float(others @ before),
        "peak_die_temperature_celsius": float(temperature.max()),
        "above_rating_seconds": float(after[temperature > limits["maximum_junction_celsius"]].sum()),
        "throttled_seconds": float(after[cap < limits["maximum_frequency_hertz"]].sum()),
        "shutdown_seconds": _first_time(time, np.isin(state, (SHUT_DOWN, RUNAWAY))),
        "runaway_seconds": _first_time(time, state == RUNAWAY),
        "off_seconds": float(after[~np.isin(state, POWERED)].sum()),
        "busy_share": ratio(float(busy @ before), simulated),
        "decisions": int(decisions.sum()),
        "simulated_seconds": simulated,
    }


def _first_time(time: NDArray[np.int64], when: NDArray[np.bool_]) -> float | None:
    return int(time[when][0]) / PICOSECONDS_PER_SECOND if when.any() else None


def _battery_metrics(run: RunTables) -> dict[str, Any]:
    columns = [
        "time_picoseconds", "battery_state_of_charge", "battery_drawn_watts", "battery_lost_watts", "harvested_watts",
        "power_state",
    ]  # fmt: skip
    telemetry = run.table("telemetry", columns)
    time, charge, drawn, lost, harvested, state = (numbers(telemetry.column(name)) for name in columns)
    before = np.diff(time, prepend=0) / PICOSECONDS_PER_SECOND
    after = np.diff(time, append=time[-1]) / PICOSECONDS_PER_SECOND
    empty = state == BROWN_OUT
    return {
        "battery_start_state_of_charge": float(charge[0]),
        "battery_end_state_of_charge": float(charge[-1]),
        "battery_joules_drawn": float(drawn @ before),
        "battery_joules_lost": float(lost @ before),
        "harvested_joules": float(harvested @ before),
        "battery_empty_seconds": float(after[empty].sum()),
        "battery_life_seconds": _first_time(time, empty),
    }


def _idle_metrics(run: RunTables) -> dict[str, Any]:
    states = {}
    for name in run.manifest["idle_states"]:
        columns = idle_columns(name)
        telemetry = run.table("telemetry", ["time_picoseconds", *columns])
        time, share, entries, exits = (numbers(telemetry.column(each)) for each in ("time_picoseconds", *columns))
        before = np.diff(time, prepend=0) / PICOSECONDS_PER_SECOND
        seconds = float(share @ before)
        states[name] = {"seconds": seconds, "entries": int(entries.sum()), "exits": int(exits.sum())}
    return {
        "resting_seconds": math.fsum(state["seconds"] for state in states.values()),
        "wakeups": sum(state["exits"] for state in states.values()),
        "idle_states": states,
    }


def _percentiles(values: NDArray[np.float64], percents: Sequence[int]) -> list[float | None]:
    return [float(value) for value in np.percentile(values, percents)] if len(values) else [None] * len(percents)
