"""Frames of a camera that wakes when something moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwsim.simulation.arrivals.base import exponential_picoseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionArrivals:
    """Motion begins as a Poisson process; while it lasts, frames come at a period; then the detector rests.

    Motion that begins while the detector watches or rests starts nothing new. Beginnings and lengths are drawn
    from streams of their own. All times are in picoseconds.

    Attributes:
        mean_wait: Mean time until the next motion begins, exponentially distributed.
        mean_length: Mean time that motion lasts, exponentially distributed.
        period: From frame to frame while it lasts; the first comes with its beginning.
        cool_down: How long after a motion the detector is blind.
        watches_from: From this time on the detector watches.
        watches_until: Until before this time, or to the end.
    """

    mean_wait: int
    mean_length: int
    period: int
    cool_down: int
    watches_from: int = 0
    watches_until: int | None = None

    def times(self, until: int, generator: np.random.Generator) -> Iterator[int]:
        """Yield arrival times before ``until``, strictly ascending."""
        last = until if self.watches_until is None else min(until, self.watches_until)
        for start, end in self.motions(last, generator):
            yield from range(start, min(end, last), self.period)

    def motions(self, until: int, generator: np.random.Generator) -> Iterator[tuple[int, int]]:
        """Yield start and end of each motion that is seen and begins before ``until``."""
        of_starts, of_lengths = generator.spawn(2)
        ready = self.watches_from
        while (start := ready + exponential_picoseconds(self.mean_wait, of_starts)) < until:
            end = start + exponential_picoseconds(self.mean_length, of_lengths)
            yield start, end
            ready = end + self.cool_down
