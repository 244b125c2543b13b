"""``live.jsonl``: what a run tells while it goes on, for whoever watches; it is gone when the run has ended.

It is no part of the records: how many lines it gets depends on how fast the machine is.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import numpy as np

from bitmixer.graph import LayerGraph
from hwsim.simulation.events import FrameEnded, Observer, TelemetrySampled, Widths

FILE = "live.jsonl"
SECONDS_BETWEEN_ROWS = 0.25
"""Wall time; a run that is over sooner writes none."""
PICOSECONDS_PER_SECOND = 10**12


class LiveRecord(Observer):
    """Writes a line now and then, each a JSON object; the first says what runs.

    Args:
        folder: The run's.
        told: What runs: what the first line says.
        graphs: Network of each stream, to weigh its bits.
        clock: Wall time in seconds.
    """

    def __init__(
        self,
        folder: Path,
        told: dict[str, Any],
        graphs: Sequence[LayerGraph],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = folder / FILE
        self._told = {**told, "process": os.getpid(), "machine": platform.node()}
        self._macs = np.concatenate([[layer.macs for layer in graph.layers] for graph in graphs])
        self._clock = clock
        self._began = self._last = clock()
        self._file: TextIO | None = None
        self._stage = ""
        self._share = 0.0
        self._ended = self._missed = 0
        self._device: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)

    def joined(self, progress: Callable[[str, float], None]) -> Callable[[str, float], None]:
        """Return a function that tells both ``progress`` and this record of a stage and its share done."""

        def told(stage: str, share: float) -> None:
            progress(stage, share)
            self._stage, self._share = stage, share
            self._write_if_due()

        return told

    def frame_ended(self, event: FrameEnded) -> None:
        """Count it."""
        self._ended += 1
        self._missed += event.status != "on_time"

    def telemetry_sampled(self, event: TelemetrySampled) -> None:
        """Keep it, if it is time for a line."""
        if self._clock() - self._last < SECONDS_BETWEEN_ROWS:
            return
        self._device = {
            "simulated_seconds": event.time_picoseconds / PICOSECONDS_PER_SECOND,
            "die_celsius": event.die_reading_celsius,
            "power_watts": event.power_watts,
            "frequency_hertz": event.frequency_hertz,
            "frames_waiting": sum(event.queued),
            "weight_bits": self._mean_weight_bits(event.wanted),
            "state_of_charge": event.battery.state_of_charge if event.battery else None,
        }
        self._write_if_due()

    def _mean_weight_bits(self, wanted: Sequence[tuple[Widths, ...]]) -> float:
        return float(np.average([pair[0] for widths in wanted for pair in widths], weights=self._macs))

    def _write_if_due(self) -> None:
        now = self._clock()
        if now - self._last < SECONDS_BETWEEN_ROWS:
            return
        self._last = now
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8")
            self._file.write(json.dumps(self._told) + "\n")
        row = {
            "stage": self._stage, "share": self._share, "wall_seconds": now - self._began,
            "frames_ended": self._ended, "frames_missed": self._missed, **self._device,
        }  # fmt: skip
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
