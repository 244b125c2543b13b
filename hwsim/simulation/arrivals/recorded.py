"""Frames at times that were recorded elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedArrivals:
    """Frames at given times.

    Attributes:
        recorded: Times in picoseconds, in order; several may be equal.
    """

    recorded: tuple[int, ...]

    def times(self, until: int, generator: np.random.Generator) -> Iterator[int]:
        """Yield the recorded times before ``until``."""
        return (time for time in self.recorded if time < until)
