"""Switching the device off and on again, whatever the cause, and its own protection against heat.

Off, the device draws nothing, the frames that it held are lost and those that come are dropped. It may be off for more
than one cause, and comes back when none is left. Switched on it boots: it draws power without taking frames, then
clock, throttle and controller begin anew.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import simpy

from hwsim.plant.plant import Plant
from hwsim.plant.shutdown import BOOTING, ON, POWERED, RUNAWAY, SHUT_DOWN, Shutdown


class PowerSwitch:
    """The device's power.

    Args:
        environment: The simulation's time.
        plant: Draws power or does not.
        shutdown: The protection against heat.
        on_off: Called when the device goes off, before anything is recorded.
        on_power: Called when it draws power again.
        on_ready: Called when it takes frames again.
        record: Writes a row of telemetry, which brings the plant up to now.

    Attributes:
        state: ``on``, ``booting``, or the last cause for which it is off (``shut_down``, ``brown_out``,
            ``thermal_runaway``).
        causes: All for which it is off.
    """

    def __init__(
        self, environment: simpy.Environment, plant: Plant, shutdown: Shutdown, *,
        on_off: Callable[[], None], on_power: Callable[[], None], on_ready: Callable[[], None],
        record: Callable[[], None],
    ) -> None:  # fmt: skip
        self._environment = environment
        self._plant = plant
        self._shutdown = shutdown
        self._on_off = on_off
        self._on_power = on_power
        self._on_ready = on_ready
        self._record = record
        self._boots = 0
        self.state = ON
        self.causes: list[str] = []

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
            self.switch_off(RUNAWAY if self._plant.runs_away or self._plant.is_burnt else SHUT_DOWN)
        elif restart is not None and reading_celsius <= restart.temperature_celsius and not self._plant.is_burnt:
            for cause in (SHUT_DOWN, RUNAWAY):
                if cause in self.causes:
                    self.switch_on(cause)

    def watch_leakage(self) -> None:
        """Give up a device that burnt out, whatever its sensor says; it never comes back."""
        if self.is_powered and self._plant.is_burnt:
            self.switch_off(RUNAWAY)

    def switch_off(self, cause: str) -> None:
        """Cut the power now, or keep it cut for one cause more, which becomes the state."""
        was_on = self.is_on
        self.causes.append(cause)
        self.state = cause
        if was_on:
            self._on_off()
        self._record()
        self._plant.switch(powered=False)

    def switch_on(self, cause: str) -> None:
        """Let one cause go; without another, give power, and take frames when the device has booted.

        It does not if it is switched off before.
        """
        self.causes.remove(cause)
        self.state = self.causes[-1] if self.causes else BOOTING
        self._record()
        if self.causes:
            return
        self._plant.switch(powered=True)
        self._boots += 1
        self._environment.process(self._boot(self._shutdown.boot_picoseconds, self._boots))
        self._on_power()

    def _boot(self, picoseconds: int, boot: int) -> Generator[simpy.Event, Any, None]:
        yield self._environment.timeout(picoseconds)
        if self.state == BOOTING and boot == self._boots:
            self.state = ON
            self._on_ready()
            self._record()
