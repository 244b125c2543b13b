"""Tracks of the device: a counter for every number in its telemetry, and whether it was on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hwsim.records.store import RunFolder, numbers
from hwsim.report.timeline.tracks import Group, Packets

TIME = "time_picoseconds"
STATE = "power_state"


def draw_device(run: RunFolder, identities: Iterator[int]) -> Iterator[Packets]:
    """Yield the tracks of the device.

    Raises:
        RecordsError: A file of the run is missing or damaged.
    """
    telemetry = run.table("telemetry")
    time = numbers(telemetry.column(TIME))
    counted = [field for field in telemetry.schema if _is_number(field.type) and field.name != TIME]
    states = tuple(sorted(telemetry.column(STATE).unique().to_pylist()))
    group = Group("device", identities)
    power = group.track("power state", "from each row of telemetry to the next", names=states)
    counters = [group.track(field.name, _told(field, "meaning"), unit=_told(field, "unit") or "1") for field in counted]
    yield group.head()
    if not len(time):
        return
    state = numbers(pc.index_in(telemetry.column(STATE), value_set=pa.array(states, pa.string())))
    changed = np.flatnonzero(np.diff(state, prepend=-1))
    yield power.slices(time[changed], np.append(time[changed[1:]], time[-1]), state[changed], {})
    for field, counter in zip(counted, counters, strict=True):
        column = telemetry.column(field.name)
        known = numbers(pc.is_valid(column))
        yield counter.values(time[known], numbers(column.drop_null()))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _told(field: pa.Field, what: str) -> str:
    told: bytes = (field.metadata or {}).get(what.encode(), b"")
    return told.decode()
