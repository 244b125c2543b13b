"""Linux' ``step_wise`` on bits and clock: a step down at each look that is hot and getting hotter, up as it cools.

The law, its oddities included, is the one that devices throttle by (``hwsim.plant.throttling.step_wise``, after
drivers/thermal/gov_step_wise.c), with a trip below the device's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, build_ladder
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.controllers.deadlines import HeedingOptions, heeded
from hwsim.controllers.modes import cooling_modes, in_mode
from hwsim.errors import ConfigurationError
from hwsim.plant.throttling import PollPeriods, Reading, StepWise, StepWiseTrip, millicelsius
from hwsim.plant.throttling.step_wise import StepWiseState


class StepWiseOptions(HeedingOptions):
    """Options of the rule.

    Attributes:
        below_trip_kelvin: Its trip lies so much below the device's first one.
        hysteresis_kelvin: So much below its trip it takes it for left.
        period_milliseconds: Time between looks.
    """

    below_trip_kelvin: float = Field(default=5.0, ge=0.0, allow_inf_nan=False)
    hysteresis_kelvin: float = Field(default=2.0, ge=0.0, allow_inf_nan=False)
    period_milliseconds: int = Field(default=1000, ge=1)


@dataclass(frozen=True, slots=True)
class SteppingState:
    """The kernel's memory, whose cooling state is the mode that heat asks for, and the mode in use."""

    law: StepWiseState
    used: int = 0


class StepWiseRule:
    """Steps through operating modes."""

    needs_outputs = False

    def __init__(self, options: StepWiseOptions) -> None:
        self._options = options
        self.wakes_on: frozenset[Wake] = options.wakes_on
        self.tick_picoseconds = options.period_milliseconds * PICOSECONDS_PER_SECOND // 1000

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, SteppingState]:
        """Start in the first mode."""
        if not device.trip_celsius:
            raise ConfigurationError("controller step_wise: the device has no throttling trip to stay below")
        self._ladder = build_ladder(self._options, device, network)
        self._modes = cooling_modes(self._ladder)
        trip = StepWiseTrip(
            temperature_millicelsius=millicelsius(device.trip_celsius[0] - self._options.below_trip_kelvin),
            hysteresis_millicelsius=millicelsius(self._options.hysteresis_kelvin),
            lower=0, upper=len(self._modes) - 1,
        )  # fmt: skip
        period = self.tick_picoseconds
        self._law = StepWise(
            trips=(trip,), frequencies_hertz=tuple(range(len(self._modes), 0, -1)),
            periods=PollPeriods(idle_picoseconds=period, passive_picoseconds=period),
        )  # fmt: skip
        return in_mode(self._ladder, self._modes[0], "start"), SteppingState(self._law.init())

    def decide(
        self, observation: Observation, state: SteppingState, generator: np.random.Generator
    ) -> tuple[Decision | None, SteppingState]:
        """Take the law's step at each tick, and hold while the sensor is silent; then heed deadlines, if wanted."""
        law, celsius = state.law, observation.die_celsius
        if observation.wake == "tick" and celsius is not None:
            law, _ = self._law.poll(Reading(millicelsius=millicelsius(celsius)), law)
        ladder, options = self._ladder, self._options
        used = heeded(options, observation, ladder, self._modes, wanted=law.cooling_state, used=state.used)
        after = SteppingState(law, used)
        if used == state.used:
            return None, after
        return in_mode(
            ladder, self._modes[used], "silent sensor" if celsius is None else f"die reads {celsius:.1f} degC"
        ), after
