"""A track of a Perfetto timeline: slices, instants or a counter, as packets.

Field numbers are those of Perfetto's ``TracePacket`` and ``TrackEvent``
(perfetto.dev/docs/reference/trace-packet-proto). Every track writes a sequence of its own, whose defaults name the
track, so that no event repeats it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.report.timeline import wire
from hwsim.report.timeline.wire import Rows

PACKET = 1
"""Field of a trace that holds a packet."""
TIMESTAMP, TRACK_EVENT, SEQUENCE, INTERNED, FLAGS, DEFAULTS, DESCRIPTOR = 8, 11, 10, 12, 13, 59, 60
"""Fields of a packet."""
BEGIN, END, INSTANT, COUNTER = 1, 2, 3, 4
"""Types of an event."""
STATE_CLEARED, NEEDS_STATE = 1, 2
"""Flags of a sequence."""
PICOSECONDS_PER_TICK = 1000
"""A timeline counts nanoseconds."""
_EVENT_TYPE, _NAME_ID, _FLOW, _LAST_FLOW, _VALUE, _ANNOTATION, _TRACK = 9, 10, 47, 48, 44, 4, 11
_BY_RANK = 3

Packets = bytes | Rows
"""Whole packets, one after another."""
Arguments = Mapping[str, NDArray[Any]]
"""What an event tells beside its name: key -> a number per event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One line of the timeline.

    Attributes:
        identity: Number of the track, and of its place among its siblings.
        name: What people read.
        parent: Number of the track that holds it; 0: none.
        description: What it shows, and of what it is made.
        unit: Of a counter; ``None``: it holds slices or instants.
        names: Names of its events.
        keys: Keys of their arguments.
    """

    identity: int
    name: str
    parent: int = 0
    description: str = ""
    unit: str | None = None
    names: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def head(self) -> bytes:
        """Return the packets that describe the track; they come before its events."""
        counter = b"" if self.unit is None else wire.message(8, wire.text(6, self.unit))
        descriptor = (
            wire.integer(1, self.identity),
            wire.integer(5, self.parent) if self.parent else b"",
            wire.text(2, self.name),
            wire.text(14, self.description) if self.description else b"",
            counter,
            wire.integer(11, _BY_RANK),
            wire.integer(12, self.identity),
        )
        interned = (
            *(wire.message(2, wire.integer(1, at), wire.text(2, name)) for at, name in enumerate(self.names, 1)),
            *(wire.message(3, wire.integer(1, at), wire.text(2, key)) for at, key in enumerate(self.keys, 1)),
        )
        defaults = wire.message(DEFAULTS, wire.message(TRACK_EVENT, wire.integer(_TRACK, self.identity)))
        return wire.message(PACKET, self._sequence, wire.message(DESCRIPTOR, *descriptor)) + wire.message(
            PACKET, self._sequence, wire.integer(FLAGS, STATE_CLEARED), defaults, wire.message(INTERNED, *interned)
        )

    def slices(
        self, start: NDArray[np.int64], finish: NDArray[np.int64], name: NDArray[Any], arguments: Arguments,
        *, flow: NDArray[Any] | None = None,
    ) -> Rows:  # fmt: skip
        """Return slices that do not overlap, in the order of time; each is two packets.

        Args:
            start: Of each, in picoseconds.
            finish: Of each, in picoseconds.
            name: Positions in ``names``.
            arguments: Numbers by key.
            flow: Number of the flow that each is a part of.
        """
        end = self._packets(finish, wire.joined(wire.integer(_EVENT_TYPE, END), np.empty((len(finish), 0), np.uint8)))
        return wire.joined(self._packets(start, self._named(BEGIN, name, arguments, _FLOW, flow)), end)

    def instants(
        self, time: NDArray[np.int64], name: NDArray[Any], arguments: Arguments,
        *, flow: NDArray[Any] | None = None, ends_flow: bool = False,
    ) -> Rows:  # fmt: skip
        """Return markers; ``time`` in picoseconds, ``name`` positions in ``names``."""
        return self._packets(time, self._named(INSTANT, name, arguments, _LAST_FLOW if ends_flow else _FLOW, flow))

    def values(self, time: NDArray[np.int64], values: NDArray[Any]) -> Rows:
        """Return a counter's values, each from its time (picoseconds) on."""
        return self._packets(time, wire.joined(wire.integer(_EVENT_TYPE, COUNTER), wire.doubles(_VALUE, values)))

    @property
    def _sequence(self) -> bytes:
        return wire.integer(SEQUENCE, self.identity)

    def _named(
        self, kind: int, name: NDArray[Any], arguments: Arguments, flow_field: int, flow: NDArray[Any] | None
    ) -> Rows:
        annotations = (
            wire.messages(_ANNOTATION, wire.integer(1, self.keys.index(key) + 1), self._argument(values))
            for key, values in arguments.items()
        )
        flows = () if flow is None else (wire.fixed(flow_field, flow),)
        return wire.joined(
            wire.integer(_EVENT_TYPE, kind), wire.integers(_NAME_ID, np.asarray(name) + 1), *annotations, *flows
        )

    @staticmethod
    def _argument(values: NDArray[Any]) -> Rows:
        whole = np.issubdtype(values.dtype, np.integer)
        return wire.integers(4, values) if whole else wire.doubles(5, values)

    def _packets(self, time: NDArray[np.int64], event: Rows) -> Rows:
        stamps = wire.integers(TIMESTAMP, time // PICOSECONDS_PER_TICK)
        state = wire.integer(FLAGS, NEEDS_STATE)
        return wire.messages(PACKET, self._sequence, state, stamps, wire.messages(TRACK_EVENT, event))


class Group:
    """A heading of the timeline with its tracks.

    Args:
        name: What people read.
        identities: Numbers that no other track of the timeline has.
    """

    def __init__(self, name: str, identities: Iterator[int]) -> None:
        self._identities = identities
        self._tracks = [Track(identity=next(identities), name=name)]

    def track(
        self, name: str, description: str, *, unit: str | None = None, names: tuple[str, ...] = (),
        keys: tuple[str, ...] = (),
    ) -> Track:  # fmt: skip
        """Return a new track below the heading; the arguments are its attributes."""
        track = Track(
            identity=next(self._identities), name=name, parent=self._tracks[0].identity, description=description,
            unit=unit, names=names, keys=keys,
        )  # fmt: skip
        self._tracks.append(track)
        return track

    def head(self) -> bytes:
        """Return the packets that describe the heading and its tracks; they come before all events."""
        return b"".join(track.head() for track in self._tracks)
