"""Power that changes over time: what the surroundings give, and what else the device has to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND
from hwsim.plant.time_series import PiecewiseLinear, TimeSeries

POWER_STEP_PICOSECONDS = PICOSECONDS_PER_SECOND
"""Longest time that a power which moves is held constant."""
LONGEST_STEP_PICOSECONDS = 3600 * PICOSECONDS_PER_SECOND
"""The same of one that does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSeries:
    """Power over time, in steps for which battery and heat have closed forms.

    While the power moves, a step lasts to the series' next knot, or to the next whole second before it. Within it the
    power is held at its mean, so that the energy at its end is exact.

    Attributes:
        series: Watts; what is negative counts as none, so that a sine about 0 W is a sun that sets.
    """

    series: TimeSeries

    @classmethod
    def constant(cls, watts: float) -> PowerSeries:
        """Return a power that never changes."""
        return cls(series=PiecewiseLinear.constant(watts))

    @property
    def highest_watts(self) -> float:
        """A bound on the power at all times."""
        return max(self.series.highest, 0.0)

    def watts_at(self, time_picoseconds: int) -> float:
        """Return the power of the step in which a time lies; a step's first moment belongs to it."""
        floor = time_picoseconds // POWER_STEP_PICOSECONDS * POWER_STEP_PICOSECONDS
        start = (floor, *self.series.knots_between(floor, time_picoseconds + 1))[-1]
        value, slope = self.series.value_at(start), self.series.slope_per_second_at(start)
        if slope:
            value += slope * ((self.next_step(time_picoseconds) - start) / PICOSECONDS_PER_SECOND / 2)
        return max(value, 0.0)

    def steps_between(self, start_picoseconds: int, end_picoseconds: int) -> Iterator[int]:
        """Yield the first moments of steps strictly between two times."""
        time = start_picoseconds
        while (time := self.next_step(time)) < end_picoseconds:
            yield time

    def next_step(self, time_picoseconds: int) -> int:
        """Return when the first step after a time begins."""
        if self.series.slope_per_second_at(time_picoseconds):
            latest = (time_picoseconds // POWER_STEP_PICOSECONDS + 1) * POWER_STEP_PICOSECONDS
        else:
            latest = time_picoseconds + LONGEST_STEP_PICOSECONDS
        return (*self.series.knots_between(time_picoseconds, latest), latest)[0]
