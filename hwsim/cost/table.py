"""The cost table: cycles, traffic and energy of every site at every combination of bit-widths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bitmixer.bitwidths import BitWidths
from bitmixer.errors import did_you_mean
from bitmixer.graph import LOGIT_BITS, LayerGraph
from hwsim.cost.arrays.base import ArrayModel, Int64Array, LayerShapes, ceil_divide, layer_column
from hwsim.cost.arrays.valued import ValueArray
from hwsim.cost.energy import ELSEWHERE, EnergyTable, Float64Array
from hwsim.cost.memory import Memory, Traffic, layer_traffic, norm_reload_bits
from hwsim.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostTable:
    """Cost of one execution of each site, for a frame of ``inputs_per_frame`` inputs. Arrays are read-only.

    Axes: ``site`` in the order of issue; ``w``, ``a``: the site's weight and activation bits; ``next``: the
    activation bits of the site's key consumer (no effect on a site without one), all three as positions in
    ``widths``; ``reload``: 1 where the site's norm must be fetched again since its own or the next widths
    changed; ``frequency``: position in ``frequencies_hertz``; ``node``: position in ``nodes``.

    Attributes:
        widths: Bit-widths of the axes w, a and next.
        nodes: Thermal nodes; the last is ``elsewhere``.
        compute_cycles: [site, w, a], of the array alone.
        other_cycles: [frequency, site, w, a, next, reload]: max(memory, vector unit).
        total_cycles: [frequency, site, w, a, next, reload]: max(compute, memory, vector unit).
        dram_read_bits: [site, w, a, next, reload].
        dram_write_bits: [site, w, a, next, reload].
        counts: Action -> [site, w, a, next, reload].
        cycle_counts: The part of them that shrinks in proportion with the array's cycles where values let it skip work:
            the table then holds the bound, which no execution exceeds. Nothing for other arrays.
        energy_joules: [site, w, a, next, reload], at the nominal voltage.
        node_energy_joules: [site, w, a, next, reload, node].
    """

    graph: LayerGraph
    widths: tuple[int, ...]
    inputs_per_frame: int
    frequencies_hertz: tuple[int, ...]
    nodes: tuple[str, ...]
    compute_cycles: Int64Array
    other_cycles: Int64Array
    total_cycles: Int64Array
    dram_read_bits: Int64Array
    dram_write_bits: Int64Array
    counts: Mapping[str, Int64Array]
    cycle_counts: Mapping[str, Int64Array]
    energy_joules: Float64Array
    node_energy_joules: Float64Array

    def __post_init__(self) -> None:
        totals = (self.compute_cycles, self.other_cycles, self.total_cycles, self.dram_read_bits, self.dram_write_bits)
        counts = (*self.counts.values(), *self.cycle_counts.values())
        for array in (*totals, *counts, self.energy_joules, self.node_energy_joules):
            array.flags.writeable = False

    @property
    def rows(self) -> int:
        """Combinations of site, w, a, next and reload."""
        return self.energy_joules.size

    def row(self, site: int, weight_index: int, activation_index: int, next_index: int, reload: int) -> int:
        """Return the position of one combination in the arrays flattened over [site, w, a, next, reload]."""
        size = len(self.widths)
        return (((site * size + weight_index) * size + activation_index) * size + next_index) * 2 + reload

    def width_index(self, bits: int) -> int:
        """Return the position of ``bits`` on the axes w, a and next.

        Raises:
            ConfigurationError: No site can run at ``bits``.
        """
        try:
            return self.widths.index(bits)
        except ValueError:
            known = ", ".join(map(str, self.widths))
            raise ConfigurationError(f"{bits} bits are not in the cost table: expected one of {known}") from None

    def frame_cycles(self, assignment: Mapping[str, BitWidths], frequency_index: int) -> int:
        """Return the cycles of a whole frame at one clock, every norm being on chip.

        Raises:
            ConfigurationError: A site has no widths, or widths that are not in the table.
        """
        return int(self.total_cycles[frequency_index].reshape(-1)[self._frame_rows(assignment)].sum())

    def frame_energy_joules(self, assignment: Mapping[str, BitWidths]) -> float:
        """Return the energy of a whole frame, every norm being on chip.

        Raises:
            ConfigurationError: A site has no widths, or widths that are not in the table.
        """
        return float(self.energy_joules.reshape(-1)[self._frame_rows(assignment)].sum())

    def _frame_rows(self, assignment: Mapping[str, BitWidths]) -> list[int]:
        for layer in self.graph.layers:
            if layer.name not in assignment:
                hint = did_you_mean(layer.name, assignment)
                raise ConfigurationError(f"site {layer.name!r} has no widths in this assignment: {hint}")
        rows = []
        for site, layer in enumerate(self.graph.layers):
            own = assignment[layer.name]
            following = own if layer.key_consumer is None else assignment[layer.key_consumer]
            w, a, following_a = map(self.width_index, (*own, following.activation))
            rows.append(self.row(site, w, a, following_a, reload=0))
        return rows


def cost_table(
    graph: LayerGraph,
    *,
    widths: tuple[int, ...],
    inputs_per_frame: int,
    array: ArrayModel,
    memory: Memory,
    vector_lanes: int,
    energy_table: EnergyTable,
    nodes: tuple[str, ...],
    frequencies_hertz: tuple[int, ...],
    weight_cycles: Int64Array | None = None,
) -> CostTable:
    """Price every site of ``graph`` at every combination of ``widths``.

    Fetching, computing and draining overlap ideally: a site takes max(compute, memory, vector unit), the
    law of BitFusion's simulator (Sharma et al., ISCA 2018) with the vector unit added.

    Args:
        graph: The network.
        widths: All weight and activation bits that any site allows.
        inputs_per_frame: Inputs that share one assignment and one fetch of the weights.
        array: Cycles and actions of the array.
        memory: DRAM and port.
        vector_lanes: Element operations that the vector unit does per cycle.
        energy_table: Joules per action.
        nodes: Names of the thermal nodes, without ``elsewhere``.
        frequencies_hertz: Clocks at which total cycles are wanted.
        weight_cycles: [site, w], what the array takes for one input, where that depends on weights alone: instead of
            its bound, which stays where there is a 0.

    Raises:
        ConfigurationError: A site allows bits outside ``widths``, or an energy entry names an unknown node.
    """
    _check_widths(graph, widths)
    bits = np.array(widths, dtype=np.int64)
    shapes = LayerShapes.of(graph.layers, inputs_per_frame=inputs_per_frame, trailing_axes=2)
    bound = array.compute_cycles(shapes, bits[:, None], bits)
    compute = bound if weight_cycles is None else _known_cycles(weight_cycles * inputs_per_frame, bound)
    traffic = _traffic(graph, bits, inputs_per_frame)
    vector_operations = inputs_per_frame * layer_column(graph.layers, "vector_operations", 4)
    vector_cycles = ceil_divide(vector_operations, vector_lanes)
    other = np.stack([np.maximum(vector_cycles, memory.cycles(traffic, hertz)) for hertz in frequencies_hertz])
    array_counts = array.action_counts(shapes, bits[:, None], bits)
    shrinking = array.cycle_counts(shapes, bits[:, None], bits) if isinstance(array, ValueArray) else {}
    if weight_cycles is not None:
        array_counts = _counts_less(array_counts, shrinking, 1 - compute / bound)
        shrinking = {}  # nothing is left to be found out
    counts = {action: count[..., None, None] for action, count in array_counts.items()}
    counts |= {"vector_operation": vector_operations, "dram_bit": traffic.bits}
    node_energy = energy_table.node_energy_joules(counts, nodes)
    shape = traffic.read_bits.shape
    return CostTable(
        graph=graph,
        widths=widths,
        inputs_per_frame=inputs_per_frame,
        frequencies_hertz=frequencies_hertz,
        nodes=(*nodes, ELSEWHERE),
        compute_cycles=compute,
        other_cycles=other,
        total_cycles=np.maximum(compute[..., None, None], other),
        dram_read_bits=traffic.read_bits,
        dram_write_bits=traffic.write_bits,
        counts={action: np.broadcast_to(count, shape).copy() for action, count in counts.items()},
        cycle_counts={
            action: np.broadcast_to(count[..., None, None], shape).copy() for action, count in shrinking.items()
        },
        energy_joules=node_energy.sum(axis=-1),
        node_energy_joules=node_energy,
    )


def _known_cycles(weight_cycles: Int64Array, bound: Int64Array) -> Int64Array:
    """Return the cycles of weights, shape [site, w], in the shape of the bound, which stands in for 0."""
    known: Int64Array = np.where(weight_cycles[..., None] > 0, weight_cycles[..., None], bound)
    return known


def _counts_less(
    counts: Mapping[str, Int64Array], shrinking: Mapping[str, Int64Array], saved: Float64Array
) -> dict[str, Int64Array]:
    """Return action counts without a share of those that shrink, to the nearest whole number."""
    nothing = np.zeros(1, dtype=np.int64)
    return {
        action: count - np.rint(shrinking.get(action, nothing) * saved).astype(np.int64)
        for action, count in counts.items()
    }


def _traffic(graph: LayerGraph, bits: Int64Array, inputs_per_frame: int) -> Traffic:
    """Return the traffic, both arrays of the full shape [site, w, a, next, reload]."""
    is_last = np.array([layer.key_consumer is None for layer in graph.layers]).reshape(-1, 1, 1, 1)
    traffic = layer_traffic(
        graph.layers,
        inputs_per_frame=inputs_per_frame,
        trailing_axes=3,
        weight_bits=bits[:, None, None],
        activation_bits=bits[:, None],
        stream_bits=np.where(is_last, LOGIT_BITS, bits),
        residual_bits=graph.residual_bits,
        weight_codes=graph.weight_codes,
    )
    norm = norm_reload_bits(graph.layers, graph.norm_bits, trailing_axes=4) * np.arange(2)
    shape = (len(graph.layers), bits.size, bits.size, bits.size, 2)
    return Traffic(
        read_bits=np.broadcast_to(traffic.read_bits[..., None] + norm, shape).copy(),
        write_bits=np.broadcast_to(traffic.write_bits[..., None], shape).copy(),
    )


def _check_widths(graph: LayerGraph, widths: tuple[int, ...]) -> None:
    for layer in graph.layers:
        outside = sorted({bits for pair in layer.allowed for bits in pair}.difference(widths))
        if outside:
            raise ConfigurationError(
                f"site {layer.name!r} allows {outside[0]} bits, which are not among the cost table's widths "
                f"{', '.join(map(str, widths))}: add them"
            )
