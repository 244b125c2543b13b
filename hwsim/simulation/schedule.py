"""What the order of issue means for a network: which site is committed when, and where its costs stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bitmixer.graph import LayerGraph
from hwsim.cost import CostTable
from hwsim.cost.arrays.base import Int64Array
from hwsim.cost.memory.walk import remaining_cycles
from hwsim.plant.operating_points import duration_picoseconds
from hwsim.simulation.events import Widths
from hwsim.simulation.weight_planes import PlaneNeeds


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
        durations_picoseconds: [clock][row of the cost table] time of one execution.
        cycles: [clock][row] cycles of one execution.
        array_cycles: [row] cycles for which the array works; its bound, where values let it skip work.
        energies_joules: [row] dynamic energy at the nominal voltage.
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
    array_cycles: list[int]
    energies_joules: list[float]
    _frequencies_hertz: tuple[int, ...]
    _strides: tuple[int, int, int, int]
    _width_index: dict[int, int]
    _stages: Callable[[int, int], Int64Array]

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

    def add_row(self, cycles: Sequence[int], *, array_cycles: int, energy_joules: float) -> int:
        """Add an execution that is not in the cost table, and return its row.

        Args:
            cycles: [clock] of the whole execution.
            array_cycles: For which the array works.
            energy_joules: Dynamic energy at the nominal voltage.
        """
        for clock, (count, hertz) in enumerate(zip(cycles, self._frequencies_hertz, strict=True)):
            self.cycles[clock].append(count)
            self.durations_picoseconds[clock].append(duration_picoseconds(count, hertz))
        self.array_cycles.append(array_cycles)
        self.energies_joules.append(energy_joules)
        return len(self.energies_joules) - 1

    def remaining(self, row: int, before: int, after: int, left: int) -> int:
        """Return the cycles that are left of an execution at another clock.

        A layer may need other cycles there (memory keeps its own speed): what is left of the stage under way is scaled.

        Args:
            row: The execution.
            before: Position of the clock until now.
            after: Position of the clock from now on.
            left: Cycles that were left at the clock until now.
        """
        stages = self._stages(row, before)
        return remaining_cycles(stages, self._stages(row, after), int(stages.sum()) - left)


def build_schedule(graph: LayerGraph, costs: CostTable) -> Schedule:
    """Return the schedule of a network on a device."""
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
        array_cycles=np.broadcast_to(costs.compute_cycles[..., None, None], costs.energy_joules.shape).ravel().tolist(),
        energies_joules=costs.energy_joules.reshape(-1).tolist(),
        _frequencies_hertz=costs.frequencies_hertz,
        _strides=(choices**3 * fetches, choices**2 * fetches, choices * fetches, fetches),
        _stages=lru_cache(maxsize=1 << 12)(costs.stage_cycles),
        _width_index={bits: index for index, bits in enumerate(costs.widths)},
    )
