"""The air around the device."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.plant.time_series import PiecewiseLinear, TimeSeries


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambient:
    """Ambient temperature over time.

    Attributes:
        series: Degrees Celsius; the plant integrates its straight pieces exactly.
    """

    series: TimeSeries

    @classmethod
    def constant(cls, temperature_celsius: float) -> Ambient:
        """Return an ambient that never changes."""
        return cls(series=PiecewiseLinear.constant(temperature_celsius))

    def temperature_celsius(self, time_picoseconds: int) -> float:
        """Return the ambient temperature at a time."""
        return self.series.value_at(time_picoseconds)

    def slope_kelvin_per_second(self, time_picoseconds: int) -> float:
        """Return how fast ambient moves from this time on, until the next knot."""
        return self.series.slope_per_second_at(time_picoseconds)

    def knots_between(self, start_picoseconds: int, end_picoseconds: int) -> tuple[int, ...]:
        """Return the times strictly between two others at which the slope may change."""
        return self.series.knots_between(start_picoseconds, end_picoseconds)
