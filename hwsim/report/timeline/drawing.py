"""Writes ``timeline.pftrace``: the tracks of a run, compressed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from hwsim.records.store import RunFolder
from hwsim.records.streams import streams_of
from hwsim.report.timeline import wire
from hwsim.report.timeline.accelerator_tracks import draw_accelerator
from hwsim.report.timeline.device_tracks import draw_device
from hwsim.report.timeline.stream_tracks import draw_stream
from hwsim.report.timeline.tracks import PACKET, Packets

FILE = "timeline.pftrace"
COMPRESSED_PACKETS = 50
"""Field of a packet that holds other packets, compressed by zlib."""
COMPRESSION = 1
"""zlib's fastest."""


def write_timeline(run: RunFolder) -> Path:
    """Write the timeline into the run's folder, for ui.perfetto.dev or any other reader of Perfetto's traces.

    Returns:
        The path written.

    Raises:
        RecordsError: A file of the run is missing or damaged.
    """
    path = run.path / FILE
    with path.open("wb") as file:
        for packets in _drawn(run):
            content = packets if isinstance(packets, bytes) else packets.tobytes()
            compressed = zlib.compress(content, COMPRESSION)
            file.write(wire.message(PACKET, wire.message(COMPRESSED_PACKETS, compressed)))
    return path


def _drawn(run: RunFolder) -> Iterator[Packets]:
    """Yield whole packets, some at a time; what a track is comes before its events."""
    identities, streams = count(1), streams_of(run)
    yield from draw_accelerator(run, streams, identities)
    for stream in streams:
        yield from draw_stream(stream, identities)
    yield from draw_device(run, identities)
