"""What every site does at every combination of widths: cycles, actions and traffic, with buffers and without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bitmixer.graph import LayerGraph
from hwsim.cost.arrays import ArrayModel, SchedulingArray
from hwsim.cost.arrays.base import Int64Array, LayerShapes, ceil_divide, layer_column
from hwsim.cost.arrays.flat import distinct_rows
from hwsim.cost.arrays.gathering import gathering_work, with_sites
from hwsim.cost.arrays.valued import ValueArray
from hwsim.cost.energy import EnergyTable
from hwsim.cost.memory import Buffers, Execution, Memory, Traffic, layer_traffic, norm_reload_bits
from hwsim.cost.memory.gathering import unbuffered_read_bits
from hwsim.cost.memory.pipeline import pipelined_cycles
from hwsim.cost.memory.planes import planes_kept
from hwsim.cost.memory.search import Machine
from hwsim.cost.memory.tiling import Tiling, choose_tiling, stream_widths
from hwsim.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What decides how long work takes and what it moves.

    Attributes:
        array: Cycles and actions of the array.
        memory: DRAM and port.
        vector_lanes: Element operations that the vector unit does per cycle.
        energy_table: Joules per action.
        frequencies_hertz: Clocks at which total cycles are wanted, fastest first where tiles are searched.
        buffers: On-chip buffers; without, weights and tensors pass through the chip once per execution.
        execution: How work and traffic overlap, and where results are requantised.
    """

    array: ArrayModel
    memory: Memory
    vector_lanes: int
    energy_table: EnergyTable
    frequencies_hertz: tuple[int, ...]
    buffers: Buffers | None
    execution: Execution


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Arrays over the axes of a cost table (see there).

    Attributes:
        compute_cycles: [site, w, a].
        counts: The array's actions -> [site, w, a].
        cycle_counts: The part of them that shrinks with the array's cycles, where values let it skip work.
        traffic: [site, w, a, next, fetch].
        other_cycles: [frequency, site, w, a, next, fetch], of all but the array; ``None`` with buffers.
        total_cycles: [frequency, site, w, a, next, fetch].
        kept_planes: [site], planes that stay on chip from frame to frame.
        tiling: The tiles; ``None`` without buffers.
    """

    compute_cycles: Int64Array
    counts: Mapping[str, Int64Array]
    cycle_counts: Mapping[str, Int64Array]
    traffic: Traffic
    other_cycles: Int64Array | None
    total_cycles: Int64Array
    kept_planes: tuple[int, ...]
    tiling: Tiling | None


def site_work(
    graph: LayerGraph, widths: tuple[int, ...], inputs_per_frame: int, hardware: Hardware,
    weight_cycles: Int64Array | None = None,
) -> Work:  # fmt: skip
    """Return what every site does; ``weight_cycles`` as for :func:`hwsim.cost.table.cost_table`.

    Raises:
        ConfigurationError: The array cannot do the widths, a buffer is too small, or the parts do not fit together.
    """
    array = hardware.array
    if hardware.buffers is None:
        if hardware.execution.overlap == "tiled":
            raise ConfigurationError("overlap: tiled follows tiles through buffers: give the device buffers")
        return _streamed(graph, np.array(widths, dtype=np.int64), inputs_per_frame, hardware, weight_cycles)
    if isinstance(array, SchedulingArray):
        raise ConfigurationError(f"array {array.name} brings its own buffers: leave the device's out")
    if isinstance(array, ValueArray):
        raise ConfigurationError(
            f"array {array.name}: its cycles follow from the values of whole layers, not of tiles: leave buffers out"
        )
    return _tiled(graph, widths, inputs_per_frame, hardware, hardware.buffers)


def _streamed(
    graph: LayerGraph, bits: Int64Array, inputs: int, hardware: Hardware, weight_cycles: Int64Array | None
) -> Work:
    compute, counts, shrinking = _array_work(graph, bits, inputs, hardware.array, weight_cycles)
    read_bits, write_bits = stream_widths(graph, bits[:, None], bits, hardware.execution)
    once = layer_traffic(
        graph.layers, inputs_per_frame=inputs, trailing_axes=3, weight_bits=bits[:, None, None],
        activation_bits=read_bits, stream_bits=write_bits, residual_bits=graph.residual_bits,
        weight_codes=graph.weight_codes,
    )  # fmt: skip
    shape = (len(graph.layers), *(bits.size,) * 3)
    once = _with_gathers(once, graph, bits, shape)
    fetched = _norm_bits(graph, hardware.execution) * np.arange(2)
    traffic = _with_fetches(once.read_bits, once.write_bits, fetched, shape)
    other = _overlapping(_vector_cycles(graph, inputs, hardware), traffic, hardware)
    return Work(
        compute_cycles=compute,
        counts=counts,
        cycle_counts=shrinking,
        traffic=traffic,
        other_cycles=other,
        total_cycles=np.maximum(compute[..., None, None], other),
        kept_planes=(0,) * len(graph.layers),
        tiling=None,
    )


def _with_gathers(once: Traffic, graph: LayerGraph, bits: Int64Array, shape: tuple[int, ...]) -> Traffic:
    """Return traffic in which aggregations fetch a message for every edge."""
    read = np.broadcast_to(once.read_bits, shape).copy()
    for site, layer in enumerate(graph.layers):
        if layer.gather is not None:
            own = unbuffered_read_bits(layer.gather, bits[:, None], bits)
            read[site] = own[..., None] + layer.residual_read_elements * graph.residual_bits
    return replace(once, read_bits=read)


def _array_work(
    graph: LayerGraph, bits: Int64Array, inputs: int, array: ArrayModel, weight_cycles: Int64Array | None
) -> tuple[Int64Array, Mapping[str, Int64Array], Mapping[str, Int64Array]]:
    """Return the array's cycles, its counts, and the part of them that shrinks with cycles, all [site, w, a]."""
    shapes = LayerShapes.of(graph.layers, inputs_per_frame=inputs, trailing_axes=2)
    bound = array.compute_cycles(shapes, bits[:, None], bits)
    counts = array.action_counts(shapes, bits[:, None], bits)
    gathering = [site for site, layer in enumerate(graph.layers) if layer.gather is not None]
    if gathering:
        gathers = [graph.layers[site] for site in gathering]
        cycles, actions = gathering_work(array, gathers, bits[:, None], bits)
        bound = with_sites(bound, gathering, cycles)
        counts = {action: with_sites(count, gathering, actions[action]) for action, count in counts.items()}
    shrinking = array.cycle_counts(shapes, bits[:, None], bits) if isinstance(array, ValueArray) else {}
    if weight_cycles is None:
        return bound, counts, shrinking
    known = inputs * weight_cycles[..., None]
    compute: Int64Array = np.where(known > 0, known, bound)
    saved = 1 - compute / bound
    less = {action: np.rint(count * saved).astype(np.int64) for action, count in shrinking.items()}
    return compute, {action: count - less.get(action, 0) for action, count in counts.items()}, {}


def _tiled(graph: LayerGraph, widths: tuple[int, ...], inputs: int, hardware: Hardware, buffers: Buffers) -> Work:
    machine = Machine(
        array=hardware.array, memory=hardware.memory, buffers=buffers, vector_lanes=hardware.vector_lanes,
        energy_table=hardware.energy_table, frequency_hertz=max(hardware.frequencies_hertz),
        tiled=hardware.execution.overlap == "tiled",
    )  # fmt: skip
    tiling = choose_tiling(graph, widths, machine, hardware.execution, inputs_per_frame=inputs)
    kept = planes_kept(graph.layers, buffers)
    missing = np.minimum(np.arange(max(kept) + 1), tiling.on_axes(tiling.cut.asked.kept_planes)[..., None])
    norm_bits = _norm_bits(graph, hardware.execution)

    def fetches(plane_bits: Int64Array, norm_bits: Int64Array) -> Int64Array:
        planes, norms = tiling.on_axes(plane_bits)[..., None] * missing, norm_bits * np.arange(2)
        return (planes[..., None] + norms[..., None, :]).reshape(*tiling.shape, -1)

    moved, occupied, occupying = tiling.moved, tiling.occupied, buffers.occupying
    fetched = fetches(moved.plane_bits, norm_bits)
    fetch_time = fetched if occupying is None else fetches(occupied.plane_bits, occupying.whole_bursts(norm_bits))
    traffic = _with_fetches(tiling.on_axes(moved.read_bits), tiling.on_axes(moved.write_bits), fetched, tiling.shape)
    time_bits = tiling.on_axes(occupied.read_bits + occupied.write_bits)[..., None] + fetch_time
    traffic = replace(traffic, occupied_bits=time_bits)
    compute, counts = tiling.array_work()
    if machine.tiled:
        # What was missing is there before the first tile: it waits for nothing, and nothing hides it.
        nothing = np.zeros_like(fetched)
        before = [
            hardware.memory.cycles(Traffic(read_bits=fetched, write_bits=nothing, occupied_bits=fetch_time), hertz)
            for hertz in hardware.frequencies_hertz
        ]
        total = np.stack(before) + _pipelined(tiling, hardware)[..., None]
    else:
        busy = np.maximum(compute[..., None, None], _vector_cycles(graph, inputs, hardware))
        total = _overlapping(busy, traffic, hardware)
    return Work(
        compute_cycles=compute, counts=counts, cycle_counts={}, traffic=traffic, other_cycles=None, total_cycles=total,
        kept_planes=kept, tiling=tiling,
    )  # fmt: skip


def _pipelined(tiling: Tiling, hardware: Hardware) -> Int64Array:
    """Return [frequency, site, w, a, next]; layers that are alike are followed once."""
    machine = tiling.machine
    first, which = distinct_rows(tiling.cut.table())
    found = pipelined_cycles(
        machine.array, machine.memory, machine.buffers, machine.vector_lanes, hardware.frequencies_hertz,
        tiling.cut.take(first),
    )  # fmt: skip
    cycles = found[:, which]
    if tiling.gathering is not None:
        sites = tiling.gathering
        for at, hertz in enumerate(hardware.frequencies_hertz):
            stages = sites.gathered.stage_cycles(machine.memory, machine.buffers, machine.vector_lanes, hertz)
            cycles[at, sites.rows] = stages.sum(axis=0)
    return cycles.reshape(-1, *tiling.shape)


def _norm_bits(graph: LayerGraph, execution: Execution) -> Int64Array:
    """Return [site, 1, 1, 1, 1] the norm parameters that a site fetches when a transition changed.

    Those of its own norm; with ``requantise: on_load``, those that it applies to what it reads, and its own where
    nothing reads its results.
    """
    own = norm_reload_bits(graph.layers, graph.norm_bits, trailing_axes=0)
    if execution.requantise == "on_load":
        applied = np.zeros_like(own)
        for site, layer in enumerate(graph.layers):
            applied[site if layer.key_consumer is None else graph.index[layer.key_consumer]] += own[site]
        own = applied
    return own.reshape(-1, 1, 1, 1, 1)


def _with_fetches(
    read_bits: Int64Array, write_bits: Int64Array, fetched: Int64Array, shape: tuple[int, ...]
) -> Traffic:
    whole = (*shape, fetched.shape[-1])
    return Traffic(
        read_bits=np.broadcast_to(read_bits[..., None] + fetched, whole).copy(),
        write_bits=np.broadcast_to(write_bits[..., None], whole).copy(),
    )


def _vector_cycles(graph: LayerGraph, inputs: int, hardware: Hardware) -> Int64Array:
    return ceil_divide(inputs * layer_column(graph.layers, "vector_operations", 4), hardware.vector_lanes)


def _overlapping(busy: Int64Array, traffic: Traffic, hardware: Hardware) -> Int64Array:
    """Return the longest of compute, vector unit and memory, at each clock."""
    return np.stack([np.maximum(busy, hardware.memory.cycles(traffic, hertz)) for hertz in hardware.frequencies_hertz])
