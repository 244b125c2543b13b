"""Time to the deadlines that a controller sees, and which of its modes keep them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, FloatArray, Ladder, LadderOptions
from hwsim.controllers.base import Observation, Wake
from hwsim.controllers.modes import Mode

SLACK = 1.1
"""Frames are reckoned to take so many times what the cost table says (assumed: planes that must be fetched)."""


class HeedingOptions(LadderOptions):
    """Options of rules that look at heat, and at deadlines where that is wanted.

    Attributes:
        heeds_deadlines: Asked before each frame, too, the rule takes the mode nearest to the one that heat asks for in
            which no frame is late. Without it, heat is all that it knows, as in Linux.
    """

    heeds_deadlines: bool = Field(default=False)

    @property
    def wakes_on(self) -> frozenset[Wake]:
        """When such a rule is asked."""
        return frozenset({"tick", "frame"} if self.heeds_deadlines else {"tick"})


def seconds_left(observation: Observation) -> FloatArray:
    """Return the time to the deadline of the frame that has begun and of those that wait, in this order."""
    deadlines = [
        *(() if observation.frame_deadline_picoseconds is None else (observation.frame_deadline_picoseconds,)),
        *observation.queued_deadlines_picoseconds,
    ]
    return (np.array(deadlines, dtype=np.float64) - observation.time_picoseconds) / PICOSECONDS_PER_SECOND


def in_time(seconds: FloatArray, left: FloatArray) -> NDArray[np.bool_]:
    """Return [M] whether the frame that has begun and those behind it keep their deadlines, one taking [M] seconds."""
    return np.asarray((np.outer(seconds, np.arange(1, len(left) + 1)) <= left).all(axis=1))


def heeded(
    options: HeedingOptions, observation: Observation, ladder: Ladder, modes: tuple[Mode, ...], *, wanted: int,
    used: int,
) -> int:  # fmt: skip
    """Return the position of the mode to take where heat asks for one and another is in use.

    Where deadlines are heeded that changes before a frame alone, as nobody knows how much of one that runs is done: to
    the mode nearest to the wanted one in which no frame that is there will be late, of two that are as near the later
    one, and where there is none, the fastest.
    """
    if not options.heeds_deadlines:
        return wanted
    return _nearest(observation, ladder, modes, wanted) if observation.wake == "frame" else used


def _nearest(observation: Observation, ladder: Ladder, modes: tuple[Mode, ...], wanted: int) -> int:
    cap = ladder.clock(observation.throttle_cap_hertz)
    seconds = SLACK * np.array([ladder.seconds[rung, max(clock, cap)] for rung, clock in modes])
    kept = np.flatnonzero(in_time(seconds, seconds_left(observation)))
    if not len(kept):
        return int(seconds.argmin())
    return int(min(kept, key=lambda mode: (abs(mode - wanted), -mode)))
