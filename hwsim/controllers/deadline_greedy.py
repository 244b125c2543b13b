"""The most bits with which this frame, and those that wait behind it, meet their deadlines; heat it ignores."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from hwsim.controllers.actions import LadderOptions, build_ladder
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.controllers.deadlines import SLACK, in_time, seconds_left


class DeadlineGreedyOptions(LadderOptions):
    """Options of the rule.

    Attributes:
        slack: Frames are reckoned to take so many times what the cost table says.
    """

    slack: float = Field(default=SLACK, ge=1.0, allow_inf_nan=False)


class DeadlineGreedy:
    """Looks at deadlines alone, before each frame."""

    wakes_on: frozenset[Wake] = frozenset({"frame"})
    tick_picoseconds = 0
    needs_outputs = False

    def __init__(self, options: DeadlineGreedyOptions) -> None:
        self._options = options

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, int]:
        """Start with the most bits."""
        self._ladder = build_ladder(self._options, device, network)
        return Decision(widths=self._ladder.assignments[0], reason=f"start at {self._ladder.names[0]}"), 0

    def decide(
        self, observation: Observation, state: int, generator: np.random.Generator
    ) -> tuple[Decision | None, int]:
        """Take the first rung that is fast enough for all, else the fastest."""
        left = seconds_left(observation)
        clock = self._ladder.clock(min(observation.frequency_hertz, observation.throttle_cap_hertz))
        seconds = self._options.slack * self._ladder.seconds[:, clock]
        kept = in_time(seconds, left)
        rung = int(kept.argmax()) if kept.any() else len(self._ladder) - 1
        if rung == state:
            return None, state
        tightest = float((left / np.arange(1, len(left) + 1)).min()) if len(left) else 0.0
        reason = f"{1000 * tightest:.1f} ms for a frame: {self._ladder.names[rung]}"
        return Decision(widths=self._ladder.assignments[rung], reason=reason), rung
