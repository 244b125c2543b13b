"""The timeline, read back by Perfetto's own schema, says what the records say."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim import pipeline
from hwsim.records.store import RunFolder, numbers
from hwsim.report.timeline import wire, write_timeline

schema = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2", reason="needs perfetto")
unknown = pytest.importorskip("google.protobuf.unknown_fields")

BEGIN, END, INSTANT, COUNTER = 1, 2, 3, 4
ALL_AT_ONCE = (
    "streams.0.arrivals.bursts.first=10 ms", "streams.0.inputs_per_frame=200", "streams.0.deadline='9 ms'"
)  # fmt: skip


class Event(NamedTuple):
    """An event with its names looked up."""

    kind: int
    nanoseconds: int
    name: str
    value: float
    told: dict[str, float]
    flows: tuple[int, ...]
    ended_flows: tuple[int, ...]


@pytest.fixture(scope="module")
def run(bursty: str, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("runs") / "timeline"
    pipeline.run(pipeline.plan(bursty, sets=ALL_AT_ONCE), folder)
    return RunFolder(folder)


@pytest.fixture(scope="module")
def tracks(run: RunFolder) -> dict[str, list[Event]]:
    return read(run.path / "timeline.pftrace")


def packets(path: Path) -> Iterator[Any]:
    for outer in schema.Trace.FromString(path.read_bytes()).packet:
        yield from schema.Trace.FromString(zlib.decompress(outer.compressed_packets)).packet


def read(path: Path) -> dict[str, list[Event]]:
    """Return the events of each track, as a reader of Perfetto's traces finds them."""
    titles: dict[int, str] = {}
    track_of: dict[int, int] = {}
    texts: dict[int, tuple[dict[int, str], dict[int, str]]] = {}
    found: dict[str, list[Event]] = defaultdict(list)
    for packet in packets(path):
        sequence = packet.trusted_packet_sequence_id
        assert sequence
        if packet.HasField("track_descriptor"):
            titles[packet.track_descriptor.uuid] = packet.track_descriptor.name
            assert packet.track_descriptor.parent_uuid in {0, *titles}
        if packet.sequence_flags & 1:
            track_of[sequence] = packet.trace_packet_defaults.track_event_defaults.track_uuid
            interned = packet.interned_data
            texts[sequence] = (
                {entry.iid: entry.name for entry in interned.event_names},
                {entry.iid: entry.name for entry in interned.debug_annotation_names},
            )
        if packet.HasField("track_event"):
            assert packet.sequence_flags & 2
            event, (names, keys) = packet.track_event, texts[sequence]
            told = {keys[each.name_iid]: each.int_value or each.double_value for each in event.debug_annotations}
            found[titles[track_of[sequence]]].append(
                Event(
                    event.type,
                    packet.timestamp,
                    names.get(event.name_iid, ""),
                    event.double_counter_value,
                    told,
                    tuple(event.flow_ids),
                    tuple(event.terminating_flow_ids),
                )
            )
    return found


def spans(events: list[Event]) -> list[tuple[Event, int]]:
    """Return the slices of a track with their ends; readers sort by time, and keep the order of simultaneous ones."""
    ordered, open_slices, closed = sorted(events, key=lambda event: event.nanoseconds), [], []
    for event in ordered:
        if event.kind == BEGIN:
            open_slices.append(event)
            assert len(open_slices) == 1, "slices of a track do not overlap"
        elif event.kind == END:
            closed.append((open_slices.pop(), event.nanoseconds))
    assert open_slices == []
    return closed


def test_no_field_is_unknown_to_the_schema(run: RunFolder) -> None:
    def strangers(message: Any) -> Iterator[str]:
        if len(unknown.UnknownFieldSet(message)):
            yield str(message)
        for field, value in message.ListFields():
            if field.message_type is not None:
                for each in value if field.is_repeated else (value,):
                    yield from strangers(each)

    assert [stranger for packet in packets(run.path / "timeline.pftrace") for stranger in strangers(packet)] == []


def test_every_layer_is_a_slice_with_its_bits(run: RunFolder, tracks: dict[str, list[Event]]) -> None:
    rows = run.table("layers").to_pylist()
    slices = spans(tracks["array"])
    assert len(slices) == len(rows) > 100
    for (begin, end), row in zip(slices, rows, strict=True):
        assert begin.name == f"{row['layer']} w{row['weight_bits']}a{row['activation_bits']}"
        assert (begin.nanoseconds, end) == (row["start_picoseconds"] // 1000, row["finish_picoseconds"] // 1000)
        assert begin.told["energy_joules"] == row["energy_joules"]
        assert [begin.told[key] for key in ("frame", "cycles", "dram_bits")] == [
            *(row["frame"], row["cycles"], row["dram_bits"])
        ]


def test_what_moves_lies_within_its_layer_and_adds_up(run: RunFolder, tracks: dict[str, list[Event]]) -> None:
    layers = run.table("layers")
    moved, written = (int(numbers(layers.column(name)).sum()) for name in ("dram_bits", "dram_write_bits"))
    reads, writes = spans(tracks["DMA in"]), spans(tracks["DMA out"])
    assert sum(begin.told["bits"] for begin, _ in writes) == written > 0
    assert sum(begin.told["bits"] for begin, _ in reads) == moved - written > 0
    starts, ends = (numbers(layers.column(f"{edge}_picoseconds")) // 1000 for edge in ("start", "finish"))
    assert {begin.nanoseconds for begin, _ in reads} <= set(starts.tolist())
    assert {end for _, end in writes} <= set(ends.tolist())
    busy = sum(end - begin.nanoseconds for begin, end in reads + writes)
    assert busy <= (ends - starts).sum()


def test_a_flow_leads_from_each_arrival_to_what_became_of_it(run: RunFolder, tracks: dict[str, list[Event]]) -> None:
    frames = run.table("frames").to_pylist()
    assert len({frame["status"] for frame in frames}) > 1
    arrivals = {event.flows[0]: event for event in tracks["arrivals"]}
    outputs = {event.ended_flows[0]: event for event in tracks["outputs"]}
    ran = {begin.flows[0]: begin.nanoseconds for begin, _ in spans(tracks["frames"])}
    for frame in frames:
        flow = frame["frame"] + 1
        assert arrivals[flow].nanoseconds == frame["arrival_picoseconds"] // 1000
        assert (outputs[flow].name, outputs[flow].nanoseconds) == (
            *(frame["status"], frame["finish_picoseconds"] // 1000),
        )
        began = None if frame["start_picoseconds"] < 0 else frame["start_picoseconds"] // 1000
        assert ran.get(flow) == began


def test_frames_wait_from_arrival_to_their_start(run: RunFolder, tracks: dict[str, list[Event]]) -> None:
    waiting = [event.value for event in tracks["frames waiting"]]
    capacity = run.manifest["scenario"]["queue"]["capacity"]
    assert max(waiting) == capacity
    assert min(waiting) == waiting[-1] == 0


def test_decisions_are_slices_and_their_changes_markers(run: RunFolder, tracks: dict[str, list[Event]]) -> None:
    decisions = run.table("decisions").to_pylist()
    slices = [begin for begin, _ in spans(tracks["controller"])]
    assert [begin.name for begin in slices] == [each["reason"] for each in decisions]
    assert [begin.told["frame"] for begin in slices] == [each["frame"] for each in decisions]
    changed = [each for each in decisions if each["changed_sites"]]
    assert [(event.nanoseconds, event.name) for event in tracks["changes of bits"]] == [
        (each["effective_picoseconds"] // 1000, f"binds from {each['next_layer']}") for each in changed
    ]


def test_every_number_of_telemetry_is_a_counter(run: RunFolder, tracks: dict[str, list[Event]]) -> None:
    telemetry = run.table("telemetry")
    for name in set(telemetry.column_names) - {"time_picoseconds", "power_state"}:
        rows = telemetry.filter(telemetry.column(name).is_valid())  # a sensor may be silent, or there is none
        time, values = (numbers(rows.column(column)) for column in ("time_picoseconds", name))
        assert [event.nanoseconds for event in tracks[name]] == (time // 1000).tolist(), name
        assert [event.value for event in tracks[name]] == values.astype(np.float64).tolist()


def test_the_same_records_give_the_same_bytes(run: RunFolder) -> None:
    before = (run.path / "timeline.pftrace").read_bytes()
    assert write_timeline(run).read_bytes() == before


def test_streams_have_tracks_of_their_own_and_preemption_shows(tmp_path: Path) -> None:
    planned = pipeline.plan("two_streams", sets=["outputs=none", "duration=400 ms"])
    pipeline.run(planned, tmp_path / "run", figures=False)
    run = RunFolder(tmp_path / "run")
    write_timeline(run)
    names = [begin.name for begin, _ in spans(read(tmp_path / "run" / "timeline.pftrace")["array"])]
    streams = [stream.stream.name for stream in planned.streams]
    assert {name.split(":")[0] for name in names} == set(streams)
    purposes = set(run.table("layers", ["purpose"]).column("purpose").to_pylist())
    assert purposes > {"inference"}
    assert {name.rsplit(" ", 1)[1] for name in names if name.endswith(("spill", "restore"))} == purposes - {"inference"}


def test_a_run_in_which_nothing_arrives_has_a_timeline(bursty: str, tmp_path: Path) -> None:
    never = ["streams.0.arrivals.offset='50 ms'", "streams.0.arrivals.bursts=null", "duration=20 ms"]
    pipeline.run(pipeline.plan(bursty, sets=never), tmp_path / "run", figures=False)
    assert read(write_timeline(RunFolder(tmp_path / "run")))["array"] == []


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_padded_numbers_are_read_as_they_were(values: list[int]) -> None:
    rows = wire.messages(1, wire.messages(11, wire.integers(30, np.array(values))))
    events = schema.Trace.FromString(rows.tobytes()).packet
    assert [packet.track_event.counter_value for packet in events] == values
    assert len({len(row) for row in rows}) == 1


def test_dram_traffic_is_that_of_each_layer(run: RunFolder, tracks: dict[str, list[Event]]) -> None:
    layers = run.table("layers")
    start, finish, bits = (
        numbers(layers.column(name)) for name in ("start_picoseconds", "finish_picoseconds", "dram_bits")
    )
    assert [event.nanoseconds for event in tracks["DRAM traffic"]] == (start // 1000).tolist()
    gigabits_per_second = [event.value for event in tracks["DRAM traffic"]]
    assert gigabits_per_second == pytest.approx((bits / (finish - start) * 1e3).tolist(), rel=1e-12)
