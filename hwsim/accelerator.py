"""An array with its memory and energies, and nothing of heat: what costs need, of an array profile or a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bitmixer.graph import LayerGraph
from hwsim.config.array_profile import ArrayProfile
from hwsim.config.energy import ArrayEnergy, Process, priced
from hwsim.config.profile import Memory as MemorySection
from hwsim.cost import CostTable, EnergyEntry, EnergyTable, Memory, cost_table
from hwsim.cost.arrays import ArrayModel
from hwsim.cost.energy import ELSEWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """What a layer's costs depend on.

    Attributes:
        array: Cycles and action counts of a layer.
        memory: The way to DRAM.
        vector_lanes: Elements per cycle of the vector unit.
        energy_table: Joules per action.
        frequencies_hertz: The clock.
    """

    array: ArrayModel
    memory: Memory
    vector_lanes: int
    energy_table: EnergyTable
    frequencies_hertz: tuple[int, ...]

    def cost_table(self, graph: LayerGraph, inputs_per_frame: int) -> CostTable:
        """Return what each site costs at each width."""
        widths = {bits for layer in graph.layers for pair in layer.allowed for bits in pair}
        return cost_table(
            graph,
            widths=tuple(sorted(widths)),
            inputs_per_frame=inputs_per_frame,
            array=self.array,
            memory=self.memory,
            vector_lanes=self.vector_lanes,
            energy_table=self.energy_table,
            nodes=(),
            frequencies_hertz=self.frequencies_hertz,
        )


def build_accelerator(profile: ArrayProfile) -> Accelerator:
    """Return the accelerator of a valid array profile; its energy warms nothing that is modelled."""
    return Accelerator(
        array=profile.array.build(),
        memory=build_memory(profile.memory),
        vector_lanes=profile.vector_unit.lanes_elements_per_cycle.value,
        energy_table=build_energy_table(profile.energy, profile.process, dict.fromkeys(profile.energy, ELSEWHERE)),
        frequencies_hertz=(profile.clock_hertz.value,),
    )


def build_memory(section: MemorySection) -> Memory:
    """Return the way to DRAM of a profile."""
    return Memory(
        dram_bandwidth_bits_per_second=section.dram_peak_bandwidth_bits_per_second.value
        * section.dram_efficiency.value,
        port_bits_per_cycle=section.port_width_bits_per_cycle.value,
    )


def build_energy_table(
    energy: Mapping[str, ArrayEnergy], process: Process | None, heated: Mapping[str, str]
) -> EnergyTable:
    """Return joules per action at ``process``, each entry with the thermal node that it heats."""
    joules = priced(energy, process)
    return EnergyTable(
        entries=tuple(
            EnergyEntry(name=name, action=entry.per, joules=joules[name], node=heated[name])
            for name, entry in energy.items()
        )
    )
