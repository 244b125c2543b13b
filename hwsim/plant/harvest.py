"""Power that the surroundings give."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND
from hwsim.plant.time_series import PiecewiseLinear, TimeSeries

HARVEST_STEP_PICOSECONDS = PICOSECONDS_PER_SECOND
"""Longest time that a harvest which moves is held constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """Harvested power over time, in steps for which a battery has a closed form.

    A step lasts to the series' next knot, or to the next whole second before it. Within it the power is held at its
    mean, so that the energy at its end is exact.

    Attributes:
        series: Watts; what is negative counts as none, so that a sine about 0 W is a sun that sets.
    """

    series: TimeSeries

    @classmethod
    def constant(cls, watts: float) -> Harvest:
        """Return a harvest that never changes."""
        return cls(series=PiecewiseLinear.constant(watts))

    def watts_at(self, time_picoseconds: int) -> float:
        """Return the power of the step in which a time lies; a step's first moment belongs to it."""
        floor = time_picoseconds // HARVEST_STEP_PICOSECONDS * HARVEST_STEP_PICOSECONDS
        start = (floor, *self.series.knots_between(floor, time_picoseconds + 1))[-1]
        half_seconds = (self.next_step(time_picoseconds) - start) / PICOSECONDS_PER_SECOND / 2
        return max(self.series.value_at(start) + self.series.slope_per_second_at(start) * half_seconds, 0.0)

    def steps_between(self, start_picoseconds: int, end_picoseconds: int) -> list[int]:
        """Return the first moments of steps strictly between two times."""
        first = (start_picoseconds // HARVEST_STEP_PICOSECONDS + 1) * HARVEST_STEP_PICOSECONDS
        seconds = range(first, end_picoseconds, HARVEST_STEP_PICOSECONDS)
        return sorted({*seconds, *self.series.knots_between(start_picoseconds, end_picoseconds)})

    def next_step(self, time_picoseconds: int) -> int:
        """Return when the first step after a time begins."""
        second = (time_picoseconds // HARVEST_STEP_PICOSECONDS + 1) * HARVEST_STEP_PICOSECONDS
        return (*self.series.knots_between(time_picoseconds, second), second)[0]
