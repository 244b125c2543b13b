"""The streams of a run, each as if it had been alone: the rows of its frames, its network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bitmixer.graph import LayerGraph
from hwsim.records.schema import OF_STREAMS
from hwsim.records.store import RunFolder, TableName

OF_THE_DEVICE: TableName = "telemetry"
"""The table whose rows belong to no stream."""


class StreamTables:
    """What one stream left behind.

    Args:
        run: The run.
        entry: What its manifest says of the stream.
        alone: Whether the run has no other.
    """

    def __init__(self, run: RunFolder, entry: Mapping[str, Any], *, alone: bool) -> None:
        self._run = run
        self._entry = entry
        self._alone = alone

    @property
    def _learns(self) -> bool:
        """Whether there are rows of training steps, which are no stream's."""
        return "learning" in self._run.manifest

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._run.path

    @property
    def name(self) -> str:
        """The stream's name."""
        name: str = self._run.manifest["scenario"]["streams"][0]["name"] if self._alone else self._entry["name"]
        return name

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The run's manifest; network, data and controller are the stream's."""
        return {**self._run.manifest, **self._entry}

    @cached_property
    def graph(self) -> LayerGraph:
        """The stream's network."""
        return self._run.graph if self._alone else self._run.graph_in(self._entry["graph"])

    def table(self, name: TableName, columns: Sequence[str]) -> pa.Table:
        """Return these columns of a table, of the stream's rows."""
        if self._alone and (name == OF_THE_DEVICE or not self._learns):
            return self._run.table(name, columns)
        if name == OF_THE_DEVICE:
            own = [f"{column}_{self.name}" if column in OF_STREAMS else column for column in columns]
            return self._run.table(name, own).rename_columns(list(columns))
        return self._own_rows(self._run.table(name, self._with_stream(columns)), columns)

    def batches(self, name: TableName, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the same in pieces, in the order of the rows."""
        if name == OF_THE_DEVICE or (self._alone and not self._learns):
            yield from self._run.batches(name, columns)
            return
        for batch in self._run.batches(name, self._with_stream(columns)):
            yield self._own_rows(batch, columns)

    def _own_rows(self, table: pa.Table, columns: Sequence[str]) -> pa.Table:
        return table.filter(pc.equal(table.column("stream"), self.name)).select(list(columns))

    @staticmethod
    def _with_stream(columns: Sequence[str]) -> list[str]:
        return list(dict.fromkeys((*columns, "stream")))


def streams_of(run: RunFolder) -> tuple[StreamTables, ...]:
    """Return the streams of a run, in the order of its scenario."""
    entries = run.manifest.get("streams")
    if entries is None:
        return (StreamTables(run, {}, alone=True),)
    return tuple(StreamTables(run, entry, alone=False) for entry in entries)
