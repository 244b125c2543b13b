"""What every source of frames can do, and the draw that the random ones share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np


class Arrivals(Protocol):
    """A source of frames."""

    def times(self, until: int, generator: np.random.Generator) -> Iterator[int]:
        """Yield arrival times from 0 to before ``until``, in order, in picoseconds.

        Args:
            until: End of the arrivals, in picoseconds.
            generator: The source's own stream; nobody else draws from it.
        """
        ...


def exponential_picoseconds(mean_picoseconds: float, generator: np.random.Generator) -> int:
    """Draw a time of the exponential distribution, rounded up to a picosecond, so that it is never 0."""
    return 1 + int(generator.exponential(mean_picoseconds))
