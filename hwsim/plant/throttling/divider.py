"""A clock divided by more the hotter it is, without hysteresis: the Coral Edge TPU's law.

Its driver looks every 5 s and sets the divider to the number of trips (85, 90, 95 C) that are reached
(google/gasket-driver, src/apex_driver.c).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hwsim.errors import ConfigurationError
from hwsim.plant.throttling.base import Mark, Reading, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class DividerTrip:
    """Divides the clock from a temperature on.

    Attributes:
        temperature_millicelsius: At or above it.
        divisor: The fastest clock over the cap.
    """

    temperature_millicelsius: int
    divisor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Divider:
    """The hottest trip that is reached says by how much the fastest clock is divided.

    Nothing is remembered: the state is empty.

    Attributes:
        trips: From cool to hot.
        fastest_hertz: The clock that is divided.
        poll_picoseconds: Time between polls.

    Raises:
        ConfigurationError: Trips out of order, or divisors that do not grow from 1.
    """

    trips: tuple[DividerTrip, ...]
    fastest_hertz: int
    poll_picoseconds: int

    def __post_init__(self) -> None:
        cool = all(before.temperature_millicelsius < after.temperature_millicelsius for before, after in self._pairs)
        if (
            not cool
            or any(before.divisor > after.divisor for before, after in self._pairs)
            or any(trip.divisor < 1 for trip in self.trips)
        ):
            raise ConfigurationError(f"divider: expected hotter trips to divide by more, from 1 on; got {self.trips}")

    @property
    def _pairs(self) -> list[tuple[DividerTrip, DividerTrip]]:
        return list(pairwise(self.trips))

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The trips."""
        return tuple(
            Mark(
                temperature_celsius=trip.temperature_millicelsius / 1000,
                frequency_cap_hertz=self.fastest_hertz // trip.divisor,
            )
            for trip in self.trips
        )

    def init(self) -> tuple[()]:
        """Return the empty state."""
        return ()

    def poll(self, reading: Reading, state: tuple[()]) -> tuple[tuple[()], Verdict]:
        """Return the cap of the hottest trip that is reached."""
        reached = [trip.divisor for trip in self.trips if trip.temperature_millicelsius <= reading.millicelsius]
        cap = self.fastest_hertz // reached[-1] if reached else None
        return state, Verdict(cap_hertz=cap, next_poll_picoseconds=self.poll_picoseconds)
