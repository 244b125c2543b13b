"""How much of the DRAM's bandwidth is free for the accelerator, now and in the mean."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import simpy

from hwsim.plant.sensor_faults import FaultState
from hwsim.plant.sensors import Sensor, SensorChannel


class Bandwidth:
    """Follows the free share of the bandwidth, and tells the accelerator when it changes.

    Args:
        environment: The simulation.
        changes: (time in picoseconds, free share from then on), ascending, the first at 0.
        on_change: Called at every change after the start.

    Attributes:
        share: Now.
    """

    def __init__(
        self, environment: simpy.Environment, changes: Iterator[tuple[int, float]], on_change: Callable[[], None]
    ) -> None:
        self._environment = environment
        self._changes = changes
        self._on_change = on_change
        self._since = 0
        self._share_picoseconds = 0.0
        _, self.share = next(changes)
        environment.process(self._run())

    @property
    def share_picoseconds(self) -> float:
        """The free share, integrated over time up to now."""
        return self._share_picoseconds + self.share * (int(self._environment.now) - self._since)

    def _run(self) -> Generator[simpy.Event, Any, None]:
        for time, share in self._changes:
            yield self._environment.timeout(time - int(self._environment.now))
            if share != self.share:
                self._share_picoseconds, self._since = self.share_picoseconds, time
                self.share = share
                self._on_change()


class BandwidthCounter:
    """A counter that says how much was free in the last whole period; all of it before one is over.

    Args:
        environment: The simulation.
        bandwidth: What is counted.
        period_picoseconds: Time between its readings.
        faults: What may be wrong with it.
    """

    def __init__(
        self, environment: simpy.Environment, bandwidth: Bandwidth, period_picoseconds: int,
        faults: Sequence[FaultState] = (),
    ) -> None:  # fmt: skip
        self._environment = environment
        self._channel = SensorChannel(Sensor(period_picoseconds=period_picoseconds), faults)
        self._channel.take(0, 1.0)
        environment.process(self._count(bandwidth, period_picoseconds))

    @property
    def reading(self) -> float | None:
        """Mean free share over that period; ``None`` while the counter gives none."""
        return self._channel.read(int(self._environment.now))

    def _count(self, bandwidth: Bandwidth, period: int) -> Generator[simpy.Event, Any, None]:
        before = 0.0
        while True:
            yield self._environment.timeout(period)
            now = bandwidth.share_picoseconds
            self._channel.take(int(self._environment.now), (now - before) / period)
            before = now
