"""How far each of K powers will empty a battery of two wells: the pack of the profile, followed by what is drawn.

Of a kinetic battery (Manwell & McGowan, Solar Energy 50, 1993) with a state of charge y, capacity C, available share c
and the difference of heads d that relaxes at the rate k' = k / (c (1 - c)), the head of the available well is

    h(t) = y(t) - (1 - c) d(t),    y' = -P / C,    d' = P / (c C) - k' d

so under a constant power both are closed forms, and what h loses in a time is linear in P. The gauge reads y. d nobody
reads; it is followed from rest with the power that is drawn, or read where there is a sensor for it. What is harvested
nobody foretells: it is left out, so a forecast is on the safe side while the sun shines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, FloatArray
from hwsim.controllers.base import BatteryView
from hwsim.controllers.information_directed.forecast import Forecast

POWER_UNCERTAINTY = 0.05
"""Relative standard deviation of the mean power until the battery is charged again (assumed: loads, leakage)."""
GAUGE_DEVIATION = 0.005
"""Standard deviation of the gauge's reading, of the capacity (assumed: half a step of a per cent)."""


@dataclass(frozen=True, slots=True)
class ChargeState:
    """Difference of heads, of 1, and when that was."""

    lag: float = 0.0
    picoseconds: int = 0


class LearnedCharge:
    """Follows a battery.

    Args:
        battery: As the profile has it.
    """

    def __init__(self, battery: BatteryView) -> None:
        self._battery = battery
        share = battery.available_share
        self._rate = battery.valve_per_second / (share * (1.0 - share))

    def after(self, state: ChargeState, *, picoseconds: int, watts: float) -> ChargeState:
        """Return the state after this mean power until a time."""
        seconds = (picoseconds - state.picoseconds) / PICOSECONDS_PER_SECOND
        kept, per_watt = self._relaxed(seconds)
        return ChargeState(kept * state.lag + per_watt * watts, picoseconds)

    def forecast(self, state: ChargeState, *, seconds: float, watts: FloatArray) -> Forecast:
        """Return by how much of 1 the available well's head will then be below what the gauge reads now."""
        kept, per_watt = self._relaxed(seconds)
        bound = 1.0 - self._battery.available_share
        drained = watts * seconds / self._battery.capacity_joules
        spread = bound * per_watt * watts
        return Forecast.gaussian(
            drained + bound * kept * state.lag + spread,
            np.hypot(POWER_UNCERTAINTY * (drained + spread), GAUGE_DEVIATION),
        )

    def _relaxed(self, seconds: float) -> tuple[float, float]:
        """Return what is kept of the difference of heads over a time, and what a watt adds to it."""
        kept = math.exp(-self._rate * seconds)
        per_watt = 1.0 / (self._battery.available_share * self._battery.capacity_joules * self._rate)
        return kept, per_watt * (1.0 - kept)
