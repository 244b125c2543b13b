"""Linux' ``schedutil`` on bits and clock: the clock that the load needs with a quarter to spare, and the most bits.

The law of kernel/sched/cpufreq_schedutil.c (``get_next_freq``): next = 1.25 x fastest x utilisation, where utilisation
is in parts of the fastest clock's capacity. The load of each rung is frames per second times its time at the fastest
clock; the rung is the one of the most bits whose next clock the device has and its throttle allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, LadderOptions, build_ladder
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.controllers.modes import FULL, Mode, in_mode
from hwsim.controllers.rate import UNSEEN, Rate

HEADROOM = 1.25
"""``map_util_perf``: util + util / 4."""


class SchedutilOptions(LadderOptions):
    """Options of the rule.

    Attributes:
        rate_limit_milliseconds: Time between looks (``rate_limit_us``).
        average_milliseconds: Time constant of the average of frames per second.
        surge: Utilisation is taken as so many times what the average says, for bursts.
    """

    rate_limit_milliseconds: int = Field(default=100, ge=1)
    average_milliseconds: int = Field(default=1000, ge=1)
    surge: float = Field(default=1.0, ge=1.0, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class SchedutilState:
    """The mode in use, and how often frames come."""

    mode: Mode = FULL
    rate: Rate = UNSEEN


class Schedutil:
    """Follows the load."""

    wakes_on: frozenset[Wake] = frozenset({"tick"})
    needs_outputs = False

    def __init__(self, options: SchedutilOptions) -> None:
        self._options = options
        self.tick_picoseconds = options.rate_limit_milliseconds * PICOSECONDS_PER_SECOND // 1000

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, SchedutilState]:
        """Start at the most bits and the fastest clock."""
        self._ladder = build_ladder(self._options, device, network)
        return in_mode(self._ladder, FULL, "start"), SchedutilState()

    def decide(
        self, observation: Observation, state: SchedutilState, generator: np.random.Generator
    ) -> tuple[Decision | None, SchedutilState]:
        """Take the most bits whose next clock is allowed, at that clock."""
        constant = self._options.average_milliseconds / 1000
        rate = state.rate.after(observation, time_constant_seconds=constant)
        per_second = (rate.per_second or 0.0) * self._options.surge
        mode = self._mode(per_second, observation.throttle_cap_hertz)
        after = SchedutilState(mode, rate)
        if mode == state.mode:
            return None, after
        return in_mode(self._ladder, mode, f"{per_second:.1f} frames/s"), after

    def _mode(self, frames_per_second: float, cap_hertz: int) -> Mode:
        clocks = self._ladder.frequencies_hertz
        for rung, seconds in enumerate(self._ladder.seconds[:, 0]):
            wanted = HEADROOM * clocks[0] * frames_per_second * seconds
            enough = [at for at, hertz in enumerate(clocks) if wanted <= hertz <= cap_hertz]
            if enough:
                return Mode(rung, enough[-1])
        return Mode(len(self._ladder) - 1, self._ladder.clock(cap_hertz))
