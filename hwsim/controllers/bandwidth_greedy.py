"""The most bits with which frames are on time at the bandwidth that others leave free; asked at every site.

As ``deadline_greedy``, but it reads the counter of the DRAM's traffic, and changes its mind within a frame: what it
reckons with then are the sites that are not committed. On a ladder whose steps lower one site, or one of its operands,
at a time, it so trades the bits of single layers, or of a graph's degree classes, for the time that is left.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from hwsim.controllers.actions import LadderOptions, build_ladder
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.controllers.deadlines import seconds_left
from hwsim.controllers.rung_times import RungTimes

LEAST_SHARE = 0.01
"""A counter that reads less is taken to read this."""


class BandwidthGreedyOptions(LadderOptions):
    """Options of the rule.

    Attributes:
        slack: Frames are reckoned to take so many times what the cost table says.
    """

    slack: float = Field(default=1.1, ge=1.0, allow_inf_nan=False)


class BandwidthGreedy:
    """Looks at deadlines and at the free share of the bandwidth, before each frame and each of its sites."""

    wakes_on: frozenset[Wake] = frozenset({"frame", "layer"})
    tick_picoseconds = 0
    needs_outputs = False

    def __init__(self, options: BandwidthGreedyOptions) -> None:
        self._options = options

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, int]:
        """Start with the most bits."""
        self._ladder = build_ladder(self._options, device, network)
        self._times = RungTimes.of(self._ladder, network)
        return Decision(widths=self._ladder.assignments[0], reason=f"start at {self._ladder.names[0]}"), 0

    def decide(
        self, observation: Observation, state: int, generator: np.random.Generator
    ) -> tuple[Decision | None, int]:
        """Take the first rung that is fast enough for all, else the fastest."""
        left = seconds_left(observation)
        clock = self._ladder.clock(min(observation.frequency_hertz, observation.throttle_cap_hertz))
        share = 1.0 if observation.free_bandwidth_share is None else observation.free_bandwidth_share
        share = max(share, LEAST_SHARE)
        whole = self._options.slack * self._times.remaining(clock, share)
        ends = np.outer(whole, np.arange(1, len(left) + 1))
        if observation.frame is not None and len(left):
            rest = self._options.slack * self._times.remaining(clock, share, observation.first_uncommitted)
            ends += (rest - whole)[:, None]
        in_time = (ends <= left).all(axis=1)
        rung = int(in_time.argmax()) if in_time.any() else len(self._ladder) - 1
        if rung == state:
            return None, state
        reason = f"{share:.0%} of the bandwidth free, {len(left)} frames to do: {self._ladder.names[rung]}"
        return Decision(widths=self._ladder.assignments[rung], reason=reason), rung
