"""How hot each of K powers will make the die: the profile is the prior, the rest is learned from readings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, FloatArray
from hwsim.controllers.base import DeviceView
from hwsim.controllers.information_directed.forecast import Forecast
from hwsim.controllers.information_directed.thermal_model import Outlook, ThermalBelief, ThermalModel

TIME_CONSTANTS_SECONDS = np.array([3.0, 10.0, 30.0, 100.0, 300.0])
"""Of dies, boards and cases (assumed; which one it is, is learned)."""
PRIOR_DEVIATIONS = np.array([30.0, 15.0])
"""Kelvin by which the die and the air around it may be elsewhere than expected (assumed)."""
RESISTANCE_UNCERTAINTY = 0.3
"""Relative standard deviation of a profile's thermal resistance: boards differ, and cases (assumed)."""
DRIFTS = np.array([0.05, 0.05, 0.01])
"""Kelvin, kelvin and K/W by which die, ambient and resistance wander in a second (assumed)."""
SENSOR_KELVIN = 0.5
USUAL_CELSIUS = 30.0
PERIOD_PICOSECONDS = PICOSECONDS_PER_SECOND // 2
"""Heat is slow: it is looked at so often, however often a controller is asked."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeatState:
    """What is believed, as of a time and for the horizon behind it, and the dynamic energy drawn since then."""

    belief: ThermalBelief
    outlook: Outlook
    picoseconds: int = 0
    joules: float = 0.0


class LearnedHeat:
    """Follows a device's heat.

    Args:
        device: Whose profile is the prior.
        horizon_seconds: How far ahead temperatures are foretold.
    """

    def __init__(self, device: DeviceView, *, horizon_seconds: float) -> None:
        self._horizon_seconds = horizon_seconds
        resistance, self._idle_watts = 10.0, 0.0
        if device.heat is not None:
            heat = device.heat
            resistance = float(np.linalg.inv(heat.conductances_watts_per_kelvin)[heat.sensor_node, heat.leakage_node])
            self._idle_watts = float(heat.constant_watts.sum()) + heat.leakage_watts
        self._model = ThermalModel(
            time_constants_seconds=TIME_CONSTANTS_SECONDS,
            mean=np.array([USUAL_CELSIUS, USUAL_CELSIUS, resistance]),
            deviations=np.append(PRIOR_DEVIATIONS, RESISTANCE_UNCERTAINTY * resistance),
            drifts=DRIFTS,
            sensor_deviation_kelvin=SENSOR_KELVIN,
            switches_per_second=0.001,
        )

    def start(self) -> HeatState:
        """Return the prior."""
        return self._as_of(self._model.start(), 0)

    def after(self, state: HeatState, *, picoseconds: int, joules: float, celsius: float | None) -> HeatState:
        """Return what is believed at a time, after so much more dynamic energy, and after a reading if there is one."""
        drawn = state.joules + joules
        if picoseconds - state.picoseconds < PERIOD_PICOSECONDS:
            return replace(state, joules=drawn)
        seconds = (picoseconds - state.picoseconds) / PICOSECONDS_PER_SECOND
        belief = self._model.advance(state.belief, seconds=seconds, watts=self._idle_watts + drawn / seconds)
        if celsius is not None:
            belief = self._model.learn(belief, celsius)
        return self._as_of(belief, picoseconds)

    def forecast(self, state: HeatState, watts: FloatArray) -> Forecast:
        """Return the die's temperature after each of [K] dynamic powers was held for the horizon."""
        return state.outlook.forecast(self._idle_watts + watts)

    def _as_of(self, belief: ThermalBelief, picoseconds: int) -> HeatState:
        outlook = self._model.outlook(belief, seconds=self._horizon_seconds)
        return HeatState(belief=belief, outlook=outlook, picoseconds=picoseconds)
