"""What the order of issue means for a network: which site is committed when, and where its costs stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bitmixer.graph import LayerGraph
from hwsim.cost import CostTable
from hwsim.cost.arrays.base import Int64Array
from hwsim.cost.memory import Memory
from hwsim.cost.memory.walk import remaining_cycles
from hwsim.plant.operating_points import duration_picoseconds
from hwsim.simulation.events import Widths
from hwsim.simulation.weight_planes import PlaneNeeds


class Pace(NamedTuple):
    """How fast work goes on: position of the clock, and the free share of the DRAM's bandwidth."""

    clock: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Look-ups by position in the order of issue, made once per run.

    Attributes:
        sites: Number of sites.
        committed_at: Sites whose widths are fixed when the site at a position is issued.
        first_uncommitted: First site that can still change after that.
        key_consumers: Position of each site's key consumer; -1 before the output.
        keyed_producers: Positions of the sites whose key consumer each site is.
        on_load: Whether a site requantises what it reads, so that results leave as accumulators.
        planes: Weight planes that sites need and keep.
        durations_picoseconds: [clock][row of the cost table] time of one execution, all of the DRAM being free.
        cycles: [clock][row] cycles of one execution, likewise.
        dram_time_bits: [row] bits that would take the DRAM as long at its full efficiency.
        array_cycles: [row] cycles for which the array works; its bound, where values let it skip work.
        energies_joules: [row] dynamic energy at the nominal voltage.
        plant_rows: [row] the plant's row of the same execution.
    """

    sites: int
    committed_at: tuple[tuple[int, ...], ...]
    first_uncommitted: tuple[int, ...]
    key_consumers: tuple[int, ...]
    keyed_producers: tuple[tuple[int, ...], ...]
    on_load: bool
    planes: PlaneNeeds
    durations_picoseconds: tuple[list[int], ...]
    cycles: tuple[list[int], ...]
    dram_time_bits: list[int]
    array_cycles: list[int]
    energies_joules: list[float]
    plant_rows: list[int]
    _frequencies_hertz: tuple[int, ...]
    _strides: tuple[int, int, int, int]
    _width_index: dict[int, int]
    _memory: Memory
    _tiles: Callable[[int, int, float], Int64Array] | None
    _tiled_rows: int

    def row(
        self, position: int, widths: Widths, next_activation_bits: int, *, norm_reload: bool, missing_planes: int
    ) -> int:
        """Return the cost table's row of one execution."""
        site_stride, weight_stride, activation_stride, next_stride = self._strides
        index = self._width_index
        # Accumulators, and results before the output, leave at full width whatever the key, so any key prices them.
        if self.on_load or self.key_consumers[position] < 0:
            next_activation_bits = widths[1]
        return (
            position * site_stride
            + index[widths[0]] * weight_stride
            + index[widths[1]] * activation_stride
            + index[next_activation_bits] * next_stride
            + 2 * missing_planes
            + norm_reload
        )

    def add_row(
        self, cycles: Sequence[int], *, dram_time_bits: int, array_cycles: int, energy_joules: float, plant_row: int
    ) -> int:  # fmt: skip
        """Add an execution that is not in the cost table, and return its row.

        Args:
            cycles: [clock] of the whole execution, all of the DRAM being free.
            dram_time_bits: As above.
            array_cycles: For which the array works.
            energy_joules: Dynamic energy at the nominal voltage.
            plant_row: The plant's row of it.
        """
        for clock, (count, hertz) in enumerate(zip(cycles, self._frequencies_hertz, strict=True)):
            self.cycles[clock].append(count)
            self.durations_picoseconds[clock].append(duration_picoseconds(count, hertz))
        self.dram_time_bits.append(dram_time_bits)
        self.array_cycles.append(array_cycles)
        self.energies_joules.append(energy_joules)
        self.plant_rows.append(plant_row)
        return len(self.energies_joules) - 1

    def cycles_at(self, row: int, pace: Pace) -> int:
        """Return the cycles of a whole execution at one pace.

        Where everything overlaps, a smaller share lengthens nothing but the DRAM's part, and the table holds the
        longest of all parts with the whole DRAM: the longer of that and of the DRAM's part at this share is exact.
        """
        clock, share = pace
        if share == 1.0:
            return self.cycles[clock][row]
        if self._tiles is not None and row < self._tiled_rows:
            return int(self._tiles(row, clock, share).sum())
        bits, hertz = np.array(self.dram_time_bits[row]), self._frequencies_hertz[clock]
        return max(self.cycles[clock][row], int(self._memory.shared(share).dram_cycles(bits, hertz)))

    def remaining(self, row: int, before: Pace, after: Pace, left: int) -> int:
        """Return the cycles that are left of an execution at another pace.

        A layer may need other cycles there (memory keeps its own speed): what is left of the stage under way is scaled.

        Args:
            row: The execution.
            before: Pace until now.
            after: Pace from now on.
            left: Cycles that were left at the pace until now.
        """
        stages = self._stages(row, before)
        return remaining_cycles(stages, self._stages(row, after), int(stages.sum()) - left)

    def _stages(self, row: int, pace: Pace) -> Int64Array:
        if self._tiles is not None and row < self._tiled_rows:
            return self._tiles(row, *pace)
        return np.array([self.cycles_at(row, pace)])


def build_schedule(graph: LayerGraph, costs: CostTable, *, first_plant_row: int = 1) -> Schedule:
    """Return the schedule of a network on a device, whose plant has the cost table's rows from one row on."""
    on_load = costs.requantise == "on_load"
    sites, positions = len(graph.layers), range(len(graph.layers))
    points = positions if on_load else graph.commit_points
    consumers = tuple(-1 if layer.key_consumer is None else graph.index[layer.key_consumer] for layer in graph.layers)
    choices, fetches = len(costs.widths), costs.fetches
    cycles = tuple(each.reshape(-1).tolist() for each in costs.total_cycles)
    return Schedule(
        sites=sites,
        committed_at=tuple(tuple(site for site in positions if points[site] == at) for at in positions),
        first_uncommitted=tuple(next((site for site in positions if points[site] > at), sites) for at in positions),
        key_consumers=consumers,
        keyed_producers=tuple(tuple(site for site in positions if consumers[site] == reader) for reader in positions),
        on_load=on_load,
        planes=PlaneNeeds.of(costs),
        durations_picoseconds=tuple(
            [duration_picoseconds(count, hertz) for count in each]
            for each, hertz in zip(cycles, costs.frequencies_hertz, strict=True)
        ),
        cycles=cycles,
        dram_time_bits=costs.dram_time_bits.reshape(-1).tolist(),
        array_cycles=np.broadcast_to(costs.compute_cycles[..., None, None], costs.energy_joules.shape).ravel().tolist(),
        energies_joules=costs.energy_joules.reshape(-1).tolist(),
        plant_rows=list(range(first_plant_row, first_plant_row + costs.rows)),
        _frequencies_hertz=costs.frequencies_hertz,
        _strides=(choices**3 * fetches, choices**2 * fetches, choices * fetches, fetches),
        _memory=costs.memory,
        _tiles=lru_cache(maxsize=1 << 12)(costs.stage_cycles) if costs.tiled else None,
        _tiled_rows=costs.rows,
        _width_index={bits: index for index, bits in enumerate(costs.widths)},
    )
