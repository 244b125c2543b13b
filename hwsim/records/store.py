"""Reads run folders: tables column by column, the manifest, the summary and the layer graph."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bitmixer.errors import GraphFormatError, did_you_mean
from bitmixer.graph import LayerGraph
from hwsim.errors import RecordsError

TableName = Literal["frames", "layers", "telemetry", "decisions"]
TABLES: tuple[TableName, ...] = get_args(TableName)
FILES = ("manifest.json", "graph.json", *(f"{table}.parquet" for table in TABLES))
"""What every run folder must hold; ``summary.json`` is made from these."""

MANIFEST_KEYS = ("run_id", "controller", "seed", "network", "data", "inputs_per_frame", "limits")
DIGEST_DIGITS = 12
BATCH_ROWS = 1 << 16


class RunTables(Protocol):
    """What metrics need of a run, whether it lies in a folder or not."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Content of ``manifest.json``."""

    def table(self, name: TableName, columns: Sequence[str]) -> pa.Table:
        """Return these columns of a table."""

    def batches(self, name: TableName, columns: Sequence[str]) -> Iterable[pa.Table]:
        """Return the same in pieces, in the order of the rows."""


class NetworkTables(RunTables, Protocol):
    """The same, of one network."""

    @property
    def graph(self) -> LayerGraph:
        """Its layer graph."""


class RunFolder:
    """The folder that one run left behind. Everything is read when it is first asked for.

    Args:
        path: The folder.

    Raises:
        RecordsError: There is no such folder; later, when a file is asked for that is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise RecordsError(f"{path}: no such run folder: {_how_to_get(path)}")
        self.path = path

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """Content of ``manifest.json``: what ran, and the device's limits."""
        manifest = self._read_json("manifest.json")
        if missing := [key for key in MANIFEST_KEYS if key not in manifest]:
            raise RecordsError(
                f"{self.path / 'manifest.json'}: lacks {', '.join(missing)}; "
                f"another version of hwsim wrote it: {_how_to_get(self.path)}"
            )
        return manifest

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """Content of ``summary.json``."""
        return self._read_json("summary.json")

    @cached_property
    def graph(self) -> LayerGraph:
        """The layer graph of the network, of the first stream's where there are several."""
        return self.graph_in("graph.json")

    def graph_in(self, file: str) -> LayerGraph:
        """Return the layer graph in a file of the folder.

        Raises:
            RecordsError: The file is missing or damaged.
        """
        try:
            return LayerGraph.load(self._existing(file))
        except GraphFormatError as error:
            raise RecordsError(f"{error}; or {_how_to_get(self.path)}") from None

    def table(self, name: TableName, columns: Sequence[str] | None = None) -> pa.Table:
        """Return these columns of a table; all of them by default.

        Raises:
            RecordsError: The file is missing or damaged, or lacks a column.
        """
        with self._opened(name) as file:
            if missing := [column for column in columns or () if column not in file.schema_arrow.names]:
                near = did_you_mean(missing[0], file.schema_arrow.names)
                raise RecordsError(
                    f"{self.path / name}.parquet: lacks the column {', '.join(missing)}: {near}; "
                    f"or, where another version of hwsim wrote it, {_how_to_get(self.path)}"
                )
            return file.read(columns=None if columns is None else list(columns))

    def batches(self, name: TableName, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield these columns piece by piece, in the order of the rows.

        Raises:
            RecordsError: The file is missing or damaged.
        """
        with self._opened(name) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
                yield pa.Table.from_batches([batch])

    def columns(self, name: TableName) -> tuple[str, ...]:
        """Return the names of a table's columns, in the file's order."""
        with self._opened(name) as file:
            return tuple(file.schema_arrow.names)

    @contextmanager
    def _opened(self, name: TableName) -> Iterator[pq.ParquetFile]:
        path = self._existing(f"{name}.parquet")
        try:
            with pq.ParquetFile(path) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise RecordsError(f"{path}: damaged ({reason}): {_how_to_get(self.path)}") from None

    def _existing(self, name: str) -> Path:
        path = self.path / name
        if path.is_file():
            return path
        missing = [file for file in dict.fromkeys((*FILES, name)) if not (self.path / file).is_file()]
        raise RecordsError(f"{self.path}: no complete run; missing: {', '.join(missing)}: {_how_to_get(self.path)}")

    def _read_json(self, name: str) -> Mapping[str, Any]:
        path = self._existing(name)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecordsError(f"{path}: damaged ({error}): {_how_to_get(self.path)}") from None
        if not isinstance(content, dict):
            raise RecordsError(f"{path}: damaged (expected a JSON object): {_how_to_get(self.path)}")
        return content


def numbers(column: Any) -> NDArray[Any]:
    """Return an arrow column without nulls as an array."""
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def digest(folder: Path) -> str:
    """Return a hash of the four tables that machines which round the 13th digit differently agree on.

    Hashed are, table by table and column by column: names, lengths and values in a canonical form (whole
    numbers as 64 bits, floats as decimal numbers of 12 significant digits, texts as their ranks in the
    sorted list of distinct texts). Compression, row groups and metadata of the files do not matter.

    Raises:
        RecordsError: The folder is missing, incomplete or damaged.
    """
    run = RunFolder(folder)
    sha = hashlib.sha256()
    for name in TABLES:
        for column in run.columns(name):
            sha.update(f"\0{name}.{column}\0".encode())
            for part in _canonical(run.table(name, [column]).column(column)):
                sha.update(len(part).to_bytes(8, "little"))
                sha.update(part)
    return sha.hexdigest()


def _canonical(column: pa.ChunkedArray) -> Iterator[bytes]:
    """Yield the bytes that stand for a column in the digest."""
    kind = column.type
    if pa.types.is_list(kind):
        yield from _canonical(pc.list_value_length(column))
        yield from _canonical(pc.list_flatten(column))
    elif pa.types.is_floating(kind):
        distinct, ranks = np.unique(numbers(column), return_inverse=True)
        texts = [b"%.*e" % (DIGEST_DIGITS - 1, value) for value in (distinct + 0.0).tolist()]  # -0.0 is 0.0
        yield np.array(texts or [b""], dtype="S20")[ranks].tobytes()
    elif pa.types.is_string(kind) or pa.types.is_dictionary(kind):
        distinct_texts = sorted(column.unique().to_pylist())
        yield json.dumps(distinct_texts).encode()
        yield from _canonical(pc.index_in(column, value_set=pa.array(distinct_texts, pa.string())))
    else:
        yield numbers(pc.cast(column, pa.int64())).astype("<i8").tobytes()


def _how_to_get(path: Path) -> str:
    return f"run it again with 'python -m hwsim run SCENARIO --out {path}'"
