"""The array's clock: the lower of what controllers request and what the throttle allows."""

from __future__ import annotations

from collections.abc import Callable

from hwsim.device import Device
from hwsim.plant.power import dynamic_energy_scale


class Clock:
    """Current operating point, and when a change to it is complete.

    Attributes:
        index: Position of the operating point, 0 is the fastest.
        ready_picoseconds: The array may work from this time on.
        cap_hertz: Highest clock that the throttle allows.
        changes: Transitions from one operating point to another so far.
    """

    def __init__(self, device: Device, on_change: Callable[[], None]) -> None:
        self._device = device
        self._on_change = on_change
        self._requests_hertz: dict[int, int] = {}
        self.index = 0
        self.ready_picoseconds = 0
        self.changes = 0
        self.cap_hertz = device.frequencies_hertz[0]
        self._scales = tuple(
            dynamic_energy_scale(point.voltage_volts, device.nominal_voltage_volts)
            for point in device.operating_points.points
        )

    @property
    def frequency_hertz(self) -> int:
        """The clock now."""
        return self._device.frequencies_hertz[self.index]

    @property
    def energy_scale(self) -> float:
        """Factor of the present voltage on dynamic energy."""
        return self._scales[self.index]

    def restart(self, now: int) -> None:
        """Come up at the fastest point, without a request or a cap, as at the start of the run."""
        self._requests_hertz.clear()
        self.cap_hertz = self._device.frequencies_hertz[0]
        self.index, self.ready_picoseconds = 0, now

    def request(self, frequency_hertz: int, now: int, *, stream: int = 0) -> None:
        """Note what a stream's controller wants; the highest request counts, as for cores that share a clock."""
        self._requests_hertz[stream] = frequency_hertz
        self._update(now)

    def cap(self, frequency_hertz: int | None, now: int) -> None:
        """Note what the throttle allows; ``None`` is no limit."""
        self.cap_hertz = self._device.frequencies_hertz[0] if frequency_hertz is None else frequency_hertz
        self._update(now)

    def _update(self, now: int) -> None:
        points = self._device.operating_points
        index = points.points.index(points.at_most(max(self._requests_hertz.values(), default=None), self.cap_hertz))
        if index == self.index:
            return
        self.index = index
        self.changes += 1
        self.ready_picoseconds = now + self._device.transition.time_picoseconds
        self._on_change()
