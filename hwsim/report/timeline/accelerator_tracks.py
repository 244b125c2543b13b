"""Tracks of the accelerator: its array, what moves in and out, the DRAM.

Records say when a layer ran and how many bits it moved, not when within the layer they moved: reads are drawn from the
layer's start on and writes up to its end, each for as long as the DRAM takes at its usable bandwidth, and never for
more than their share of the layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hwsim.records.store import RunFolder, numbers
from hwsim.records.streams import StreamTables
from hwsim.report.timeline.tracks import Group, Packets

PICOSECONDS_PER_SECOND = 10**12
NAMED_BY = ("stream", "layer", "weight_bits", "activation_bits", "purpose")
TIMES = ("start_picoseconds", "finish_picoseconds")
TOLD = ("frame", "attempt", "planes_fetched", "cycles", "array_cycles", "dram_bits", "energy_joules")
WRITTEN = "dram_write_bits"


def draw_accelerator(run: RunFolder, streams: Sequence[StreamTables], identities: Iterator[int]) -> Iterator[Packets]:
    """Yield the tracks of the accelerator of a run.

    Raises:
        RecordsError: A file of the run is missing or damaged.
    """
    several = len(streams) > 1
    names = _names(run, several=several)
    group = Group("accelerator", identities)
    array = group.track("array", "what ran, at which weight (w) and activation (a) bits", names=names, keys=TOLD)
    reads = group.track("DMA in", "reads from DRAM, drawn from the layer's start on", names=names, keys=("bits",))
    writes = group.track("DMA out", "writes to DRAM, drawn up to the layer's end", names=names, keys=("bits",))
    dram = group.track("DRAM traffic", "mean over each layer", unit="Gbit/s")
    yield group.head()
    bandwidth = usable_bandwidth(run)
    for batch in run.batches("layers", (*NAMED_BY, *TIMES, *TOLD, WRITTEN)):
        start, finish = (numbers(batch.column(name)) for name in TIMES)
        name = numbers(pc.index_in(_labels(batch, several=several), value_set=pa.array(names, pa.string())))
        yield array.slices(start, finish, name, {key: numbers(batch.column(key)) for key in TOLD})
        bits, written = numbers(batch.column("dram_bits")), numbers(batch.column(WRITTEN))
        for way, moved in ((reads, bits - written), (writes, written)):
            some = np.flatnonzero(moved)
            took = _transfer_picoseconds(moved[some], bits[some], (finish - start)[some], bandwidth)
            begin = start[some] if way is reads else finish[some] - took
            yield way.slices(begin, begin + took, name[some], {"bits": moved[some]})
        yield dram.values(start, bits / np.maximum(finish - start, 1) * (PICOSECONDS_PER_SECOND / 1e9))


def usable_bandwidth(run: RunFolder) -> float:
    """Return the bits per second that the DRAM gives a device that has it for itself; infinite where it has none."""
    memory = run.manifest.get("profile_values", {}).get("memory") or {}
    peak, efficiency = (
        (memory.get(key) or {}).get("value") for key in ("dram_peak_bandwidth_bits_per_second", "dram_efficiency")
    )
    return float("inf") if peak is None or efficiency is None else float(peak) * float(efficiency)


def _names(run: RunFolder, *, several: bool) -> tuple[str, ...]:
    """Return the names of all that ran, each once."""
    seen: dict[str, None] = {}
    for batch in run.batches("layers", NAMED_BY):
        distinct = batch.group_by(list(NAMED_BY)).aggregate([])
        seen.update(dict.fromkeys(_labels(distinct, several=several).to_pylist()))
    return tuple(sorted(seen))


def _labels(layers: pa.Table, *, several: bool) -> pa.ChunkedArray:
    """Return what each row is called: ``stages.0.0.conv1 w4a4``, with stream or purpose where that is not plain."""
    weight, activation = (pc.cast(layers.column(f"{kind}_bits"), pa.string()) for kind in ("weight", "activation"))
    label = pc.binary_join_element_wise(layers.column("layer"), " w", weight, "a", activation, "")
    purpose = layers.column("purpose")
    label = pc.if_else(pc.equal(purpose, "inference"), label, pc.binary_join_element_wise(label, purpose, " "))
    return pc.binary_join_element_wise(layers.column("stream"), label, ": ") if several else label


def _transfer_picoseconds(
    moved: NDArray[np.int64], bits: NDArray[np.int64], layer: NDArray[np.int64], bandwidth: float
) -> NDArray[np.int64]:
    alone: NDArray[Any] = moved / bandwidth * PICOSECONDS_PER_SECOND
    took: NDArray[np.int64] = np.minimum(alone, layer * (moved / bits)).astype(np.int64)
    return took
