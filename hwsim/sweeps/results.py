"""What a sweep came to: its points, those that no other beats, and the files that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hwsim.config.sweep import Direction
from hwsim.records.folder import write_json
from hwsim.sweeps.points import Point
from hwsim.sweeps.reading import SweepPlan
from hwsim.sweeps.table import write_table

RUNS = "runs"
"""Folder of the runs, each named by its hash, so that the folders of several shards can be put together."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedPoint:
    """A point whose runs are all there.

    Attributes:
        point: What it sets the fields to.
        objectives: Metric -> mean over the replications; nothing where a run has none.
        run_ids: Hashes of its runs, seed by seed.
    """

    point: Point
    objectives: Mapping[str, float | None]
    run_ids: tuple[str, ...]

    @property
    def values(self) -> tuple[float, ...] | None:
        """The objectives in their order; nothing where one is missing."""
        known = tuple(value for value in self.objectives.values() if value is not None)
        return known if len(known) == len(self.objectives) else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SweepResult:
    """What a sweep came to.

    Attributes:
        plan: What was varied.
        folder: Where its runs and results lie.
        table: A row per run.
        points: The points that are done, in the order of the method.
        failed: Runs that were refused or failed: what they set, their seed, and why.
        missing: How many runs have not been made.
    """

    plan: SweepPlan
    folder: Path
    table: pa.Table
    points: tuple[JudgedPoint, ...]
    failed: tuple[Mapping[str, Any], ...] = ()
    missing: int = 0

    @property
    def run_folders(self) -> tuple[Path, ...]:
        """The folders of the runs, row by row of the table."""
        return tuple(self.folder / RUNS / run_id for run_id in self.table.column("run_id").to_pylist())

    @property
    def front(self) -> tuple[JudgedPoint, ...]:
        """The points that no other beats in all objectives, best in the first one first."""
        return pareto_front(self.points, tuple(self.plan.objectives.values()))

    def write(self) -> list[Path]:
        """Write tables, figures and ``sweep.json``; return the paths."""
        from hwsim.report.sweep_figures import write_sweep_figures

        self.folder.mkdir(parents=True, exist_ok=True)
        told = self.folder / "sweep.json"
        write_json(told, self.as_dict())
        return [told, *write_table(self.table, self.folder), *write_sweep_figures(self)]

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``sweep.json``."""
        return {
            "scenario": self.plan.name,
            "sets": list(self.plan.sets),
            "sweep": self.plan.sweep.model_dump(mode="json", exclude_unset=True, by_alias=True),
            "objectives": dict(self.plan.objectives),
            "seeds": list(self.plan.seeds),
            "runs": self.table.num_rows,
            "missing": self.missing,
            "failed": list(self.failed),
            "front": [
                {
                    "parameters": dict(each.point.values),
                    "objectives": dict(each.objectives),
                    "run_ids": list(each.run_ids),
                }
                for each in self.front
            ],
        }


def pareto_front(points: Iterable[JudgedPoint], directions: Sequence[Direction]) -> tuple[JudgedPoint, ...]:
    """Return the points that no other beats: as good in every objective, and better in one.

    Points that lack an objective are left out; equal ones stay together.
    """
    signs = np.array([1.0 if direction == "minimise" else -1.0 for direction in directions])
    judged = [(each, signs * values) for each in points if (values := each.values) is not None]
    losses = np.array([loss for _, loss in judged]).reshape(len(judged), len(signs))
    kept = [
        (tuple(loss), place)
        for place, loss in enumerate(losses)
        if not ((losses <= loss).all(axis=1) & (losses < loss).any(axis=1)).any()
    ]
    return tuple(judged[place][0] for _, place in sorted(kept))
