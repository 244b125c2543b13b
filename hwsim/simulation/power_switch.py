"""Switching the device off and on again, whatever the cause, and its own protection against heat.

Off, the device draws nothing, the frames that it held are lost and those that come are dropped. Switched on it
boots: it draws power without taking frames, then clock, throttle and controller begin anew.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from hwsim.plant.plant import Plant
from hwsim.plant.shutdown import BOOTING, ON, POWERED, SHUT_DOWN, Shutdown


class PowerSwitch:
    """The device's power.

    Args:
        environment: The simulation's time.
        plant: Draws power or does not.
        shutdown: The protection against heat.
        on_off: Called when the device goes off, before anything is recorded.
        on_ready: Called when it takes frames again.
        record: Writes a row of telemetry, which brings the plant up to now.

    Attributes:
        state: ``on``, ``booting``, or why it is off (``shut_down``).
    """

    def __init__(
        self, environment: simpy.Environment, plant: Plant, shutdown: Shutdown, *,
        on_off: Callable[[], None], on_ready: Callable[[], None], record: Callable[[], None],
    ) -> None:  # fmt: skip
        self._environment = environment
        self._plant = plant
        self._shutdown = shutdown
        self._on_off = on_off
        self._on_ready = on_ready
        self._record = record
        self._boots = 0
        self.state = ON

    @property
    def is_on(self) -> bool:
        """Whether the device takes frames."""
        return self.state == ON

    @property
    def is_powered(self) -> bool:
        """Whether it draws power."""
        return self.state in POWERED

    def watch(self, reading_celsius: float) -> None:
        """Act on a reading of the die's temperature."""
        restart = self._shutdown.restart
        if self.is_powered and reading_celsius >= self._shutdown.temperature_celsius:
            self.switch_off(SHUT_DOWN)
        elif self.state == SHUT_DOWN and restart is not None and reading_celsius <= restart.temperature_celsius:
            self.switch_on(restart.boot_picoseconds)

    def switch_off(self, reason: str) -> None:
        """Cut the power now; ``reason`` becomes the state."""
        was_on = self.is_on
        self.state = reason
        if was_on:
            self._on_off()
        self._record()
        self._plant.switch(powered=False)

    def switch_on(self, boot_picoseconds: int) -> None:
        """Give power now, and take frames when the device has booted, unless it is switched off before."""
        self.state = BOOTING
        self._record()
        self._plant.switch(powered=True)
        self._boots += 1
        self._environment.process(self._boot(boot_picoseconds, self._boots))

    def _boot(self, picoseconds: int, boot: int) -> Generator[simpy.Event, Any, None]:
        yield self._environment.timeout(picoseconds)
        if self.state == BOOTING and boot == self._boots:
            self.state = ON
            self._on_ready()
            self._record()
