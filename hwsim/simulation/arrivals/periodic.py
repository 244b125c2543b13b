"""Frames at a fixed period."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Bursts:
    """Times in which frames come faster: from ``first``, ``every`` so often, for ``length`` (picoseconds)."""

    first: int
    every: int
    length: int
    period: int

    def active(self, time: int) -> bool:
        """Whether a burst is on."""
        return time >= self.first and (time - self.first) % self.every < self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicArrivals:
    """Frames at a fixed period, faster in bursts, each late by up to ``jitter`` (all in picoseconds)."""

    period: int
    offset: int = 0
    jitter: int = 0
    bursts: Bursts | None = None

    def times(self, until: int, generator: np.random.Generator) -> Iterator[int]:
        """Yield arrival times before ``until``, ascending."""
        scheduled, latest = self.offset, -1
        while scheduled < until:
            late = int(generator.integers(self.jitter + 1)) if self.jitter else 0
            latest = max(latest + 1, scheduled + late)
            if latest < until:
                yield latest
            burst = self.bursts is not None and self.bursts.active(scheduled)
            scheduled += self.bursts.period if burst and self.bursts is not None else self.period
