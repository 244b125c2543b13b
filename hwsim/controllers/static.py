"""The baseline: one width, or one width per layer, for the whole run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

from bitmixer.bitwidths import BitAssignment
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.controllers.ladder import checked_rungs


class StaticOptions(BaseModel):
    """One width for the whole run.

    Attributes:
        bits: Width of all sites that are not pinned, for example 4; the network's highest if nothing is given.
        assignment: Instead, widths of every site: a JSON file, site -> [weight bits, activation bits], as
            ``bitmixer search`` writes it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bits: int | None = Field(default=None, ge=1)
    assignment: Mapping[str, tuple[StrictInt, StrictInt]] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> StaticOptions:
        if self.bits is not None and self.assignment is not None:
            raise ValueError("bits and assignment exclude one another: give one")
        return self


class Static:
    """Never asked, never changes."""

    wakes_on: frozenset[Wake] = frozenset()
    tick_picoseconds = 0
    needs_outputs = False

    def __init__(self, options: StaticOptions) -> None:
        self._options = options

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, None]:
        """Return the one assignment."""
        if self._options.assignment is not None:
            assignment = BitAssignment.from_dict(self._options.assignment).checked(network.graph.layers)
            return Decision(widths=assignment, reason="static, widths per layer"), None
        bits = checked_rungs(network, None if self._options.bits is None else (self._options.bits,))[0]
        return Decision(widths=network.graph.uniform(bits), reason=f"static {bits} bit"), None

    def decide(self, observation: Observation, state: None, generator: np.random.Generator) -> tuple[None, None]:
        """Return nothing; a static controller is never woken."""
        return None, None
