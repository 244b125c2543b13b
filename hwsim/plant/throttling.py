"""The device's own protection: trip temperatures that cap the clock, with hysteresis."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from hwsim.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """Caps the clock from a temperature on, until it is cooler than another.

    Attributes:
        temperature_celsius: At or above it the trip becomes active.
        resume_celsius: Below it the trip is over; equal to ``temperature_celsius`` for no hysteresis.
        frequency_cap_hertz: Highest clock while active.

    Raises:
        ConfigurationError: It would end above the temperature that starts it, or its cap is not positive.
    """

    temperature_celsius: float
    resume_celsius: float
    frequency_cap_hertz: int

    def __post_init__(self) -> None:
        if self.resume_celsius > self.temperature_celsius or self.frequency_cap_hertz <= 0:
            raise ConfigurationError(
                f"trip at {self.temperature_celsius} C: expected resume_celsius at or below it and "
                f"frequency_cap_hertz above 0; got {self.resume_celsius} C and {self.frequency_cap_hertz} Hz"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TripTable:
    """All trips of a device. Which of them are active is the caller's state: polling changes nothing here.

    Each trip follows the law of Linux' ``bang_bang``: on when T >= trip, off when T < trip - hysteresis.
    """

    trips: tuple[Trip, ...] = ()

    def poll(self, temperature_celsius: float, active: AbstractSet[int]) -> frozenset[int]:
        """Return which trips (by index) are active after a poll that reads this temperature."""
        return frozenset(
            index
            for index, trip in enumerate(self.trips)
            if temperature_celsius >= (trip.resume_celsius if index in active else trip.temperature_celsius)
        )

    def cap_hertz(self, active: AbstractSet[int]) -> int | None:
        """Return the lowest cap of the active trips; ``None`` where none is active."""
        return min((self.trips[index].frequency_cap_hertz for index in active), default=None)
