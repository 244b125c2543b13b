"""A training step as the simulation runs it: a graph whose layers are the step's parts, and its cost table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer, LayerGraph
from hwsim.cost.arrays.base import ArrayModel
from hwsim.cost.energy import ELSEWHERE, EnergyTable
from hwsim.cost.memory import Memory, Traffic
from hwsim.cost.table import CostTable
from hwsim.cost.training import Formats, Learned, Part, array_work, training_parts, vector_cycles

STORED_BITS = 8
"""Of the numbers in memory, which the records say as widths."""


def training_table(
    graph: LayerGraph,
    *,
    inputs: int,
    formats: Formats,
    learned: Learned,
    array: ArrayModel,
    memory: Memory,
    vector_lanes: int,
    energy_table: EnergyTable,
    nodes: tuple[str, ...],
    frequencies_hertz: tuple[int, ...],
) -> CostTable:
    """Return the cost table of one step on a batch; its sites are the step's parts, each with one pair of widths.

    Every layer multiplies the same formats: on a device nothing is exempt. Nothing stays on chip between two parts.

    Args:
        graph: The network that learns.
        inputs: Inputs of the batch.
        formats: What its layers multiply.
        learned: What the step changes.
        array: Cycles and actions of the array; one that multiplies significands plane by plane.
        memory: DRAM and port.
        vector_lanes: Element operations that the vector unit does per cycle.
        energy_table: Joules per action.
        nodes: Names of the thermal nodes, without ``elsewhere``.
        frequencies_hertz: Clocks at which total cycles are wanted.
    """
    parts = list(training_parts(graph.layers, dict.fromkeys(graph.index, formats), inputs, learned))
    work = [array_work(array, part) for part in parts]
    compute = np.array([cycles for cycles, _ in work], dtype=np.int64)
    counts = {action: np.array([found.get(action, 0) for _, found in work]) for action in array.actions}
    counts["vector_operation"] = np.array([part.vector_operations for part in parts])
    read, write = (np.array([getattr(part, name) for part in parts]) for name in ("read_bits", "write_bits"))
    counts["dram_bit"] = read + write
    traffic, vector = Traffic(read_bits=read, write_bits=write), [vector_cycles(part, vector_lanes) for part in parts]
    other = np.stack([np.maximum(memory.cycles(traffic, hertz), vector) for hertz in frequencies_hertz])
    energies = energy_table.node_energy_joules(counts, nodes)

    def on_axes(values: np.ndarray, *before: int) -> np.ndarray:
        """Return values by part on the axes [site, w, a, next, fetch]: the same whether norms are fetched anew."""
        shape = (*before, len(parts), 1, 1, 1, 1)
        return np.repeat(values.reshape(shape), 2, axis=-1)

    return CostTable(
        graph=_graph_of(graph, parts), widths=(STORED_BITS,), inputs_per_frame=inputs,
        frequencies_hertz=frequencies_hertz, nodes=(*nodes, ELSEWHERE), compute_cycles=compute.reshape(-1, 1, 1),
        other_cycles=on_axes(other, len(frequencies_hertz)),
        total_cycles=on_axes(np.maximum(other, compute), len(frequencies_hertz)), dram_read_bits=on_axes(read),
        dram_write_bits=on_axes(write), dram_time_bits=on_axes(read + write),
        counts={action: on_axes(count) for action, count in counts.items()}, cycle_counts={},
        energy_joules=on_axes(energies.sum(axis=-1)),
        node_energy_joules=np.repeat(energies.reshape(len(parts), 1, 1, 1, 1, -1), 2, axis=4),
        kept_planes=(0,) * len(parts), memory=memory, requantise="on_drain", tiling=None,
    )  # fmt: skip


def _graph_of(graph: LayerGraph, parts: Sequence[Part]) -> LayerGraph:
    """Return the parts as layers, one behind the other, which the simulation issues in turn."""
    names = [f"{part.layer}/{part.product}" for part in parts]
    layers = tuple(
        Layer(
            name=name, kind="linear", input_channels=max(part.macs, 1), output_channels=1, kernel_height=1,
            kernel_width=1, stride=(1, 1), padding=(0, 0), groups=1, input_height=1, input_width=1, output_height=1,
            output_width=1, allowed=(BitWidths(STORED_BITS, STORED_BITS),), producers=(), consumers=(),
            key_consumer=None, is_key_consumer=True, stream_write_elements=0, residual_write_elements=0,
            residual_read_elements=0, vector_operations=part.vector_operations,
        )
        for name, part in zip(names, parts, strict=True)
    )  # fmt: skip
    return LayerGraph(
        network=f"{graph.network}/training", input_shape=graph.input_shape, classes=graph.classes,
        residual_bits=graph.residual_bits, layers=layers, joins=(),
    )  # fmt: skip
