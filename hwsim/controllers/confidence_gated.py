"""Few bits first, and once more at many where the answer is unsure, at its real cost in time, energy and heat.

The rule of early exits and cascades (S. Teerapittayanon, B. McDanel and H. T. Kung, "BranchyNet", ICPR 2016), with one
network at two widths in the place of two exits.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, LadderOptions, build_ladder
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake


class ConfidenceGatedOptions(LadderOptions):
    """Options of the rule: frames run at the fewest bits of the ladder, and again at the most.

    Attributes:
        threshold: A frame whose mean top probability is below it runs again.
        slack: A second run is reckoned to take so many times what the cost table says; it must end by the deadline.
    """

    threshold: float = Field(default=0.8, ge=0.0, le=1.0)
    slack: float = Field(default=1.1, ge=1.0, allow_inf_nan=False)


class ConfidenceGated:
    """Looks at every answer before it leaves."""

    wakes_on: frozenset[Wake] = frozenset({"finish"})
    tick_picoseconds = 0
    needs_outputs = True

    def __init__(self, options: ConfidenceGatedOptions) -> None:
        self._options = options

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, None]:
        """Start at the fewest bits, for good."""
        self._ladder = build_ladder(self._options, device, network)
        return Decision(widths=self._ladder.assignments[-1], reason=f"first at {self._ladder.names[-1]}"), None

    def decide(
        self, observation: Observation, state: None, generator: np.random.Generator
    ) -> tuple[Decision | None, None]:
        """Run the frame again where it is unsure and there is time."""
        deadline, confidences = observation.frame_deadline_picoseconds, observation.confidences
        if deadline is None or not confidences or confidences[-1] >= self._options.threshold:
            return None, None
        clock = self._ladder.clock(min(observation.frequency_hertz, observation.throttle_cap_hertz))
        left = (deadline - observation.time_picoseconds) / PICOSECONDS_PER_SECOND
        if self._options.slack * self._ladder.seconds[0, clock] > left:
            return None, None
        reason = f"confidence {confidences[-1]:.2f}: again at {self._ladder.names[0]}"
        return Decision(widths={}, rerun=self._ladder.assignments[0], reason=reason), None
