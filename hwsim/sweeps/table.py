"""The table of a sweep: a row per run, made from the runs' folders alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from hwsim.comparison import metrics_of
from hwsim.records.store import RunFolder
from hwsim.sweeps.points import Point

BESIDE_METRICS = ("run_id", "seed")
OF_MANY = ("name", "kind", "options")
"""Fields that tell nothing without the one that they are in."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinishedRun:
    """A run that is there.

    Attributes:
        point: What it sets the fields to.
        folder: Its folder.
    """

    point: Point
    folder: Path


def runs_table(runs: Iterable[FinishedRun], paths: Sequence[str]) -> pa.Table:
    """Return a row per run: hash, seed, what was set, and every metric that is the same wherever it runs.

    A field that holds numbers alone has a column of numbers; others are written as texts.

    Raises:
        RecordsError: A folder is damaged.
    """
    rows = [_row(run) for run in runs]
    metrics = list(dict.fromkeys(name for _, of_one in rows for name in of_one))
    columns: dict[str, Any] = {name: [known[name] for known, _ in rows] for name in BESIDE_METRICS}
    for path in paths:
        columns[path] = column_of([known[path] for known, _ in rows])
    return pa.table(columns | {name: [of_one.get(name) for _, of_one in rows] for name in metrics})


def write_table(table: pa.Table, folder: Path) -> list[Path]:
    """Write ``sweep.csv`` and ``sweep.parquet``; return their paths."""
    paths = [folder / "sweep.csv", folder / "sweep.parquet"]
    pyarrow.csv.write_csv(table, paths[0], pyarrow.csv.WriteOptions(quoting_style="needed"))
    pq.write_table(table, paths[1])
    return paths


def shown(value: Any) -> str:
    """Return a value as tables and figures show it.

    >>> shown("5 ms"), shown(0.25), shown({"name": "static", "options": {"bits": 4}})
    ('5 ms', '0.25', 'static bits=4')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and set(value) <= {"name", "options"} and "name" in value:
        return " ".join(
            [value["name"], *(f"{key}={json.dumps(each)}" for key, each in value.get("options", {}).items())]
        )
    return json.dumps(value)


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return for each path the end of it that tells it from the others; ``.value`` of a number is no part of that.

    >>> list(short_names(["streams.0.deadline", "profile.leakage.power.value", "profile.idle.power.value"]).values())
    ['deadline', 'leakage.power', 'idle.power']
    """
    parts = {path: path.removesuffix(".value").split(".") for path in paths}

    def shortest(path: str) -> str:
        own = parts[path]
        for length in range(2 if own[-1] in OF_MANY else 1, len(own)):
            if all(other[-length:] != own[-length:] for name, other in parts.items() if name != path):
                return ".".join(own[-length:])
        return path

    return {path: shortest(path) for path in paths}


def _row(run: FinishedRun) -> tuple[dict[str, Any], dict[str, float | None]]:
    folder = RunFolder(run.folder)
    summary = folder.summary
    return {"run_id": summary["run_id"], "seed": folder.manifest["seed"], **run.point.values}, metrics_of(summary)


def column_of(values: Sequence[Any]) -> list[Any]:
    """Return numbers as they are; as soon as one is none, all as texts."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return list(map(float, values)) if any(isinstance(value, float) for value in values) else list(values)
    return list(map(shown, values))
