"""Rows beyond the cost table's, for executions in which values let the array skip work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwsim.cost import CostTable, EnergyTable
from hwsim.errors import InvariantError
from hwsim.plant.plant import Plant
from hwsim.simulation.events import LayerIssued
from hwsim.simulation.schedule import Schedule


class ValuedRows:
    """Turns a row of the cost table, which holds the bound, into what an execution really takes.

    An execution of c array cycles, of a bound b, takes max(c, memory, vector unit) and leaves out the share 1 - c / b
    of the counts that shrink with cycles (``CostTable.cycle_counts``). Each pair of row and cycles becomes a row of
    the schedule and of the plant, once.

    Args:
        costs: The cost table.
        energy_table: Joules per action.
        schedule: Takes the new rows.
        plant: Takes the same.
        array_cycles: What the array takes for an issued layer, over all inputs of its frame.
    """

    def __init__(
        self, costs: CostTable, energy_table: EnergyTable, schedule: Schedule, plant: Plant,
        array_cycles: Callable[[LayerIssued], int],
    ) -> None:  # fmt: skip
        self._schedule = schedule
        self._plant = plant
        self._array_cycles = array_cycles
        assert costs.other_cycles is not None  # these arrays have no buffers (``hwsim.cost.work``)
        self._other = costs.other_cycles.reshape(len(costs.frequencies_hertz), -1)
        self._energies = costs.node_energy_joules.reshape(costs.rows, -1)
        saved = energy_table.node_energy_joules(costs.cycle_counts, costs.nodes[:-1])
        self._shrinking = saved.reshape(costs.rows, -1)
        self._known: dict[tuple[int, int], int] = {}

    def row(self, row: int, issued: LayerIssued) -> int:
        """Return the row of an execution, given its row in the cost table.

        Raises:
            InvariantError: The array takes no cycle, or more than its bound.
        """
        cycles, bound = self._array_cycles(issued), self._schedule.array_cycles[row]
        if not 0 < cycles <= bound:
            raise InvariantError(
                f"layer {issued.position} of frame {issued.frame} takes {cycles} array cycles: expected 1 to its bound "
                f"{bound}; this is a fault of the array model, please report the scenario"
            )
        if cycles == bound:
            return row
        known = self._known.get((row, cycles))
        if known is None:
            known = self._known[row, cycles] = self._add(row, cycles, 1 - cycles / bound)
        return known

    def _add(self, row: int, cycles: int, saved: float) -> int:
        energies = self._energies[row] - saved * self._shrinking[row]
        totals = np.maximum(self._other[:, row], cycles).tolist()
        return self._schedule.add_row(
            totals,
            dram_time_bits=self._schedule.dram_time_bits[row],
            array_cycles=cycles,
            energy_joules=float(energies.sum()),
            plant_row=self._plant.add_row(energies),
        )
