"""A sine as chords between points on it, as many as keep a stated distance to the curve.

A chord over the time h leaves a curve by at most h^2 / 8 times the largest second derivative. For a sine of
amplitude A in N chords per period that is A (2 pi / N)^2 / 8, from which N follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from hwsim.errors import ConfigurationError
from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND

FEWEST_CHORDS = 4


@dataclass(frozen=True, kw_only=True)
class Sine:
    """A sine for all times, drawn in chords.

    Attributes:
        mean: Value about which it swings.
        amplitude: Largest distance from the mean; 0 or more.
        period_picoseconds: From one highest value to the next.
        peak_picoseconds: A time at which it is highest.
        tolerance: Largest distance between the chords and the sine; above 0.

    Raises:
        ConfigurationError: A value is out of range, or the period is too short for its chords.
    """

    mean: float
    amplitude: float
    period_picoseconds: int
    peak_picoseconds: int
    tolerance: float

    def __post_init__(self) -> None:
        if self.amplitude < 0 or self.tolerance <= 0 or self.period_picoseconds < self.chords:
            raise ConfigurationError(
                f"sine: expected an amplitude of 0 or more, a tolerance above 0, and a period of {self.chords} ps or "
                f"more; got {self.amplitude}, {self.tolerance} and {self.period_picoseconds} ps"
            )

    @cached_property
    def chords(self) -> int:
        """Chords per period."""
        if self.amplitude <= 0 or self.tolerance <= 0:
            return FEWEST_CHORDS
        return max(FEWEST_CHORDS, math.ceil(2 * math.pi * math.sqrt(self.amplitude / (8 * self.tolerance))))

    @property
    def highest(self) -> float:
        """The crest, which no chord exceeds."""
        return self.mean + self.amplitude

    def value_at(self, time_picoseconds: int) -> float:
        """Return the value of the chord at a time."""
        chord = self._chord_at(time_picoseconds)
        elapsed = (time_picoseconds - self._knot(chord)) / PICOSECONDS_PER_SECOND
        return self._value(chord) + self._slope(chord) * elapsed

    def slope_per_second_at(self, time_picoseconds: int) -> float:
        """Return the slope of the chord that begins at a time or runs through it."""
        return self._slope(self._chord_at(time_picoseconds))

    def knots_between(self, start_picoseconds: int, end_picoseconds: int) -> tuple[int, ...]:
        """Return where chords meet, strictly between two times."""
        knots, chord = [], self._chord_at(start_picoseconds) + 1
        while (knot := self._knot(chord)) < end_picoseconds:
            knots.append(knot)
            chord += 1
        return tuple(knots)

    def _chord_at(self, time: int) -> int:
        # Knots are rounded down, so the chord of the exact division may be the one before.
        chord = (time - self.peak_picoseconds) * self.chords // self.period_picoseconds
        return chord + 1 if self._knot(chord + 1) <= time else chord

    def _knot(self, chord: int) -> int:
        return self.peak_picoseconds + chord * self.period_picoseconds // self.chords

    def _value(self, chord: int) -> float:
        since_peak = (self._knot(chord) - self.peak_picoseconds) % self.period_picoseconds
        return self.mean + self.amplitude * math.cos(2 * math.pi * since_peak / self.period_picoseconds)

    def _slope(self, chord: int) -> float:
        seconds = (self._knot(chord + 1) - self._knot(chord)) / PICOSECONDS_PER_SECOND
        return (self._value(chord + 1) - self._value(chord)) / seconds
