"""A layer, tile by tile: the finest grain that is simulated. The accelerator takes a layer's closed form instead."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from hwsim.cost.arrays.base import Int64Array
from hwsim.cost.memory.buffers import Buffers
from hwsim.cost.memory.dram import Memory
from hwsim.cost.memory.walk import Walk
from hwsim.plant.operating_points import duration_picoseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast things go: the clock of array, vector unit and port, and the way to DRAM."""

    frequency_hertz: int
    memory: Memory


class TileByTile:
    """Array, memory and vector unit work on three tiles at a time, each at its own pace, and wait for one another.

    Attributes:
        finished_picoseconds: When the last tile had drained; -1 before.
        longest_stage_picoseconds: The longest time between two handovers.
    """

    def __init__(
        self, environment: simpy.Environment, walk: Walk, buffers: Buffers, vector_lanes: int, pace: Pace
    ) -> None:
        self._environment = environment
        self._stages = walk.stages(buffers)
        self._vector_lanes = vector_lanes
        self._pace = pace
        self.finished_picoseconds = -1
        self.longest_stage_picoseconds = 0
        self._process = environment.process(self._run())

    def change(self, pace: Pace) -> None:
        """Go on at another pace, in the middle of whatever is under way."""
        self._pace = pace
        if self._process.is_alive:
            self._process.interrupt()

    def _run(self) -> Generator[simpy.Event, Any, None]:
        environment = self._environment
        work = self._work()
        # Stages end at whole cycles since the last change of pace; a rounded period is never accumulated.
        origin, cycles = int(environment.now), 0
        for stage in range(len(work)):
            left, begun = np.ones(3), int(environment.now)
            while True:
                needed = max(int(np.ceil(part)) for part in left * work[stage])
                try:
                    target = origin + duration_picoseconds(cycles + needed, self._pace.frequency_hertz)
                    resumed = int(environment.now)
                    yield environment.timeout(target - resumed)
                    cycles += needed
                    break
                except simpy.Interrupt:
                    now = int(environment.now)
                    spent = (now - resumed) * needed / max(target - resumed, 1)
                    done = np.divide(spent, work[stage], out=np.ones(3), where=work[stage] > 0)
                    left = np.maximum(left - done, 0.0)
                    work, origin, cycles = self._work(), now, 0
            self.longest_stage_picoseconds = max(self.longest_stage_picoseconds, int(environment.now) - begun)
        self.finished_picoseconds = int(environment.now)

    def _work(self) -> Int64Array:
        """Return [stage, part] the cycles that array, memory and vector unit need at the present pace."""
        stages, pace = self._stages, self._pace
        vector = -(-stages.drain_operations // self._vector_lanes)
        memory = stages.memory_cycles(pace.memory, pace.frequency_hertz)
        return np.stack([stages.compute_cycles, memory, vector], axis=1)
