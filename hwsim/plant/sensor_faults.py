"""When a sensor fails, and how: stuck at its last value, or silent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np

FailureMode = Literal["stuck", "missing"]
"""``stuck``: samples go on to come, all with the last value before; ``missing``: none comes."""
SensorName = Literal["die_temperature", "power", "memory_bandwidth", "battery_gauge"]
"""Only the first is read by the device itself, too; the others are read by controllers alone."""
FOREVER = 1 << 63
"""A time in picoseconds that no run reaches."""


class Failure(NamedTuple):
    """A time in which a sensor fails: from ``start`` until before ``end``, in picoseconds."""

    start: int
    end: int


class FailureTimes(Protocol):
    """Tells when something fails."""

    def failures(self, generator: np.random.Generator) -> Iterator[Failure]:
        """Yield failures in order; they do not overlap."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureWindow:
    """One failure at a given time, in picoseconds; nothing is drawn."""

    start: int
    end: int = FOREVER

    def failures(self, generator: np.random.Generator) -> Iterator[Failure]:
        """Yield the one failure."""
        yield Failure(self.start, self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailAndRepair:
    """Fails and recovers again and again, after exponentially distributed times; it works at first.

    Attributes:
        mean_time_to_failure: In picoseconds.
        mean_time_to_repair: In picoseconds.
    """

    mean_time_to_failure: int
    mean_time_to_repair: int

    def failures(self, generator: np.random.Generator) -> Iterator[Failure]:
        """Yield failures without end."""
        end = 0
        while True:
            start = end + 1 + int(generator.exponential(self.mean_time_to_failure))
            end = start + 1 + int(generator.exponential(self.mean_time_to_repair))
            yield Failure(start, end)


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorFault:
    """What is wrong with a sensor.

    Attributes:
        sensor: Which one it is.
        mode: What its samples are while it fails.
        reaches: ``controller``: only what programs read; the device's own throttle sees the sensor as it is.
            ``device``: the sensor itself, so that the throttle is misled too.
        times: When it fails.
    """

    sensor: SensorName = "die_temperature"
    mode: FailureMode
    reaches: Literal["controller", "device"]
    times: FailureTimes


class FaultState:
    """Where a fault stands in the course of a run; asked at times that do not go back."""

    def __init__(self, fault: SensorFault, generator: np.random.Generator) -> None:
        self.mode = fault.mode
        self._failures = fault.times.failures(generator)
        self._failure = next(self._failures)

    def active(self, time_picoseconds: int) -> bool:
        """Whether the sensor fails at a time."""
        while time_picoseconds >= self._failure.end:
            self._failure = next(self._failures, Failure(FOREVER, FOREVER))
        return time_picoseconds >= self._failure.start
