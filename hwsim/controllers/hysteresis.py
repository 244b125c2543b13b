"""Fewer bits when the die is hot or frames wait; more when it is cool and nothing waits.

Two thresholds with a dead band each, so that it does not flutter. It asks nothing of the cost table: the
plain rule that a firmware engineer would write first. While the die's sensor is silent it holds what it has, and
after a while acts as if the die were hot, where nothing can break. A sensor that is stuck it takes for one that works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.controllers.ladder import Widths, named_rungs
from hwsim.errors import ConfigurationError

PICOSECONDS_PER_MILLISECOND = 10**9


class HysteresisOptions(BaseModel):
    """Options of the rule.

    Attributes:
        rungs: Uniform widths to choose from, for example [8, 3], or files of widths per layer, as ``bitmixer search``
            writes them, most bits first: [rich.json, 4, poor.json]; all uniform ones of the network if not given.
        hot_margin_kelvin: At this distance below the device's first trip or nearer, it steps down.
        cool_margin_kelvin: At this distance or farther, it may step up.
        queue_high: With this many frames waiting, it steps down.
        calm_milliseconds: How long nothing may have waited before it steps up.
        hold_milliseconds: Shortest time between two steps caused by heat, and before the first.
        silence_milliseconds: After this time without a reading it steps down as if it were hot.
        period_milliseconds: Time between looks, where it wakes on ``tick``.
        wakes_on: ``tick``, or ``frame`` (before each frame).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rungs: tuple[int | Widths, ...] | None = Field(default=None, min_length=1)
    hot_margin_kelvin: float = Field(default=2.0, ge=0.0, allow_inf_nan=False)
    cool_margin_kelvin: float = Field(default=6.0, gt=0.0, allow_inf_nan=False)
    queue_high: int = Field(default=2, ge=1)
    calm_milliseconds: int = Field(default=500, ge=0)
    hold_milliseconds: int = Field(default=2000, ge=0)
    silence_milliseconds: int = Field(default=1000, ge=0)
    period_milliseconds: int = Field(default=10, ge=1)
    wakes_on: Literal["tick", "frame"] = "tick"

    @model_validator(mode="after")
    def _dead_band(self) -> HysteresisOptions:
        if self.cool_margin_kelvin <= self.hot_margin_kelvin:
            raise ValueError("cool_margin_kelvin must exceed hot_margin_kelvin, or the rule would flutter")
        return self


@dataclass(frozen=True, slots=True)
class HysteresisState:
    """Rungs are counted from the most bits down; the lower of the two is used."""

    heat_rung: int = 0
    queue_rung: int = 0
    heat_step_picoseconds: int = 0
    busy_picoseconds: int = 0


class Hysteresis:
    """Climbs a ladder of widths."""

    needs_outputs = False

    def __init__(self, options: HysteresisOptions) -> None:
        self._options = options
        self.wakes_on: frozenset[Wake] = frozenset({options.wakes_on})
        self.tick_picoseconds = options.period_milliseconds * PICOSECONDS_PER_MILLISECOND

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, HysteresisState]:
        """Start with the most bits."""
        if not device.trip_celsius:
            raise ConfigurationError("controller hysteresis: the device has no throttling trip to stay below")
        self._rungs, self._assignments = zip(*named_rungs(network, self._options.rungs), strict=True)
        self._hot_celsius = device.trip_celsius[0] - self._options.hot_margin_kelvin
        self._cool_celsius = device.trip_celsius[0] - self._options.cool_margin_kelvin
        start = Decision(widths=self._assignments[0], reason=f"start at {self._rungs[0]}")
        return start, HysteresisState()

    def decide(
        self, observation: Observation, state: HysteresisState, generator: np.random.Generator
    ) -> tuple[Decision | None, HysteresisState]:
        """Move each rung by at most one."""
        after = self._after_queue(observation, self._after_heat(observation, state))
        before_rung, rung = max(state.heat_rung, state.queue_rung), max(after.heat_rung, after.queue_rung)
        if rung == before_rung:
            return None, after
        return Decision(widths=self._assignments[rung], reason=self._reason(observation, state, after, rung)), after

    def _after_heat(self, observation: Observation, state: HysteresisState) -> HysteresisState:
        now = observation.time_picoseconds
        if now - state.heat_step_picoseconds < self._options.hold_milliseconds * PICOSECONDS_PER_MILLISECOND:
            return state
        rung = state.heat_rung
        if self._must_cool(observation):
            rung = min(rung + 1, len(self._rungs) - 1)
        elif observation.die_celsius is not None and observation.die_celsius <= self._cool_celsius:
            rung = max(rung - 1, 0)
        if rung == state.heat_rung:
            return state
        return HysteresisState(rung, state.queue_rung, now, state.busy_picoseconds)

    def _must_cool(self, observation: Observation) -> bool:
        """Whether the die reads hot, or has told nothing for too long."""
        if observation.die_celsius is not None:
            return observation.die_celsius >= self._hot_celsius
        age, limit = observation.die_age_picoseconds, self._options.silence_milliseconds * PICOSECONDS_PER_MILLISECOND
        return age is None or age >= limit

    def _after_queue(self, observation: Observation, state: HysteresisState) -> HysteresisState:
        now, waiting = observation.time_picoseconds, len(observation.queued_deadlines_picoseconds)
        if waiting >= self._options.queue_high:
            used = max(state.heat_rung, state.queue_rung)
            rung = min(used + 1, len(self._rungs) - 1)
            return HysteresisState(state.heat_rung, rung, state.heat_step_picoseconds, now)
        if waiting:
            return HysteresisState(state.heat_rung, state.queue_rung, state.heat_step_picoseconds, now)
        calm = now - state.busy_picoseconds >= self._options.calm_milliseconds * PICOSECONDS_PER_MILLISECOND
        if state.queue_rung and calm:
            return HysteresisState(state.heat_rung, state.queue_rung - 1, state.heat_step_picoseconds, now)
        return state

    def _reason(self, observation: Observation, before: HysteresisState, after: HysteresisState, rung: int) -> str:
        name, waiting = self._rungs[rung], len(observation.queued_deadlines_picoseconds)
        if after.queue_rung > before.queue_rung:
            return f"{waiting} frames wait: down to {name}"
        if after.heat_rung != before.heat_rung:
            celsius, way = observation.die_celsius, "down" if after.heat_rung > before.heat_rung else "up"
            told = "the sensor is silent" if celsius is None else f"die reads {celsius:.1f} degC"
            return f"{told}: {way} to {name}"
        return f"nothing waited for {self._options.calm_milliseconds} ms: up to {name}"
