"""``observations.parquet``: what controllers were asked with and what they answered, so that they can be asked again.

Assignments and decisions are JSON, of which parquet stores each distinct one once per group of rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from bitmixer.bitwidths import BitWidths
from hwsim.controllers.base import Decision, FinishedFrame, Observation, ProbeResult
from hwsim.errors import RecordsError
from hwsim.records.schema import OBSERVATIONS
from hwsim.simulation.events import ControllerAsked, Widths

FILE = "observations.parquet"
START = "start"
"""Stands for a wake where a controller was started."""
ROWS_IN_MEMORY = 1 << 14
_PLAIN = [field.name for field in fields(Observation) if field.name in OBSERVATIONS.names and field.name not in (
    "stream", "time_picoseconds", "wake", "wanted", "finished", "probes",
)]  # fmt: skip
"""What is written as it is seen."""
_FIELDS = {kind: [field.name for field in fields(kind)] for kind in (FinishedFrame, ProbeResult)}
_UNSEEN: dict[str, Any] = {
    "frequency_hertz": 0, "throttle_cap_hertz": 0, "queued_deadlines_picoseconds": (), "first_uncommitted": 0,
    "wanted": "", "confidences": (), "finished": (), "probes": (),
}  # fmt: skip


class Asked(NamedTuple):
    """A recorded question; ``decision`` is JSON as ``decision_text`` writes it."""

    time_picoseconds: int
    observation: Observation | None
    decision: str | None
    failed: bool


class ObservationTable:
    """Writes the table while the simulation goes on.

    Args:
        folder: The run's folder.
        streams: Names of the streams.
    """

    def __init__(self, folder: Path, streams: tuple[str, ...]) -> None:
        self._streams = streams
        self._rows: list[dict[str, Any]] = []
        self._texts: dict[tuple[Widths, ...], str] = {}
        self._writer = pq.ParquetWriter(folder / FILE, OBSERVATIONS, compression="zstd")

    def add(self, event: ControllerAsked) -> None:
        """Keep a question and its answer, and write the kept ones when they are many."""
        observation = event.observation
        seen = _UNSEEN if observation is None else self._seen(observation)
        self._rows.append({
            "stream": self._streams[event.stream],
            "time_picoseconds": event.time_picoseconds,
            "wake": START if observation is None else observation.wake,
            "failed": event.failed,
            "decision": None if event.decision is None else decision_text(event.decision),
            **seen,
        })  # fmt: skip
        if len(self._rows) >= ROWS_IN_MEMORY:
            self._flush()

    def close(self) -> None:
        """Write what is kept."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=OBSERVATIONS))
        self._rows.clear()

    def _seen(self, observation: Observation) -> dict[str, Any]:
        seen = {name: getattr(observation, name) for name in _PLAIN}
        told = {name: [self._told(each) for each in getattr(observation, name)] for name in ("finished", "probes")}
        return {**seen, **told, "seen_frame": observation.frame, "wanted": self._text(observation.wanted)}

    def _told(self, of_frame: FinishedFrame | ProbeResult) -> dict[str, Any]:
        seen = {name: getattr(of_frame, name) for name in _FIELDS[type(of_frame)]}
        return {**seen, "widths": self._text(of_frame.widths)}

    def _text(self, widths: tuple[Widths, ...]) -> str:
        """Return the JSON of an assignment, written once."""
        if widths not in self._texts:
            self._texts[widths] = json.dumps(widths)
        return self._texts[widths]


def decision_text(decision: Decision) -> str:
    """Return a decision as JSON; the same text for the same decision."""
    hertz = decision.frequency_hertz
    content = {
        "widths": _plain(decision.widths),
        "frequency_hertz": None if hertz is None else int(hertz),
        "reason": decision.reason,
        "probe": None if decision.probe is None else _plain(decision.probe.widths),
        "rerun": None if decision.rerun is None else _plain(decision.rerun),
    }
    return json.dumps(content)


def read_observations(folder: Path, stream: str) -> Iterator[Asked]:
    """Yield what the controller of a stream was asked, in the order of time.

    Raises:
        RecordsError: The run has no such table, or it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise RecordsError(f"{path}: not there; run the scenario again to have its observations on record")
    texts: dict[str, tuple[Widths, ...]] = {}
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_IN_MEMORY):
                for row in batch.to_pylist():
                    if row["stream"] == stream:
                        yield _asked(row, texts)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise RecordsError(f"{path}: damaged ({str(error).splitlines()[0]}); run the scenario again") from None


def _asked(row: Mapping[str, Any], texts: dict[str, tuple[Widths, ...]]) -> Asked:
    def widths(text: str) -> tuple[Widths, ...]:
        if text not in texts:
            texts[text] = tuple((weight, activation) for weight, activation in json.loads(text))
        return texts[text]

    observation = None
    if row["wake"] != START:
        plain: dict[str, Any] = {
            name: tuple(row[name]) if isinstance(row[name], list) else row[name] for name in _PLAIN
        }
        observation = Observation(
            **plain,
            time_picoseconds=row["time_picoseconds"],
            wake=row["wake"],
            stream=row["stream"],
            frame=row["seen_frame"],
            wanted=widths(row["wanted"]),
            finished=tuple(FinishedFrame(**{**each, "widths": widths(each["widths"])}) for each in row["finished"]),
            probes=tuple(ProbeResult(**{**each, "widths": widths(each["widths"])}) for each in row["probes"]),
        )
    return Asked(row["time_picoseconds"], observation, row["decision"], row["failed"])


def _plain(widths: Mapping[str, BitWidths]) -> dict[str, tuple[int, int]]:
    return {site: (int(pair[0]), int(pair[1])) for site, pair in widths.items()}
