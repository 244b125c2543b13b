"""How long a ladder's assignments take, whole or from a site on, while others use a part of the DRAM's bandwidth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from hwsim.controllers.actions import FloatArray, Ladder
from hwsim.controllers.base import NetworkView


@dataclass(frozen=True, kw_only=True, eq=False)
class RungTimes:
    """Times of K assignments of N sites, by the law of ``docs/bandwidth.md``: the free share touches the DRAM alone.

    A device that goes on tile by tile is reckoned in the same way, which its fetches and drains exceed a little.

    Attributes:
        seconds: [K, clocks, N] of each site with the whole bandwidth.
        dram_seconds: [K, N] the DRAM's part of them.
    """

    seconds: FloatArray
    dram_seconds: FloatArray

    @classmethod
    def of(cls, ladder: Ladder, network: NetworkView) -> Self:
        """Return the times of a ladder, all that can stay on chip being there."""
        costs, clocks = network.costs, np.array(ladder.frequencies_hertz)
        rows = np.array([costs.frame_rows(each) for each in ladder.assignments])
        cycles = costs.total_cycles.reshape(len(clocks), -1)[:, rows]
        bandwidth = costs.memory.dram_bandwidth_bits_per_second
        return cls(
            seconds=np.moveaxis(cycles, 0, 1) / clocks[:, None],
            dram_seconds=costs.dram_time_bits.reshape(-1)[rows] / bandwidth,
        )

    def remaining(self, clock: int, share: float, first: int = 0) -> FloatArray:
        """Return [K] the seconds of the sites from position ``first`` on.

        Args:
            clock: Position of the clock.
            share: Part of the DRAM's bandwidth that is free, above 0.
            first: The first site that counts.
        """
        sites = np.maximum(self.seconds[:, clock, first:], self.dram_seconds[:, first:] / share)
        whole: FloatArray = sites.sum(axis=1)
        return whole
