"""Tracks of a stream: its frames from their arrival to their end, and what its controller decided."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hwsim.realised_bits import realised_weight_bits
from hwsim.records.store import numbers
from hwsim.records.streams import StreamTables
from hwsim.report.timeline.tracks import PICOSECONDS_PER_TICK, Group, Packets

FRAMES = (
    "frame", "arrival_picoseconds", "start_picoseconds", "finish_picoseconds", "deadline_picoseconds", "energy_joules",
)  # fmt: skip
DECIDED = ("frame", "changed_sites", "bits_before", "bits_after", "frequency_hertz")


def draw_stream(stream: StreamTables, identities: Iterator[int]) -> Iterator[Packets]:
    """Yield the tracks of a stream.

    Raises:
        RecordsError: A file of the run is missing or damaged.
    """
    table = stream.table("frames", (*FRAMES, "status"))
    frame, arrival, start, finish, deadline, energy = (numbers(table.column(name)) for name in FRAMES)
    statuses, status = _ranked(table.column("status"))
    group = Group(f"stream {stream.name}", identities)
    due = "deadline_nanoseconds"
    arrivals = group.track("arrivals", "frames as they arrive", names=("arrival",), keys=("frame", due))
    ran = group.track("frames", "from the first layer's issue on", names=statuses, keys=("frame", "energy_joules"))
    ended = group.track("outputs", "frames as they end: what became of them", names=statuses, keys=("frame",))
    waiting = group.track("frames waiting", "arrived, and neither begun nor dropped", unit="frames")
    bits = group.track("weight bits", "mean over each frame's multiply-accumulates, as they ran", unit="bit")
    yield group.head()
    flow = frame + 1  # from a frame's arrival to its end; 0 would be none
    yield arrivals.instants(
        arrival, np.zeros_like(frame), {"frame": frame, due: deadline // PICOSECONDS_PER_TICK}, flow=flow
    )
    began = start >= 0
    order = np.flatnonzero(began)[np.argsort(start[began], kind="stable")]
    told = {"frame": frame[order], "energy_joules": energy[order]}
    yield ran.slices(start[order], finish[order], status[order], told, flow=flow[order])
    yield ended.instants(finish, status, {"frame": frame}, flow=flow, ends_flow=True)
    yield waiting.values(*waiting_frames(arrival, np.where(began, start, finish)))
    yield bits.values(*realised_weight_bits(stream, stream.graph))
    yield from _decisions(stream, identities)


def waiting_frames(arrival: NDArray[np.int64], left: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when the number of waiting frames changed (picoseconds), and that number from then on.

    Args:
        arrival: When each frame arrived.
        left: When it left the queue: it was begun, dropped or aborted.
    """
    time, at = np.unique(np.concatenate([arrival, left]), return_inverse=True)
    steps = np.repeat([1, -1], [len(arrival), len(left)])
    return time, np.bincount(at, weights=steps, minlength=len(time)).cumsum().astype(np.int64)


def _decisions(stream: StreamTables, identities: Iterator[int]) -> Iterator[Packets]:
    """Yield the controller's track: a slice from each question to its effect, and a marker where bits changed."""
    columns = ("time_picoseconds", "effective_picoseconds", *DECIDED, "reason", "next_layer")
    table = stream.table("decisions", columns)
    time, effective = (numbers(table.column(name)) for name in columns[:2])
    reasons, reason = _ranked(table.column("reason"))
    bound, first = _ranked(pc.binary_join_element_wise("binds from ", table.column("next_layer"), ""))
    group = Group(f"controller {stream.manifest['controller']}", identities)
    asked = group.track("controller", "from each question to the effect", names=reasons, keys=DECIDED)
    changes = group.track("changes of bits", "the first layer that a change binds", names=bound, keys=DECIDED)
    yield group.head()
    told = {key: numbers(table.column(key)) for key in DECIDED}
    yield asked.slices(time, effective, reason, told)
    changed = np.flatnonzero(told["changed_sites"])
    yield changes.instants(effective[changed], first[changed], {key: told[key][changed] for key in DECIDED})


def _ranked(texts: pa.ChunkedArray) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the distinct texts, and of each row the position of its own."""
    distinct = tuple(sorted(texts.unique().to_pylist()))
    return distinct, numbers(pc.index_in(texts, value_set=pa.array(distinct, pa.string())))
