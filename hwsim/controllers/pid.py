"""A PID controller on the die's temperature, whose output is a place on the ladder of assignments.

The textbook law in its velocity-free form with conditional integration against wind-up (K. J. Astrom and T. Hagglund,
"PID Controllers: Theory, Design, and Tuning", 2nd edition, 1995, sections 3.5 and 3.6): while the output is at one of
its ends, errors that push it farther are not integrated. The derivative acts on the reading, not on the error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, build_ladder
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.controllers.deadlines import HeedingOptions, heeded
from hwsim.controllers.modes import Mode
from hwsim.errors import ConfigurationError


class PidOptions(HeedingOptions):
    """Options of the rule; the output goes from 0, the fewest bits, to 1, the most.

    Attributes:
        below_trip_kelvin: The temperature to hold lies so much below the device's first trip.
        proportional_per_kelvin: Output per kelvin of error.
        integral_per_kelvin_second: Output per kelvin of error and second.
        derivative_seconds_per_kelvin: Output per kelvin per second at which the die warms, taken away.
        period_milliseconds: Time between looks.
    """

    below_trip_kelvin: float = Field(default=3.0, ge=0.0, allow_inf_nan=False)
    proportional_per_kelvin: float = Field(default=0.15, ge=0.0, allow_inf_nan=False)
    integral_per_kelvin_second: float = Field(default=0.01, ge=0.0, allow_inf_nan=False)
    derivative_seconds_per_kelvin: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    period_milliseconds: int = Field(default=500, ge=1)


@dataclass(frozen=True, slots=True)
class PidState:
    """Integral part of the output, the last reading and its time, the rung that heat asks for, and the one in use."""

    integral: float = 1.0
    last_celsius: float | None = None
    last_picoseconds: int = 0
    rung: int = 0
    used: int = 0


class Pid:
    """Holds a temperature by bits."""

    needs_outputs = False

    def __init__(self, options: PidOptions) -> None:
        self._options = options
        self.wakes_on: frozenset[Wake] = options.wakes_on
        self.tick_picoseconds = options.period_milliseconds * PICOSECONDS_PER_SECOND // 1000

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, PidState]:
        """Start with the most bits."""
        if not device.trip_celsius:
            raise ConfigurationError("controller pid: the device has no throttling trip to stay below")
        self._ladder = build_ladder(self._options, device, network)
        self._modes = tuple(Mode(rung, 0) for rung in range(len(self._ladder)))
        self._goal_celsius = device.trip_celsius[0] - self._options.below_trip_kelvin
        return Decision(widths=self._ladder.assignments[0], reason=f"start at {self._ladder.names[0]}"), PidState()

    def decide(
        self, observation: Observation, state: PidState, generator: np.random.Generator
    ) -> tuple[Decision | None, PidState]:
        """Follow the error at each tick, and hold while the sensor is silent; then heed deadlines, if wanted."""
        after, reason = (state, "") if observation.wake == "frame" else self._followed(observation, state)
        ladder, options = self._ladder, self._options
        used = heeded(options, observation, ladder, self._modes, wanted=after.rung, used=state.used)
        after = replace(after, used=used)
        if used == state.used:
            return None, after
        reason = f"{reason or 'for deadlines and heat'}: {ladder.names[used]}"
        return Decision(widths=ladder.assignments[used], reason=reason), after

    def _followed(self, observation: Observation, state: PidState) -> tuple[PidState, str]:
        celsius, now = observation.die_celsius, observation.time_picoseconds
        if celsius is None:
            return state, ""
        options, error = self._options, self._goal_celsius - celsius
        seconds = (now - state.last_picoseconds) / PICOSECONDS_PER_SECOND
        warming = 0.0 if state.last_celsius is None or not seconds else (celsius - state.last_celsius) / seconds
        fixed = options.proportional_per_kelvin * error - options.derivative_seconds_per_kelvin * warming
        integral = state.integral + options.integral_per_kelvin_second * error * seconds
        if not 0.0 <= fixed + integral <= 1.0 and (fixed + integral > 1.0) == (error > 0.0):
            integral = state.integral
        output = min(max(fixed + integral, 0.0), 1.0)
        rung = round((1.0 - output) * (len(self._ladder) - 1))
        after = PidState(min(max(integral, 0.0), 1.0), celsius, now, rung, state.used)
        return after, f"die reads {celsius:.1f} degC, {-error:+.1f} K from the goal"
