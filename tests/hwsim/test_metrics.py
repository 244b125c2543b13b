"""Numbers of a run that can be worked out by hand."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer, LayerGraph
from hwsim import metrics
from hwsim.errors import RecordsError
from hwsim.layer_statistics import layer_statistics
from hwsim.metrics import answers
from hwsim.realised_bits import MID_FRAME_COLUMNS, mid_frame_switches, realised_weight_bits
from hwsim.records.schema import DECISIONS, FRAMES, LAYERS, telemetry_schema

SECOND = 10**12
FRAME = dict.fromkeys(FRAMES.names, 0) | {"stream": "camera", "status": "on_time", "data": "digits"}
LAYER = dict.fromkeys(LAYERS.names, 0) | {"stream": "camera", "purpose": "inference", "norm_reload": False}
TELEMETRY = telemetry_schema(("die", "board"))
DECISION = dict.fromkeys(DECISIONS.names, 0) | {"stream": "camera", "next_layer": "", "assignment": "", "reason": ""}


def linear(name: str, macs: int, *, pinned: bool = False) -> Layer:
    return Layer(
        name=name,
        kind="linear",
        **dict.fromkeys(("kernel_height", "kernel_width", "groups", "input_channels"), 1),
        **dict.fromkeys(("input_height", "input_width", "output_height", "output_width"), 1),
        output_channels=macs,
        stride=(1, 1),
        padding=(0, 0),
        allowed=tuple(BitWidths.tied(bits) for bits in ((8,) if pinned else (2, 4, 8))),
        producers=(),
        consumers=(),
        key_consumer=None,
        is_key_consumer=True,
        **dict.fromkeys(("stream_write_elements", "residual_write_elements", "residual_read_elements"), 0),
        vector_operations=0,
    )


GRAPH = LayerGraph(
    network="tiny",
    input_shape=(1,),
    classes=2,
    residual_bits=8,
    layers=(linear("stem", 10, pinned=True), linear("body", 30), linear("head", 60)),
    joins=(),
)


def summarise(run: Run, graph: LayerGraph, *, wall_seconds: float) -> dict[str, Any]:
    return metrics.summarise(run, layer_statistics(run, graph), graph, wall_seconds=wall_seconds)


@dataclass
class Run:
    frames: list[dict[str, Any]] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)
    telemetry: list[dict[str, Any]] = field(default_factory=lambda: [{"time_picoseconds": SECOND}])
    decisions: list[dict[str, Any]] = field(default_factory=list)
    manifest: dict[str, Any] = field(
        default_factory=lambda: {
            "run_id": "r1",
            "controller": "static",
            "limits": {
                "maximum_frequency_hertz": 200,
                "sensor_node": "die",
                "maximum_junction_celsius": 85.0,
                "decision_energy_joules": 0.5,
            },
        }
    )

    def table(self, name: str, columns: Sequence[str]) -> pa.Table:
        blank, schema = {
            "frames": (FRAME, FRAMES),
            "layers": (LAYER, LAYERS),
            "telemetry": (dict.fromkeys(TELEMETRY.names, 0) | {"power_state": "on"}, TELEMETRY),
            "decisions": (DECISION, DECISIONS),
        }[name]
        return table([blank | row for row in getattr(self, name)], schema).select(list(columns))

    def batches(self, name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        whole = self.table(name, columns)
        yield from (whole.slice(start, 2) for start in range(0, len(whole), 2))


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)


def frame(status: str, inputs: list[int], right: list[bool], *, took: int = 0) -> dict[str, Any]:
    done = status in ("on_time", "late")
    return {
        "status": status,
        "input_indices": inputs,
        "labels": [1] * len(inputs),
        "predictions": [int(is_right) for is_right in right] if done else [],
        "arrival_picoseconds": 5 * SECOND,
        "finish_picoseconds": 5 * SECOND + took,
    }


FRAMES_OF_FOUR_FATES = [
    frame("on_time", [0, 1], [True, False], took=1 * SECOND),
    frame("late", [2, 3], [True, True], took=3 * SECOND),
    frame("dropped_queue", [4, 5], [True, True]),
    frame("aborted", [6, 7], [True, True]),
]


def bits(frame_number: int, *widths: int, **others: Any) -> list[dict[str, Any]]:
    """Return the rows of one frame through stem, body and head."""
    row = {"frame": frame_number} | others
    return [
        row | {"layer": layer.name, "weight_bits": width, "activation_bits": width}
        for layer, width in zip(GRAPH.layers, widths, strict=True)
    ]


def decision(body: int, head: int, **others: Any) -> dict[str, Any]:
    assignment = {"stem": [8, 8], "body": [body, body], "head": [head, head]}
    return {"assignment": json.dumps(assignment), "changed_sites": 1, **others}


def test_dropped_frames_do_not_look_accurate_and_aborted_ones_count_as_dropped() -> None:
    summary = summarise(Run(frames=FRAMES_OF_FOUR_FATES), GRAPH, wall_seconds=0.5)
    assert [summary[f"frames_{fate}"] for fate in ("arrived", "completed", "dropped")] == [4, 2, 2]
    assert summary["inputs_completed"] == 4
    assert summary["accuracy"] == 3 / 4
    assert summary["correct_on_time_rate"] == 1 / 8
    assert summary["deadline_miss_rate"] == 3 / 4
    assert summary["latency_p50_seconds"] == 2
    assert summary["latency_p99_seconds"] == pytest.approx(2.98)
    assert (summary["run_id"], summary["controller"], summary["wall_seconds"]) == ("r1", "static", 0.5)


def test_energy_is_mean_power_times_the_time_before_and_a_cap_holds_from_its_row_on() -> None:
    telemetry = [
        {"time_picoseconds": 2 * SECOND, "power_watts": 3.0, "busy_share": 1.0, "decisions": 4}
        | {"die_celsius": 50.0, "board_celsius": 99.0, "throttle_cap_hertz": 200},
        {"time_picoseconds": 3 * SECOND, "power_watts": 1.0, "busy_share": 0.5, "decisions": 1}
        | {"die_celsius": 70.0, "board_celsius": 99.0, "throttle_cap_hertz": 100},
        {"time_picoseconds": 8 * SECOND, "power_watts": 2.0, "busy_share": 0.1, "decisions": 0}
        | {"die_celsius": 60.0, "board_celsius": 99.0, "throttle_cap_hertz": 200},
    ]
    summary = summarise(Run(frames=FRAMES_OF_FOUR_FATES, telemetry=telemetry), GRAPH, wall_seconds=0)
    assert summary["energy_joules"] == 2 * 3 + 1 * 1 + 5 * 2
    assert summary["energy_per_input_joules"] == 17 / 4
    assert summary["peak_die_temperature_celsius"] == 70
    assert summary["throttled_seconds"] == 5
    assert summary["busy_share"] == pytest.approx((2 + 0.5 + 0.5) / 8)
    assert summary["decisions"] == 5
    assert summary["simulated_seconds"] == 8


def test_a_device_is_off_from_the_row_that_says_so() -> None:
    states = (("on", 1), ("shut_down", 3), ("booting", 7), ("on", 8), ("shut_down", 9), ("shut_down", 11))
    telemetry = [{"time_picoseconds": second * SECOND, "power_state": state} for state, second in states]
    summary = summarise(Run(telemetry=telemetry), GRAPH, wall_seconds=0)
    assert (summary["shutdown_seconds"], summary["off_seconds"]) == (3.0, 4.0 + 2.0)


def test_mean_bits_are_weighted_by_multiply_accumulates() -> None:
    layers = bits(0, 8, 4, 2) + bits(1, 8, 8, 8)
    summary = summarise(Run(layers=layers), GRAPH, wall_seconds=0)
    assert summary["mean_weight_bits"] == pytest.approx((80 + 120 + 120 + 800) / 200)
    starts, realised = realised_weight_bits(Run(layers=layers), GRAPH)
    assert realised.tolist() == [3.2, 8.0]
    assert len(starts) == 2


def test_a_switch_is_a_site_at_other_widths_than_at_its_execution_before() -> None:
    layers = bits(0, 8, 8, 8) + bits(1, 8, 8, 2) + bits(2, 8, 8, 2) + bits(3, 8, 4, 4)
    summary = summarise(Run(layers=layers), GRAPH, wall_seconds=0)
    assert summary["bit_switches"] == 1 + 0 + 2
    assert summary["mixed_frames"] == 2


def test_a_rerun_at_other_widths_does_not_make_a_frame_mixed_nor_does_a_probe() -> None:
    layers = bits(7, 8, 2, 2) + bits(7, 8, 8, 8, attempt=1, purpose="rerun")
    layers += bits(7, 8, 2, 4, attempt=2, purpose="probe")
    assert summarise(Run(layers=layers), GRAPH, wall_seconds=0)["mixed_frames"] == 0


@pytest.mark.parametrize(
    ("second", "counts"),
    [
        (decision(8, 2, frame=3, next_layer="head"), True),
        (decision(4, 8, frame=3, next_layer="head"), False),  # body was past changing
        (decision(4, 8, frame=3, next_layer="body"), True),
        (decision(8, 2, frame=3, next_layer=""), False),  # binds the next frame only
        (decision(8, 2, frame=-1, next_layer="head"), False),  # nothing on the array
    ],
)
def test_only_decisions_that_change_the_running_frame_are_mid_frame(second: dict[str, Any], counts: bool) -> None:
    run = Run(decisions=[decision(8, 8, frame=-1), {"frame": 3, "next_layer": "head"}, second])
    found = mid_frame_switches(run.table("decisions", MID_FRAME_COLUMNS), GRAPH)
    assert [switch.frame for switch in found] == [3] * counts
    assert summarise(run, GRAPH, wall_seconds=0)["mid_frame_switches"] == counts


def test_a_first_decision_that_changes_nothing_is_no_switch() -> None:
    confirmed = decision(8, 8, frame=0, next_layer="body", changed_sites=0)
    assert summarise(Run(decisions=[confirmed]), GRAPH, wall_seconds=0)["mid_frame_switches"] == 0


def test_without_outputs_there_is_no_accuracy() -> None:
    silent = [row | {"labels": [], "predictions": []} for row in FRAMES_OF_FOUR_FATES]
    summary = summarise(Run(frames=silent), GRAPH, wall_seconds=0)
    assert summary["accuracy"] is summary["correct_on_time_rate"] is None
    assert summary["inputs_completed"] == 4


def test_a_run_in_which_nothing_happened_has_no_rates() -> None:
    summary = summarise(Run(), GRAPH, wall_seconds=0)
    absent = {name for name, value in summary.items() if value is None}
    assert absent == {
        *("shutdown_seconds", "runaway_seconds"),
        *("accuracy", "correct_on_time_rate", "latency_p50_seconds", "latency_p99_seconds"),
        *("deadline_miss_rate", "energy_per_input_joules", "mean_weight_bits", "mean_activation_bits"),
        "decision_energy_share",
    }


def test_layer_totals_add_up_executions_in_the_order_of_issue() -> None:
    timed = {"start_picoseconds": SECOND, "finish_picoseconds": 3 * SECOND, "energy_joules": 0.25}
    layers = bits(0, 8, 4, 2, cycles=5, dram_bits=7, **timed) + bits(1, 8, 8, 2, norm_reload=True, **timed)
    stem, body, head = layer_statistics(Run(layers=layers), GRAPH).totals
    assert (stem.layer, body.layer, head.layer) == ("stem", "body", "head")
    assert dataclasses.asdict(body) == {
        "layer": "body",
        "executions": 2,
        "mean_weight_bits": 6.0,
        "mean_activation_bits": 6.0,
        "busy_seconds": 4.0,
        "cycles": 5,
        "dram_bits": 7,
        "energy_joules": 0.5,
        "norm_reloads": 1,
    }


def test_a_layer_that_never_ran_has_no_mean_bits() -> None:
    (stem, *_) = layer_statistics(Run(), GRAPH).totals
    assert (stem.executions, stem.mean_weight_bits, stem.energy_joules) == (0, None, 0)


@given(
    st.lists(st.tuples(st.sampled_from(["on_time", "late", "dropped_deadline"]), st.lists(st.booleans(), min_size=1)))
)
def test_every_input_that_arrived_has_one_entry(fates: list[tuple[str, list[bool]]]) -> None:
    rows = [FRAME | frame(status, list(range(len(right))), right) for status, right in fates]
    inputs = answers(table(rows, FRAMES))
    expected = [(status, is_right) for status, right in fates for is_right in right]
    assert inputs.completed.tolist() == [status != "dropped_deadline" for status, _ in expected]
    assert inputs.on_time.tolist() == [status == "on_time" for status, _ in expected]
    if inputs.right is not None:
        assert inputs.right.tolist() == [status != "dropped_deadline" and right for status, right in expected]


def test_tables_that_contradict_one_another_are_refused() -> None:
    lost = FRAMES_OF_FOUR_FATES[0] | {"predictions": [1]}
    with pytest.raises(RecordsError, match="2 inputs completed, but 1 predictions"):
        summarise(Run(frames=[lost]), GRAPH, wall_seconds=0)
    with pytest.raises(RecordsError, match=r"layer 'tail' is not in graph\.json"):
        summarise(Run(layers=[{"layer": "tail"}]), GRAPH, wall_seconds=0)
    with pytest.raises(RecordsError, match="no rows"):
        summarise(Run(telemetry=[]), GRAPH, wall_seconds=0)
