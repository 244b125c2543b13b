"""What a throttling law sees and answers.

Temperatures are whole millicelsius, as in Linux' thermal core, so that a law is exact integer arithmetic and the
same readings give the same trace everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from hwsim.errors import ConfigurationError

FRACTION_BITS = 10
"""Fixed-point numbers have ten binary places, as Linux' ``FRAC_BITS``."""


def millicelsius(celsius: float) -> int:
    """Return a temperature in whole millicelsius, the nearest."""
    return round(celsius * 1000)


def is_over(temperature: int, *, trip: int, resume: int, was_over: bool) -> bool:
    """Return whether a trip is crossed: from ``trip`` on, until it is cooler than ``resume``.

    Linux' thermal core keeps a threshold for each trip that is ``trip - hysteresis`` while it is crossed
    (``handle_thermal_trip`` in drivers/thermal/thermal_core.c).
    """
    return temperature >= (resume if was_over else trip)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a law sees at a poll.

    Attributes:
        millicelsius: The die sensor's reading.
        point: Position of the operating point that the array is at, 0 is the fastest.
        busy_picoseconds: Time in which the array worked since the poll before.
        elapsed_picoseconds: Time since then; 0 at the first poll.
    """

    millicelsius: int
    point: int = 0
    busy_picoseconds: int = 0
    elapsed_picoseconds: int = 0

    @property
    def load(self) -> int:
        """Share of the time in which the array worked, in 1024ths and at least one of them.

        As ``_normalize_load`` in Linux' drivers/thermal/devfreq_cooling.c.
        """
        return max((self.busy_picoseconds << FRACTION_BITS) // max(self.elapsed_picoseconds, 1), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a law answers to a reading.

    Attributes:
        cap_hertz: Highest clock allowed from now on; ``None`` is no limit.
        next_poll_picoseconds: Time to the next poll.
    """

    cap_hertz: int | None
    next_poll_picoseconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A temperature at which a law begins to act.

    Attributes:
        temperature_celsius: The temperature.
        frequency_cap_hertz: Lowest cap that it then imposes; ``None`` where the law computes caps.
    """

    temperature_celsius: float
    frequency_cap_hertz: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPeriods:
    """How often a law polls, as Linux' ``polling-delay`` and ``polling-delay-passive``.

    Attributes:
        idle_picoseconds: While it does not throttle.
        passive_picoseconds: While it does.

    Raises:
        ConfigurationError: One is not above 0.
    """

    idle_picoseconds: int
    passive_picoseconds: int

    def __post_init__(self) -> None:
        if min(self.idle_picoseconds, self.passive_picoseconds) <= 0:
            raise ConfigurationError(f"throttling: expected poll periods above 0; got {self}")

    def after(self, *, passive: bool) -> int:
        """Return the time to the next poll."""
        return self.passive_picoseconds if passive else self.idle_picoseconds


class ThrottlingLaw(Protocol):
    """A law that caps the clock. It holds no state: the caller keeps what ``poll`` returns, plain data."""

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Where it begins to act, from cool to hot; none for a device that never throttles."""
        ...

    def init(self) -> Any:
        """Return the state before the first poll."""
        ...

    def poll(self, reading: Reading, state: Any) -> tuple[Any, Verdict]:
        """Return the state after a reading, and what it means for the clock."""
        ...
