"""Sums over the layer rows of a run, in one pass and little memory: there may be millions of rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bitmixer.graph import LayerGraph
from hwsim.errors import RecordsError
from hwsim.records.schema import MOVING
from hwsim.records.store import RunTables, numbers

PICOSECONDS_PER_SECOND = 10**12
ANSWERING = ("inference", "rerun")
"""Purposes whose predictions may become a frame's."""
NEVER = -1
PROBE = "probe"
_MEANT = ("weight_bits", "activation_bits")
_SUMMED = ("weight_bits", "activation_bits", "cycles", "dram_bits", "energy_joules", "norm_reload")
COLUMNS = ("frame", "attempt", "purpose", "layer", "start_picoseconds", "finish_picoseconds", *_SUMMED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTotals:
    """One row of ``layers.csv``; the means weigh every execution the same, and are null without any.

    What was moved for a preempted frame, and what ran for no frame's answer, counts in time, cycles, traffic and
    energy, but is no execution.
    """

    layer: str
    executions: int
    mean_weight_bits: float | None
    mean_activation_bits: float | None
    busy_seconds: float
    cycles: int
    dram_bits: int
    energy_joules: float
    norm_reloads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStatistics:
    """What the layer rows of a run add up to.

    Attributes:
        totals: One entry per layer, in the order of issue.
        mean_weight_bits: Over all executions, weighted by MACs; ``None`` without any.
        mean_activation_bits: The same for activations.
        bit_switches: Executions of a site at other widths than its execution before.
        mixed_frames: Frames of which one attempt ran its sites that are not pinned at different widths.
        executed_macs: Of all executions: what the means are weighted by.
        preemptions: Times that a frame was preempted.
        moved_bits: Bits of tensors that left the chip then, and of those that returned.
        answering_joules: Dynamic energy of executions whose predictions may become a frame's.
        probe_joules: Dynamic energy of probes.
        probes: Probes that were begun.
    """

    totals: tuple[LayerTotals, ...]
    mean_weight_bits: float | None
    mean_activation_bits: float | None
    bit_switches: int
    mixed_frames: int
    executed_macs: float = 0.0
    preemptions: int = 0
    moved_bits: int = 0
    answering_joules: float = 0.0
    probe_joules: float = 0.0
    probes: int = 0


def layer_statistics(run: RunTables, graph: LayerGraph) -> LayerStatistics:
    """Return the statistics of a run.

    Raises:
        RecordsError: A layer is not in the graph.
    """
    return _add_up(run.batches("layers", COLUMNS), graph)


def combined(statistics: Sequence[LayerStatistics]) -> LayerStatistics:
    """Return the statistics of several streams as one; their layers follow one another."""
    if len(statistics) == 1:
        return statistics[0]
    macs = sum(each.executed_macs for each in statistics)

    def mean(name: str) -> float | None:
        return ratio(sum((getattr(each, name) or 0.0) * each.executed_macs for each in statistics), macs)

    return LayerStatistics(
        totals=tuple(row for each in statistics for row in each.totals),
        mean_weight_bits=mean("mean_weight_bits"),
        mean_activation_bits=mean("mean_activation_bits"),
        bit_switches=sum(each.bit_switches for each in statistics),
        mixed_frames=sum(each.mixed_frames for each in statistics),
        executed_macs=macs,
        preemptions=sum(each.preemptions for each in statistics),
        moved_bits=sum(each.moved_bits for each in statistics),
        answering_joules=math.fsum(each.answering_joules for each in statistics),
        probe_joules=math.fsum(each.probe_joules for each in statistics),
        probes=sum(each.probes for each in statistics),
    )


def site_positions(layers: pa.Table, graph: LayerGraph) -> NDArray[np.int32]:
    """Return the position in the order of issue of every row's layer.

    Raises:
        RecordsError: A layer is not in the graph.
    """
    positions = pc.index_in(layers.column("layer"), value_set=pa.array(list(graph.index), pa.string()))
    if positions.null_count:
        stranger = layers.column("layer").filter(pc.is_null(positions))[0].as_py()
        raise RecordsError(f"layers.parquet: layer {stranger!r} is not in graph.json: they are of different runs")
    return numbers(positions)


def ratio(part: float, whole: float) -> float | None:
    """Return ``part / whole``; ``None`` where the whole is zero."""
    return float(part / whole) if whole else None


def _add_up(batches: Iterable[pa.Table], graph: LayerGraph) -> LayerStatistics:
    sites = len(graph.layers)
    executions = np.zeros(sites, np.int64)
    sums: dict[str, NDArray[Any]] = {name: np.zeros(sites) for name in (*_SUMMED, "busy")}
    switches, mixed = _Switches(sites), _MixedFrames(graph)
    preemptions = moved_bits = probes = 0
    answering_joules = probe_joules = 0.0
    for batch in batches:
        positions = site_positions(batch, graph)
        columns = {name: numbers(batch.column(name)) for name in COLUMNS if name not in ("layer", "purpose")}
        columns["busy"] = columns["finish_picoseconds"] - columns["start_picoseconds"]
        purpose = batch.column("purpose")
        answering = numbers(pc.is_in(purpose, value_set=pa.array(ANSWERING)))
        probing = numbers(pc.equal(purpose, PROBE))
        for name in sums:
            counted = columns[name] * answering if name in _MEANT else columns[name]
            sums[name] += np.bincount(positions, weights=counted, minlength=sites)
        answering_joules += float(columns["energy_joules"][answering].sum())
        probe_joules += float(columns["energy_joules"][probing].sum())
        probes += int((probing & (positions == 0)).sum())
        moving = numbers(pc.is_in(purpose, value_set=pa.array(MOVING)))
        preemptions += int(numbers(pc.equal(purpose, MOVING[0])).sum())
        moved_bits += int(columns["dram_bits"][moving].sum())
        executions += np.bincount(positions[answering], minlength=sites)
        codes = columns["weight_bits"].astype(np.int16) * 256 + columns["activation_bits"]
        switches.add(positions[answering], codes[answering])
        mixed.add(positions[answering], codes[answering], columns["frame"][answering], columns["attempt"][answering])
    macs = np.array([layer.macs for layer in graph.layers], np.float64)
    return LayerStatistics(
        totals=tuple(
            LayerTotals(
                layer=layer.name,
                executions=int(executions[at]),
                mean_weight_bits=ratio(sums["weight_bits"][at], executions[at]),
                mean_activation_bits=ratio(sums["activation_bits"][at], executions[at]),
                busy_seconds=float(sums["busy"][at]) / PICOSECONDS_PER_SECOND,
                cycles=int(sums["cycles"][at]),
                dram_bits=int(sums["dram_bits"][at]),
                energy_joules=float(sums["energy_joules"][at]),
                norm_reloads=int(sums["norm_reload"][at]),
            )
            for at, layer in enumerate(graph.layers)
        ),
        mean_weight_bits=ratio(macs @ sums["weight_bits"], float(macs @ executions)),
        mean_activation_bits=ratio(macs @ sums["activation_bits"], float(macs @ executions)),
        bit_switches=switches.count,
        mixed_frames=mixed.count,
        executed_macs=float(macs @ executions),
        preemptions=preemptions,
        moved_bits=moved_bits,
        answering_joules=answering_joules,
        probe_joules=probe_joules,
        probes=probes,
    )


class _Switches:
    """Counts executions of a site at other widths than its execution before."""

    def __init__(self, sites: int) -> None:
        self._last = np.full(sites, NEVER, np.int16)
        self.count = 0

    def add(self, positions: NDArray[Any], codes: NDArray[Any]) -> None:
        order = np.argsort(positions, kind="stable")  # rows are in the order of execution
        site, code = positions[order], codes[order]
        first = np.flatnonzero(np.diff(site, prepend=NEVER))
        before = np.roll(code, 1)
        before[first] = self._last[site[first]]
        self.count += int(((before != NEVER) & (before != code)).sum())
        last = np.roll(first, -1) - 1
        self._last[site[last]] = code[last]


class _MixedFrames:
    """Keeps the lowest and highest widths that each attempt of each frame ran its free sites at."""

    def __init__(self, graph: LayerGraph) -> None:
        self._free = np.array([not layer.pinned for layer in graph.layers])
        self._spans: dict[int, tuple[NDArray[np.int16], NDArray[np.int16]]] = {}

    def add(self, positions: NDArray[Any], codes: NDArray[Any], frames: NDArray[Any], attempts: NDArray[Any]) -> None:
        free = self._free[positions]
        for attempt in np.unique(attempts).tolist():
            chosen = free & (attempts == attempt)
            frame, code = frames[chosen], codes[chosen]
            lowest, highest = self._span(attempt, int(frame.max(initial=-1)) + 1)
            np.minimum.at(lowest, frame, code)
            np.maximum.at(highest, frame, code)

    @property
    def count(self) -> int:
        mixed = [np.flatnonzero(lowest < highest) for lowest, highest in self._spans.values()]
        return len(np.unique(np.concatenate(mixed))) if mixed else 0

    def _span(self, attempt: int, frames: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        limits = np.iinfo(np.int16)
        lowest, highest = self._spans.get(attempt, (np.empty(0, np.int16), np.empty(0, np.int16)))
        if frames > len(lowest):
            more = max(frames, 2 * len(lowest)) - len(lowest)
            lowest = np.concatenate([lowest, np.full(more, limits.max, np.int16)])
            highest = np.concatenate([highest, np.full(more, limits.min, np.int16)])
            self._spans[attempt] = (lowest, highest)
        return lowest, highest
