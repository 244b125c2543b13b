"""Linux' ``step_wise`` on bits and clock: a step down at each look that is hot and getting hotter, up as it cools.

The law, its oddities included, is the one that devices throttle by (``hwsim.plant.throttling.step_wise``, after
drivers/thermal/gov_step_wise.c), with a trip below the device's own.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, LadderOptions, build_ladder
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.controllers.modes import cooling_modes, in_mode
from hwsim.errors import ConfigurationError
from hwsim.plant.throttling import PollPeriods, Reading, StepWise, StepWiseTrip, millicelsius
from hwsim.plant.throttling.step_wise import StepWiseState


class StepWiseOptions(LadderOptions):
    """Options of the rule.

    Attributes:
        below_trip_kelvin: Its trip lies so much below the device's first one.
        hysteresis_kelvin: So much below its trip it takes it for left.
        period_milliseconds: Time between looks.
    """

    below_trip_kelvin: float = Field(default=5.0, ge=0.0, allow_inf_nan=False)
    hysteresis_kelvin: float = Field(default=2.0, ge=0.0, allow_inf_nan=False)
    period_milliseconds: int = Field(default=1000, ge=1)


class StepWiseRule:
    """Steps through operating modes."""

    wakes_on: frozenset[Wake] = frozenset({"tick"})
    needs_outputs = False

    def __init__(self, options: StepWiseOptions) -> None:
        self._options = options
        self.tick_picoseconds = options.period_milliseconds * PICOSECONDS_PER_SECOND // 1000

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, StepWiseState]:
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
        return in_mode(self._ladder, self._modes[0], "start"), self._law.init()

    def decide(
        self, observation: Observation, state: StepWiseState, generator: np.random.Generator
    ) -> tuple[Decision | None, StepWiseState]:
        """Take the law's step; hold while the sensor is silent."""
        if observation.die_celsius is None:
            return None, state
        after, _ = self._law.poll(Reading(millicelsius=millicelsius(observation.die_celsius)), state)
        if after.cooling_state == state.cooling_state:
            return None, after
        mode = self._modes[after.cooling_state]
        return in_mode(self._ladder, mode, f"die reads {observation.die_celsius:.1f} degC"), after
