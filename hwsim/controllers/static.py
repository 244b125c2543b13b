"""The baseline: one width for the whole run."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.controllers.ladder import checked_rungs


class StaticOptions(BaseModel):
    """``bits``: width of all sites that are not pinned, for example 4; the network's highest if not given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bits: int | None = Field(default=None, ge=1)


class Static:
    """Never asked, never changes."""

    wakes_on: frozenset[Wake] = frozenset()
    tick_picoseconds = 0
    needs_outputs = False

    def __init__(self, options: StaticOptions) -> None:
        self._options = options

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, None]:
        """Return the one assignment."""
        bits = checked_rungs(network, None if self._options.bits is None else (self._options.bits,))[0]
        return Decision(widths=network.graph.uniform(bits), reason=f"static {bits} bit"), None

    def decide(self, observation: Observation, state: None, generator: np.random.Generator) -> tuple[None, None]:
        """Return nothing; a static controller is never woken."""
        return None, None
