"""The fewest bits while the battery is low, the most otherwise: service goes on until the charger does.

Two thresholds on the gauge with a dead band between them, so that it does not flutter. While the gauge is silent,
and on the mains, it holds what it has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.controllers.ladder import checked_rungs

PICOSECONDS_PER_MILLISECOND = 10**9


class EmergencyOptions(BaseModel):
    """Options of the rule.

    Attributes:
        low_charge: At this state of charge or below, of 1, it falls to the fewest bits.
        safe_charge: At this one or above it returns to the most.
        emergency_bits: Uniform width in the emergency, 1 for example; the network's lowest if not given.
        period_milliseconds: Time between looks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    low_charge: float = Field(default=0.2, ge=0.0, le=1.0)
    safe_charge: float = Field(default=0.4, ge=0.0, le=1.0)
    emergency_bits: int | None = Field(default=None, ge=1)
    period_milliseconds: int = Field(default=1000, ge=1)

    @model_validator(mode="after")
    def _dead_band(self) -> EmergencyOptions:
        if self.safe_charge <= self.low_charge:
            raise ValueError("safe_charge must exceed low_charge, or the rule would flutter")
        return self


@dataclass(frozen=True, slots=True)
class EmergencyState:
    """Whether there is an emergency."""

    is_low: bool = False


class Emergency:
    """Watches the battery's gauge."""

    wakes_on: frozenset[Wake] = frozenset({"tick"})
    needs_outputs = False

    def __init__(self, options: EmergencyOptions) -> None:
        self._options = options
        self.tick_picoseconds = options.period_milliseconds * PICOSECONDS_PER_MILLISECOND

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, EmergencyState]:
        """Start with the most bits."""
        rungs = checked_rungs(network, None)
        fewest = self._options.emergency_bits
        self._fewest = rungs[-1] if fewest is None else checked_rungs(network, (fewest,))[0]
        self._most = rungs[0]
        self._graph = network.graph
        return Decision(widths=self._graph.uniform(self._most), reason=f"start: {self._most} bit"), EmergencyState()

    def decide(
        self, observation: Observation, state: EmergencyState, generator: np.random.Generator
    ) -> tuple[Decision | None, EmergencyState]:
        """Fall when the gauge reads low, return when it reads safe."""
        charge = observation.state_of_charge
        if charge is None:
            return None, state
        is_low = charge < self._options.safe_charge if state.is_low else charge <= self._options.low_charge
        if is_low == state.is_low:
            return None, state
        bits = self._fewest if is_low else self._most
        way = "low: down" if is_low else "safe: up"
        widths = self._graph.uniform(bits)
        return Decision(widths=widths, reason=f"charge {charge:.0%} is {way} to {bits} bit"), EmergencyState(is_low)
