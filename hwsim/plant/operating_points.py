"""Clock and voltage, and exact time in whole picoseconds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hwsim.errors import ConfigurationError

PICOSECONDS_PER_SECOND = 10**12


def duration_picoseconds(cycles: int, frequency_hertz: int) -> int:
    """Return how long cycles take, rounded up to a whole picosecond; exact for any number of cycles."""
    return -(-cycles * PICOSECONDS_PER_SECOND // frequency_hertz)


def cycles_done(elapsed_picoseconds: int, frequency_hertz: int) -> int:
    """Return how many cycles have been completed after a time."""
    return elapsed_picoseconds * frequency_hertz // PICOSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A clock and the voltage that it needs."""

    frequency_hertz: int
    voltage_volts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoints:
    """The operating points of a device, fastest first.

    Raises:
        ConfigurationError: No points, two of one frequency, or a value that is not positive.
    """

    points: tuple[OperatingPoint, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.points, key=lambda point: -point.frequency_hertz))
        if not ordered or any(point.frequency_hertz <= 0 or point.voltage_volts <= 0 for point in ordered):
            raise ConfigurationError(
                f"operating points: expected one or more, frequencies and voltages above 0; got {list(self.points)}"
            )
        for faster, slower in pairwise(ordered):
            if faster.frequency_hertz == slower.frequency_hertz:
                raise ConfigurationError(f"operating points: {faster.frequency_hertz} Hz is given twice: keep one")
        object.__setattr__(self, "points", ordered)

    @property
    def fastest(self) -> OperatingPoint:
        """The point of the highest frequency."""
        return self.points[0]

    def at_most(self, *limits_hertz: int | None) -> OperatingPoint:
        """Return the fastest point within all limits; the slowest where none is slow enough.

        Args:
            limits_hertz: For example a controller's request and the throttle's cap; ``None`` is no limit.
        """
        limit = min((hertz for hertz in limits_hertz if hertz is not None), default=self.fastest.frequency_hertz)
        return next((point for point in self.points if point.frequency_hertz <= limit), self.points[-1])
