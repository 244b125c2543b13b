"""A device's last protection against heat, and the states of its power."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.errors import ConfigurationError

ON, BOOTING, SHUT_DOWN, BROWN_OUT, RUNAWAY = "on", "booting", "shut_down", "brown_out", "thermal_runaway"
POWERED = (ON, BOOTING)
"""States in which constant powers and leakage are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """When a device that has shut down comes back.

    Attributes:
        temperature_celsius: At or below it the device is switched on again.
        boot_picoseconds: From then until it takes frames.
    """

    temperature_celsius: float
    boot_picoseconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """A device's last protection: it switches itself off, as Linux does at a ``critical`` trip.

    Attributes:
        temperature_celsius: At or above it the device switches itself off.
        restart: When it comes back; ``None`` where somebody has to press a button.

    Raises:
        ConfigurationError: It would come back while too hot, or boot in less than no time.
    """

    temperature_celsius: float
    restart: Restart | None = None

    @property
    def boot_picoseconds(self) -> int:
        """Time from power to frames, whatever the device was off for; 0 where nothing is said of a restart."""
        return 0 if self.restart is None else self.restart.boot_picoseconds

    def __post_init__(self) -> None:
        if self.restart is None:
            return
        if self.restart.temperature_celsius >= self.temperature_celsius or self.restart.boot_picoseconds < 0:
            raise ConfigurationError(
                f"shutdown at {self.temperature_celsius} C: expected a restart below it that takes 0 ps or more; "
                f"got {self.restart}"
            )
