"""Trips with hysteresis, each with a fixed cap: Linux' ``bang_bang``, and how many chips protect themselves.

RK3588's NPU is one: at 85 C it is capped to 800 MHz until it is cooler than 80 C (``high-temp`` and
``temp-hysteresis`` of its operating points, rk3588s.dtsi).
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.errors import ConfigurationError
from hwsim.plant.throttling.base import Mark, Reading, Verdict, is_over


@dataclass(frozen=True, slots=True, kw_only=True)
class BangBangTrip:
    """Caps the clock from a temperature on, until it is cooler than another.

    Attributes:
        temperature_millicelsius: At or above it the trip becomes active.
        resume_millicelsius: Below it the trip is over; the same temperature for no hysteresis.
        frequency_cap_hertz: Highest clock while active.

    Raises:
        ConfigurationError: It would end above the temperature that starts it, or its cap is not positive.
    """

    temperature_millicelsius: int
    resume_millicelsius: int
    frequency_cap_hertz: int

    def __post_init__(self) -> None:
        if self.resume_millicelsius > self.temperature_millicelsius or self.frequency_cap_hertz <= 0:
            raise ConfigurationError(
                f"trip at {self.temperature_millicelsius / 1000} C: expected to resume at or below it and a frequency "
                f"cap above 0; got {self.resume_millicelsius / 1000} C and {self.frequency_cap_hertz} Hz"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BangBang:
    """On when T >= trip, off when T < trip - hysteresis (drivers/thermal/gov_bang_bang.c); the lowest cap counts.

    The state says of each trip whether it is active.

    Attributes:
        trips: In any order; none for a device that never throttles.
        poll_picoseconds: Time between polls.
    """

    trips: tuple[BangBangTrip, ...]
    poll_picoseconds: int

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The trips."""
        return tuple(
            Mark(temperature_celsius=trip.temperature_millicelsius / 1000, frequency_cap_hertz=trip.frequency_cap_hertz)
            for trip in self.trips
        )

    def init(self) -> tuple[bool, ...]:
        """Return that no trip is active."""
        return (False,) * len(self.trips)

    def poll(self, reading: Reading, state: tuple[bool, ...]) -> tuple[tuple[bool, ...], Verdict]:
        """Return which trips are active after a reading, and the lowest of their caps."""
        active = tuple(
            is_over(
                reading.millicelsius,
                trip=trip.temperature_millicelsius,
                resume=trip.resume_millicelsius,
                was_over=was_active,
            )
            for trip, was_active in zip(self.trips, state, strict=True)
        )
        caps = [trip.frequency_cap_hertz for trip, is_active in zip(self.trips, active, strict=True) if is_active]
        return active, Verdict(cap_hertz=min(caps, default=None), next_poll_picoseconds=self.poll_picoseconds)
