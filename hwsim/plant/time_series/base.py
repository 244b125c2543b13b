"""What the plant asks of anything that changes over time: straight lines between knots that it can cut at."""

from __future__ import annotations

from typing import Protocol


class TimeSeries(Protocol):
    """A continuous function of time that is linear between its knots. Times are in picoseconds."""

    @property
    def highest(self) -> float:
        """A bound on the value at all times."""
        ...

    def value_at(self, time_picoseconds: int) -> float:
        """Return the value at a time."""
        ...

    def slope_per_second_at(self, time_picoseconds: int) -> float:
        """Return how fast the value moves from this time on, until the next knot."""
        ...

    def knots_between(self, start_picoseconds: int, end_picoseconds: int) -> tuple[int, ...]:
        """Return the times strictly between two others at which the slope may change."""
        ...
