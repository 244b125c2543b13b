"""The cost table: cycles, traffic and energy of every site at every combination of bit-widths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bitmixer.bitwidths import BitWidths
from bitmixer.errors import did_you_mean
from bitmixer.graph import LayerGraph
from hwsim.cost.arrays.base import ArrayModel, Float64Array, Int64Array, layer_column
from hwsim.cost.energy import ELSEWHERE, EnergyTable
from hwsim.cost.memory import Buffers, Execution, Memory, Traffic
from hwsim.cost.memory.execution import Requantise
from hwsim.cost.memory.planes import planes_needed
from hwsim.cost.memory.tiling import Tiling
from hwsim.cost.work import Hardware, Work, site_work
from hwsim.errors import ConfigurationError

DEFAULT_EXECUTION = Execution()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostTable:
    """Cost of one execution of each site, for a frame of ``inputs_per_frame`` inputs. Arrays are read-only.

    A graph network's input is the graph, whatever the number of queries that its one pass answers.

    Axes: ``site`` in the order of issue; ``w``, ``a``: the site's weight and activation bits; ``next``: the
    activation bits of the site's key consumer (no effect on a site without one), all three as positions in
    ``widths``; ``fetch``: what must be fetched beside the steady state: 1 for the site's norm, whose own or next widths
    changed, and 2 for each weight plane that the site keeps on chip, but that is not there yet; ``frequency``: position
    in ``frequencies_hertz``; ``node``: position in ``nodes``. The steady state, in which all that can stay on chip is
    there, is ``fetch`` 0: it is what a controller reckons with.

    Attributes:
        widths: Bit-widths of the axes w, a and next.
        nodes: Thermal nodes; the last is ``elsewhere``.
        compute_cycles: [site, w, a], of the array alone.
        other_cycles: [frequency, site, w, a, next, fetch]: max(memory, vector unit); ``None`` with buffers, where the
            array does not wait for whole layers.
        total_cycles: [frequency, site, w, a, next, fetch]: max(compute, memory, vector unit).
        dram_read_bits: [site, w, a, next, fetch].
        dram_write_bits: [site, w, a, next, fetch].
        dram_time_bits: [site, w, a, next, fetch]: bits that would take the DRAM as long at its full efficiency; the sum
            of both where no transfers are slower than others.
        counts: Action -> [site, w, a, next, fetch].
        cycle_counts: The part of them that shrinks in proportion with the array's cycles where values let it skip work:
            the table then holds the bound, which no execution exceeds. Nothing for other arrays.
        energy_joules: [site, w, a, next, fetch], at the nominal voltage.
        node_energy_joules: [site, w, a, next, fetch, node].
        kept_planes: [site] weight planes that stay on chip from frame to frame, the most significant ones.
        memory: The way to DRAM.
        requantise: Whether sites requantise results as they drain, or what they read.
        tiling: Tiles of every site; ``None`` on a device without buffers.
    """

    graph: LayerGraph
    widths: tuple[int, ...]
    inputs_per_frame: int
    frequencies_hertz: tuple[int, ...]
    nodes: tuple[str, ...]
    compute_cycles: Int64Array
    other_cycles: Int64Array | None
    total_cycles: Int64Array
    dram_read_bits: Int64Array
    dram_write_bits: Int64Array
    dram_time_bits: Int64Array
    counts: Mapping[str, Int64Array]
    cycle_counts: Mapping[str, Int64Array]
    energy_joules: Float64Array
    node_energy_joules: Float64Array
    kept_planes: tuple[int, ...]
    memory: Memory
    requantise: Requantise
    tiling: Tiling | None

    def __post_init__(self) -> None:
        totals = (
            self.compute_cycles,
            self.total_cycles,
            self.dram_read_bits,
            self.dram_write_bits,
            self.dram_time_bits,
        )
        others = () if self.other_cycles is None else (self.other_cycles,)
        counts = (*self.counts.values(), *self.cycle_counts.values())
        for array in (*totals, *others, *counts, self.energy_joules, self.node_energy_joules):
            array.flags.writeable = False

    @property
    def rows(self) -> int:
        """Combinations of site, w, a, next and reload."""
        return self.energy_joules.size

    @property
    def fetches(self) -> int:
        """Length of the axis ``fetch``."""
        return int(self.energy_joules.shape[-1])

    def row(self, site: int, weight_index: int, activation_index: int, next_index: int, fetch: int) -> int:
        """Return the position of one combination in the arrays flattened over [site, w, a, next, fetch]."""
        size = len(self.widths)
        return (((site * size + weight_index) * size + activation_index) * size + next_index) * self.fetches + fetch

    @property
    def tiled(self) -> bool:
        """Whether executions go on tile by tile."""
        return self.tiling is not None and self.tiling.machine.tiled

    def stage_cycles(self, row: int, frequency_index: int, share: float) -> Int64Array:
        """Return [stage] the cycles of one execution that goes on tile by tile, what is fetched before included.

        Args:
            row: The execution.
            frequency_index: Position of the clock.
            share: Part of the DRAM's bandwidth that is free.
        """
        assert self.tiling is not None  # who asks has seen ``tiled``
        hertz, without = self.frequencies_hertz[frequency_index], row - row % self.fetches
        fetched, occupied = (
            bits.reshape(-1)[row : row + 1] - bits.reshape(-1)[without]
            for bits in (self.dram_read_bits, self.dram_time_bits)
        )
        traffic = Traffic(read_bits=fetched, write_bits=np.zeros_like(fetched), occupied_bits=occupied)
        before = self.memory.shared(share).cycles(traffic, hertz)
        return np.concatenate([before, self.tiling.stage_cycles(row // self.fetches, hertz, share)])

    def planes_needed(self) -> Int64Array:
        """Return [site, w] the weight planes that each site needs."""
        widths = np.array(self.widths, dtype=np.int64)
        return planes_needed(self.graph.layers, widths, self.graph.weight_codes, 1)

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
        """Return the cycles of a whole frame at one clock, all that can stay on chip being there.

        Raises:
            ConfigurationError: A site has no widths, or widths that are not in the table.
        """
        return int(self.total_cycles[frequency_index].reshape(-1)[self.frame_rows(assignment)].sum())

    def frame_energy_joules(self, assignment: Mapping[str, BitWidths]) -> float:
        """Return the energy of a whole frame, all that can stay on chip being there.

        Raises:
            ConfigurationError: A site has no widths, or widths that are not in the table.
        """
        return float(self.energy_joules.reshape(-1)[self.frame_rows(assignment)].sum())

    def frame_node_energy_joules(self, assignment: Mapping[str, BitWidths]) -> Float64Array:
        """Return the same energy by what it heats [nodes]; the last is ``elsewhere``.

        Raises:
            ConfigurationError: A site has no widths, or widths that are not in the table.
        """
        by_row = self.node_energy_joules.reshape(-1, len(self.nodes))
        return np.asarray(by_row[self.frame_rows(assignment)].sum(axis=0))

    def frame_rows(self, assignment: Mapping[str, BitWidths]) -> list[int]:
        """Return the row of each site in a frame, all that can stay on chip being there (see ``row``).

        Raises:
            ConfigurationError: A site has no widths, or widths that are not in the table.
        """
        for layer in self.graph.layers:
            if layer.name not in assignment:
                hint = did_you_mean(layer.name, assignment)
                raise ConfigurationError(f"site {layer.name!r} has no widths in this assignment: {hint}")
        rows = []
        for site, layer in enumerate(self.graph.layers):
            own = assignment[layer.name]
            following = own if layer.key_consumer is None else assignment[layer.key_consumer]
            w, a, following_a = map(self.width_index, (*own, following.activation))
            rows.append(self.row(site, w, a, following_a, fetch=0))
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
    buffers: Buffers | None = None,
    execution: Execution = DEFAULT_EXECUTION,
) -> CostTable:
    """Price every site of ``graph`` at every combination of ``widths``.

    Where fetching, computing and draining overlap ideally, a site takes max(compute, memory, vector unit), the law of
    BitFusion's simulator (Sharma et al., ISCA 2018) with the vector unit added. ``overlap: tiled`` is
    ``hwsim.cost.memory.pipeline``.

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
        buffers: On-chip buffers, into which layers are tiled; without, everything passes through the chip once per
            execution, and nothing stays.
        execution: How work and traffic overlap, and where results are requantised.

    Raises:
        ConfigurationError: A site allows bits outside ``widths``, an energy entry names an unknown node, or a buffer is
            smaller than the smallest tile of a site.
    """
    _check_widths(graph, widths)
    inputs_per_frame = graph.passes(inputs_per_frame)
    hardware = Hardware(
        array=array, memory=memory, vector_lanes=vector_lanes, energy_table=energy_table,
        frequencies_hertz=frequencies_hertz, buffers=buffers, execution=execution,
    )  # fmt: skip
    work = site_work(graph, widths, inputs_per_frame, hardware, weight_cycles)
    return _table_of(work, hardware, graph, widths, inputs_per_frame, nodes)


def _table_of(
    work: Work, hardware: Hardware, graph: LayerGraph, widths: tuple[int, ...], inputs: int, nodes: tuple[str, ...]
) -> CostTable:
    """Return the table of what every site does, with its energy."""
    traffic = work.traffic
    counts = {action: count[..., None, None] for action, count in work.counts.items()}
    vector_operations = inputs * layer_column(graph.layers, "vector_operations", 4)
    counts |= {"vector_operation": vector_operations, "dram_bit": traffic.bits}
    node_energy = hardware.energy_table.node_energy_joules(counts, nodes)
    shape = traffic.read_bits.shape
    return CostTable(
        graph=graph,
        widths=widths,
        inputs_per_frame=inputs,
        frequencies_hertz=hardware.frequencies_hertz,
        nodes=(*nodes, ELSEWHERE),
        kept_planes=work.kept_planes,
        memory=hardware.memory,
        requantise=hardware.execution.requantise,
        tiling=work.tiling,
        compute_cycles=work.compute_cycles,
        other_cycles=work.other_cycles,
        total_cycles=work.total_cycles,
        dram_read_bits=traffic.read_bits,
        dram_write_bits=traffic.write_bits,
        dram_time_bits=np.broadcast_to(traffic.time_bits, shape).copy(),
        counts={action: np.broadcast_to(count, shape).copy() for action, count in counts.items()},
        cycle_counts={
            action: np.broadcast_to(count[..., None, None], shape).copy() for action, count in work.cycle_counts.items()
        },
        energy_joules=node_energy.sum(axis=-1),
        node_energy_joules=node_energy,
    )


def _check_widths(graph: LayerGraph, widths: tuple[int, ...]) -> None:
    for layer in graph.layers:
        outside = sorted({bits for pair in layer.allowed for bits in pair}.difference(widths))
        if outside:
            raise ConfigurationError(
                f"site {layer.name!r} allows {outside[0]} bits, which are not among the cost table's widths "
                f"{', '.join(map(str, widths))}: add them"
            )
