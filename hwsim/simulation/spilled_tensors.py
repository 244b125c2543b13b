"""What a frame has on chip between two layers, and what it takes to move that to DRAM and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwsim.cost import CostTable, EnergyTable
from hwsim.cost.memory import Traffic
from hwsim.cost.memory.dram import ACCUMULATOR_BITS
from hwsim.cost.memory.maps import KeptTensor, kept_tensors
from hwsim.plant.plant import Plant
from hwsim.simulation.events import Widths
from hwsim.simulation.schedule import Schedule


class SpilledTensors:
    """The tensors that leave the chip with a preempted frame, and return with it.

    Only what stays on chip from one layer to another is moved. A device without buffers keeps no tensor there: results
    lie in DRAM as soon as a layer is done, and preemption moves none.

    Args:
        costs: The stream's cost table.
        energy_table: Joules per action.
        schedule: Takes a row for each number of bits that is moved.
        plant: Takes the same.
    """

    def __init__(self, costs: CostTable, energy_table: EnergyTable, schedule: Schedule, plant: Plant) -> None:
        self._costs = costs
        self._schedule = schedule
        self._plant = plant
        self._bit_joules = energy_table.node_energy_joules({"dram_bit": np.array(1)}, costs.nodes[:-1])
        self._rows: dict[int, int] = {}
        self._kept: tuple[KeptTensor, ...] = ()
        if costs.tiling is not None:
            buffers, wide = costs.tiling.machine.buffers, ACCUMULATOR_BITS if schedule.on_load else None
            self._burst_bits = buffers.burst_bits
            self._kept = kept_tensors(costs.graph, buffers, inputs_per_frame=costs.inputs_per_frame, stream_bits=wide)

    def bits(self, position: int, committed: Sequence[Widths]) -> int:
        """Return what is on chip after the layer at a position, in whole bursts, under these widths."""
        total = 0
        for tensor in self._kept:
            if tensor.writer <= position < tensor.last_reader:
                bits = tensor.bits(committed[tensor.last_reader][1])
                total += -(-bits // self._burst_bits) * self._burst_bits
        return total

    def row(self, bits: int) -> int:
        """Return the row of an execution that moves these bits in one direction and does nothing else."""
        if bits not in self._rows:
            traffic = Traffic(read_bits=np.array(bits), write_bits=np.array(0))
            energies = bits * self._bit_joules
            self._rows[bits] = self._schedule.add_row(
                [int(self._costs.memory.cycles(traffic, hertz)) for hertz in self._costs.frequencies_hertz],
                dram_time_bits=bits, array_cycles=0, energy_joules=float(energies.sum()),
                plant_row=self._plant.add_row(energies),
            )  # fmt: skip
        return self._rows[bits]
