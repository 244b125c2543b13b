"""Columns of the four tables of a run; every column's metadata says its unit and meaning.

Times are int64 picoseconds since the start of the run; energies are joules.
"""

from __future__ import annotations

import pyarrow as pa

NO_TIME = -1
"""Stands for a time that never came (a dropped frame has no start)."""
MOVING = SPILL, RESTORE = ("spill", "restore")
"""Purposes of rows in which no layer runs: tensors of a preempted frame are moved."""
MAY_BE_NULL = (
    "die_reading_celsius", "throttle_reading_celsius", "power_reading_watts", "battery_reading",
    "die_celsius", "die_age_picoseconds", "free_bandwidth_share", "state_of_charge", "power_watts", "seen_frame",
    "frame_deadline_picoseconds", "decision",
)  # fmt: skip
"""Columns of readings that a failed sensor may not give, and of what a controller may not see."""


def _table(*columns: tuple[str, pa.DataType, str, str]) -> pa.Schema:
    return pa.schema(
        [
            pa.field(name, kind, nullable=name in MAY_BE_NULL, metadata={"unit": unit, "meaning": meaning})
            for name, kind, unit, meaning in columns
        ]
    )


FRAMES = _table(
    ("frame", pa.int64(), "", "number of the frame, in the order of arrival"),
    ("stream", pa.string(), "", "name of the stream"),
    ("status", pa.string(), "", "on_time, late, dropped_queue, dropped_deadline or aborted"),
    ("data", pa.string(), "", "data set of the inputs, corruption included"),
    ("network_version", pa.int32(), "", "0 is the checkpoint as loaded"),
    ("final_attempt", pa.int32(), "", "attempt that the predictions come from"),
    ("arrival_picoseconds", pa.int64(), "ps", "when the frame arrived"),
    ("start_picoseconds", pa.int64(), "ps", "when its first layer was issued; -1 if never"),
    ("finish_picoseconds", pa.int64(), "ps", "when its last layer was done, or it was dropped or aborted"),
    ("deadline_picoseconds", pa.int64(), "ps", "when it was due"),
    ("input_indices", pa.list_(pa.int32()), "", "inputs, as positions in the data set's test split"),
    ("predictions", pa.list_(pa.int32()), "", "predicted classes; empty if dropped, aborted or without outputs"),
    ("labels", pa.list_(pa.int32()), "", "true classes; empty without outputs"),
    (
        "energy_joules",
        pa.float64(),
        "J",
        "dynamic energy of the frame's layers (not idle power, not leakage)",
    ),
)

LAYERS = _table(
    ("frame", pa.int64(), "", "number of the frame"),
    ("stream", pa.string(), "", "name of the stream"),
    ("attempt", pa.int32(), "", "0 is the first"),
    ("purpose", pa.string(), "", "inference, rerun, probe, training; spill or restore of a preempted frame's tensors"),
    ("network_version", pa.int32(), "", "0 is the checkpoint as loaded"),
    ("layer", pa.string(), "", "quantisation site; of a spill the one before it, of a restore the one after it"),
    ("weight_bits", pa.int8(), "bit", "weight bits that the array used; 0 in spills and restores"),
    ("activation_bits", pa.int8(), "bit", "activation bits that the array used"),
    (
        "next_activation_bits",
        pa.int8(),
        "bit",
        "activation bits of the key consumer, at which results drained; 32 if they left as accumulators",
    ),
    ("norm_reload", pa.bool_(), "", "whether norm parameters were fetched again, as the transition changed"),
    (
        "planes_fetched",
        pa.int8(),
        "",
        "weight planes that came from DRAM; the others that the width needs were on chip",
    ),
    ("start_picoseconds", pa.int64(), "ps", "when the layer was issued"),
    ("finish_picoseconds", pa.int64(), "ps", "when it was done"),
    ("cycles", pa.int64(), "cycle", "cycles of the array's clock"),
    ("array_cycles", pa.int64(), "cycle", "those for which the array works; memory and vector unit work beside it"),
    ("dram_bits", pa.int64(), "bit", "bits read from and written to DRAM"),
    ("dram_write_bits", pa.int64(), "bit", "those written"),
    (
        "dynamic_energy_scale",
        pa.float64(),
        "",
        "factor of the voltage on dynamic energy, averaged over the layer",
    ),
    ("energy_joules", pa.float64(), "J", "dynamic energy"),
)

DECISIONS = _table(
    ("stream", pa.string(), "", "name of the stream whose controller decided"),
    ("time_picoseconds", pa.int64(), "ps", "when the controller was asked"),
    ("effective_picoseconds", pa.int64(), "ps", "when its decision took effect"),
    ("frame", pa.int64(), "", "frame of the stream that had begun then; -1 if none"),
    ("next_layer", pa.string(), "", "first layer that it could bind; empty: the next frame's first"),
    ("changed_sites", pa.int32(), "", "sites whose wanted widths changed"),
    ("bits_before", pa.float64(), "bit", "mean wanted weight bits before, weighted by multiply-accumulates"),
    ("bits_after", pa.float64(), "bit", "the same after"),
    ("assignment", pa.string(), "", "JSON: site -> [weight, activation] of all sites; empty if unchanged"),
    ("frequency_hertz", pa.int64(), "Hz", "requested clock; 0 if none"),
    ("reason", pa.string(), "", "why, in the controller's words"),
)


FINISHED = pa.struct([
    ("frame", pa.int64()), ("widths", pa.string()), ("inputs", pa.int32()), ("on_time", pa.bool_()),
    ("latency_picoseconds", pa.int64()), ("service_picoseconds", pa.int64()), ("energy_joules", pa.float64()),
])  # fmt: skip
PROBED = pa.struct([("frame", pa.int64()), ("widths", pa.string()), ("inputs", pa.int32()), ("agreeing", pa.int32())])
OBSERVATIONS = _table(
    ("stream", pa.string(), "", "name of the stream whose controller was asked"),
    ("time_picoseconds", pa.int64(), "ps", "when"),
    ("wake", pa.string(), "", "why: tick, frame, layer or finish; start: it was started, and saw nothing"),
    ("failed", pa.bool_(), "", "whether it failed; the decision is then what took its place"),
    ("decision", pa.string(), "", "JSON of its answer; null: nothing changes"),
    ("die_celsius", pa.float64(), "degC", "the sensor's last reading; null while it gives none"),
    ("die_age_picoseconds", pa.int64(), "ps", "its age; null if there never was one"),
    ("frequency_hertz", pa.int64(), "Hz", "clock of the array"),
    ("throttle_cap_hertz", pa.int64(), "Hz", "highest clock that the device allowed"),
    ("queued_deadlines_picoseconds", pa.list_(pa.int64()), "ps", "deadlines of the waiting frames"),
    ("seen_frame", pa.int64(), "", "frame that had begun; null if none"),
    ("frame_deadline_picoseconds", pa.int64(), "ps", "its deadline"),
    ("first_uncommitted", pa.int32(), "", "position of its first site that could still change"),
    ("wanted", pa.string(), "bit", "JSON: [weight, activation] of every site, as wanted until then"),
    ("confidences", pa.list_(pa.float64()), "", "mean top probabilities of frames finished since the row before"),
    ("free_bandwidth_share", pa.float64(), "", "as the device's counter told"),
    ("state_of_charge", pa.float64(), "", "as the battery's gauge told"),
    ("power_watts", pa.float64(), "W", "as the power's sensor told"),
    ("finished", pa.list_(FINISHED), "", "frames that ran to their end since the row before"),
    ("probes", pa.list_(PROBED), "", "probes that were completed since then"),
)

QUEUED, WANTED = OF_STREAMS = ("queued_frames", "wanted_weight_bits")
"""Columns of telemetry that are told by stream, too, where there are several: ``queued_frames_camera``."""
BATTERY_COLUMNS = (
    ("battery_state_of_charge", pa.float64(), "", "charge of both wells, of 1"),
    ("battery_available_joules", pa.float64(), "J", "charge that can be drawn at once, at the nominal voltage"),
    ("battery_bound_joules", pa.float64(), "J", "charge that has to flow to the available well first"),
    ("battery_reading", pa.float64(), "", "state of charge as the gauge last read it; null while silent"),
    ("battery_drawn_watts", pa.float64(), "W", "mean power that the battery gave"),
    ("battery_lost_watts", pa.float64(), "W", "mean loss of charging"),
    ("harvested_watts", pa.float64(), "W", "mean harvested power, without what a full battery refused"),
)


def idle_columns(state: str) -> tuple[str, str, str]:
    """Return the columns of telemetry about an idle state: share of the time, entries, exits."""
    return f"idle_{state}_share", f"idle_{state}_entries", f"idle_{state}_exits"


def telemetry_schema(
    nodes: tuple[str, ...], *, battery: bool = False, idle_states: tuple[str, ...] = (), streams: tuple[str, ...] = ()
) -> pa.Schema:
    """Return the columns of ``telemetry.parquet`` for a device with these nodes and idle states, maybe on a battery.

    Means and sums are over the time since the row before. With several streams, each has columns of its own.
    """
    by_stream = [
        column
        for stream in streams
        for column in (
            (f"{QUEUED}_{stream}", pa.int32(), "", f"those of {stream}"),
            (f"{WANTED}_{stream}", pa.float64(), "bit", f"that of {stream}"),
        )
    ]
    resting = [
        column
        for state, (share, entries, exits) in ((state, idle_columns(state)) for state in idle_states)
        for column in (
            (share, pa.float64(), "", f"share of the time in the idle state {state}"),
            (entries, pa.int64(), "", "times that it was entered"),
            (exits, pa.int64(), "", "times that the device woke from it"),
        )
    ]
    temperatures = [(f"{node}_celsius", pa.float64(), "degC", f"true temperature of the {node}") for node in nodes]
    return _table(
        ("time_picoseconds", pa.int64(), "ps", "time of the row"),
        ("ambient_celsius", pa.float64(), "degC", "air around the device"),
        *temperatures,
        ("die_reading_celsius", pa.float64(), "degC", "what the die's sensor tells controllers; null while silent"),
        ("throttle_reading_celsius", pa.float64(), "degC", "what it tells the device's throttle; null while silent"),
        ("frequency_hertz", pa.int64(), "Hz", "clock of the array; 0 while the device is off or boots"),
        ("throttle_cap_hertz", pa.int64(), "Hz", "highest clock that the throttle allows"),
        ("clock_changes", pa.int32(), "", "changes of the operating point"),
        ("power_reading_watts", pa.float64(), "W", "what the power sensor tells; null while silent, or without one"),
        ("power_watts", pa.float64(), "W", "mean power of the whole device"),
        ("leakage_watts", pa.float64(), "W", "mean leakage"),
        ("co_running_watts", pa.float64(), "W", "mean power of what runs beside the accelerator"),
        ("decisions", pa.int32(), "", "times the controller was asked"),
        ("busy_share", pa.float64(), "", "share of the time in which the array worked"),
        (QUEUED, pa.int32(), "", "frames waiting"),
        (
            WANTED,
            pa.float64(),
            "bit",
            "mean wanted weight bits, weighted by multiply-accumulates",
        ),
        (
            "power_state",
            pa.string(),
            "",
            "on, booting, or why the device is off: shut_down, brown_out, thermal_runaway; from this row on",
        ),
        ("free_bandwidth_share", pa.float64(), "", "mean share of the DRAM's bandwidth that others left free"),
        *(BATTERY_COLUMNS if battery else ()),
        *resting,
        *by_stream,
    )
