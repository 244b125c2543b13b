"""The process that polls the device's throttling law and caps the clock."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from hwsim.plant.throttling import Reading, ThrottlingLaw, millicelsius
from hwsim.simulation.activity import Activity
from hwsim.simulation.clock import Clock


class Throttle:
    """Polls as often as the law asks for; its state begins anew with the device.

    While the sensor is silent all stays as it is, as in Linux: the law is asked again at the next poll, or at the next
    sample where it was never asked.

    Attributes:
        asleep: Set while the device is off.
    """

    def __init__(
        self, environment: simpy.Environment, law: ThrottlingLaw, clock: Clock, activity: Activity, *,
        sample_picoseconds: int, read_die_celsius: Callable[[], float | None],
    ) -> None:  # fmt: skip
        self._environment = environment
        self._law = law
        self._clock = clock
        self._activity = activity
        self._sample_picoseconds = sample_picoseconds
        self._read_die_celsius = read_die_celsius
        self._starts = 0
        self.start()

    def start(self) -> None:
        """Begin to poll, from the law's first state on."""
        self.asleep = False
        self._starts += 1
        self._environment.process(self._poll(self._starts))

    def _poll(self, start: int) -> Generator[simpy.Event, Any, None]:
        law, clock = self._law, self._clock
        state = law.init()
        polled = int(self._environment.now)
        busy = self._activity.busy_until(polled)
        wait = self._sample_picoseconds
        while start == self._starts and not self.asleep:
            now = int(self._environment.now)
            celsius = self._read_die_celsius()
            if celsius is not None:
                worked = self._activity.busy_until(now)
                reading = Reading(
                    millicelsius=millicelsius(celsius),
                    point=clock.index,
                    busy_picoseconds=worked - busy,
                    elapsed_picoseconds=now - polled,
                )
                polled, busy = now, worked
                state, verdict = law.poll(reading, state)
                clock.cap(verdict.cap_hertz, now)
                wait = verdict.next_poll_picoseconds
            yield self._environment.timeout(wait)
