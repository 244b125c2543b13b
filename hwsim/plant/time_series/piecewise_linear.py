"""Straight lines from point to point: what is constant, ramps, or comes from a file."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from hwsim.errors import ConfigurationError
from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class PiecewiseLinear:
    """Linear between points and constant outside them.

    Attributes:
        points: (time in picoseconds, value), times strictly ascending.

    Raises:
        ConfigurationError: No points, or times that do not ascend.
    """

    points: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        times = [time for time, _ in self.points]
        if not times or any(later <= earlier for earlier, later in pairwise(times)):
            raise ConfigurationError(
                f"time series: expected one point or more, times strictly ascending; got {list(self.points)}"
            )

    @classmethod
    def constant(cls, value: float) -> PiecewiseLinear:
        """Return what never changes."""
        return cls(points=((0, value),))

    @property
    def highest(self) -> float:
        """The highest point."""
        return max(value for _, value in self.points)

    def value_at(self, time_picoseconds: int) -> float:
        """Return the value at a time."""
        index = bisect_right(self._times, time_picoseconds) - 1
        if index < 0:
            return self.points[0][1]
        start, value = self.points[index]
        return value + self._slopes[index + 1] * ((time_picoseconds - start) / PICOSECONDS_PER_SECOND)

    def slope_per_second_at(self, time_picoseconds: int) -> float:
        """Return how fast the value moves from this time on, until the next knot."""
        return self._slopes[bisect_right(self._times, time_picoseconds)]

    @cached_property
    def knots(self) -> tuple[int, ...]:
        """Times in picoseconds at which the slope changes."""
        changes = zip(self._times, self._slopes, self._slopes[1:], strict=False)
        return tuple(time for time, before, after in changes if before != after)

    def knots_between(self, start_picoseconds: int, end_picoseconds: int) -> tuple[int, ...]:
        """Return the knots strictly between two times."""
        knots = self.knots
        return knots[bisect_right(knots, start_picoseconds) : bisect_left(knots, end_picoseconds)]

    @cached_property
    def _times(self) -> tuple[int, ...]:
        return tuple(time for time, _ in self.points)

    @cached_property
    def _slopes(self) -> tuple[float, ...]:
        """Slope before the first point, between each two, and after the last."""
        inner = (
            (after - before) / ((end - start) / PICOSECONDS_PER_SECOND)
            for (start, before), (end, after) in pairwise(self.points)
        )
        return (0.0, *inner, 0.0)
