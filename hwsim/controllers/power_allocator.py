"""Linux' ``power_allocator`` on bits and clock: a budget of power from a PID controller, spent on the best mode.

The budget is the kernel's, in its integers (``hwsim.plant.throttling.power_allocator``, after
drivers/thermal/gov_power_allocator.c). What a mode draws is not a constant, as of a processor at full load, but frames
per second times the cost table's energy of a frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, build_ladder
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.controllers.deadlines import HeedingOptions, heeded
from hwsim.controllers.modes import cooling_modes, in_mode
from hwsim.controllers.rate import UNSEEN, Rate
from hwsim.errors import ConfigurationError
from hwsim.plant.throttling import Gains, PollPeriods, PowerAllocator, millicelsius
from hwsim.plant.throttling.power_allocator import PowerAllocatorState

RATE_SECONDS = 2.0
"""Time constant of the average of frames per second."""


class PowerAllocatorOptions(HeedingOptions):
    """Options of the rule.

    Attributes:
        below_trip_kelvin: The temperature to hold lies so much below the device's first trip.
        switch_on_kelvin: From so much below that temperature on it limits power.
        sustainable_share: Power that the device can bear for ever, in parts of the most that the network draws.
        period_milliseconds: Time between looks.
    """

    below_trip_kelvin: float = Field(default=3.0, ge=0.0, allow_inf_nan=False)
    switch_on_kelvin: float = Field(default=15.0, gt=0.0, allow_inf_nan=False)
    sustainable_share: float = Field(default=0.5, ge=0.0, le=1.0)
    period_milliseconds: int = Field(default=500, ge=1)


@dataclass(frozen=True, slots=True)
class AllocatorState:
    """The kernel's memory, the mode that heat asks for, how often frames come, and the mode in use."""

    law: PowerAllocatorState
    mode: int = 0
    rate: Rate = UNSEEN
    used: int = 0


class PowerAllocatorRule:
    """Spends a budget of power."""

    needs_outputs = False

    def __init__(self, options: PowerAllocatorOptions) -> None:
        self._options = options
        self.wakes_on: frozenset[Wake] = options.wakes_on
        self.tick_picoseconds = options.period_milliseconds * PICOSECONDS_PER_SECOND // 1000

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, AllocatorState]:
        """Start in the first mode."""
        if not device.trip_celsius:
            raise ConfigurationError("controller power_allocator: the device has no throttling trip to stay below")
        options = self._options
        self._ladder = build_ladder(options, device, network)
        self._modes = cooling_modes(self._ladder)
        scales = device.energy_scales or (1.0,) * len(device.frequencies_hertz)
        self._joules = [self._ladder.joules[rung] * scales[clock] for rung, clock in self._modes]
        self._rates = [1.0 / self._ladder.seconds[rung, clock] for rung, clock in self._modes]
        most = max(round(1000 * joules * rate) for joules, rate in zip(self._joules, self._rates, strict=True))
        sustainable, span = round(options.sustainable_share * most), millicelsius(options.switch_on_kelvin)
        control = millicelsius(device.trip_celsius[0] - options.below_trip_kelvin)
        period = self.tick_picoseconds
        self._law = PowerAllocator(
            switch_on_millicelsius=control - span, control_millicelsius=control, sustainable_milliwatts=sustainable,
            gains=Gains.estimate(sustainable, span), frequencies_hertz=device.frequencies_hertz[:1],
            powers_milliwatts=(most,),
            periods=PollPeriods(idle_picoseconds=period, passive_picoseconds=period),
        )  # fmt: skip
        return in_mode(self._ladder, self._modes[0], "start"), AllocatorState(self._law.init())

    def decide(
        self, observation: Observation, state: AllocatorState, generator: np.random.Generator
    ) -> tuple[Decision | None, AllocatorState]:
        """Take the first mode within the budget at each tick, and hold while the sensor is silent; heed deadlines."""
        state = replace(state, rate=state.rate.after(observation, time_constant_seconds=RATE_SECONDS))
        after, why = (state, "") if observation.wake == "frame" else self._allocated(observation, state)
        ladder, options = self._ladder, self._options
        used = heeded(options, observation, ladder, self._modes, wanted=after.mode, used=state.used)
        after = replace(after, used=used)
        if used == state.used:
            return None, after
        return in_mode(ladder, self._modes[used], why or "for deadlines and heat"), after

    def _allocated(self, observation: Observation, state: AllocatorState) -> tuple[AllocatorState, str]:
        if observation.die_celsius is None:
            return state, ""
        reading = millicelsius(observation.die_celsius)
        if reading < self._law.switch_on_millicelsius:
            law, mode, why = self._law.init(), 0, f"die reads {observation.die_celsius:.1f} degC"
        else:
            law, budget = self._law.budget(reading, state.law)
            mode, why = self._within(budget, state.rate.per_second or 0.0), f"budget of {budget} mW"
        return replace(state, law=law, mode=mode), why

    def _within(self, budget_milliwatts: int, frames_per_second: float) -> int:
        for at, (joules, most) in enumerate(zip(self._joules, self._rates, strict=True)):
            if 1000 * joules * min(frames_per_second, most) <= budget_milliwatts:
                return at
        return len(self._modes) - 1
