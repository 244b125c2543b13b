"""Frames that know nothing of one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND
from hwsim.simulation.arrivals.base import exponential_picoseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PoissonArrivals:
    """A Poisson process: the times between frames are independent and exponentially distributed.

    Attributes:
        rate_hertz: Frames per second in the mean; above 0.
    """

    rate_hertz: float

    def times(self, until: int, generator: np.random.Generator) -> Iterator[int]:
        """Yield arrival times before ``until``, strictly ascending."""
        return self.between(0, until, generator)

    def between(self, start: int, end: int, generator: np.random.Generator) -> Iterator[int]:
        """Yield arrival times after ``start`` and before ``end``; a Poisson process has no memory to bring along."""
        mean = PICOSECONDS_PER_SECOND / self.rate_hertz
        time = start + exponential_picoseconds(mean, generator)
        while time < end:
            yield time
            time += exponential_picoseconds(mean, generator)
