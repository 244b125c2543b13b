"""Time to the deadlines that a controller sees."""

from __future__ import annotations

import numpy as np

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, FloatArray
from hwsim.controllers.base import Observation


def seconds_left(observation: Observation) -> FloatArray:
    """Return the time to the deadline of the frame that has begun and of those that wait, in this order."""
    deadlines = [
        *(() if observation.frame_deadline_picoseconds is None else (observation.frame_deadline_picoseconds,)),
        *observation.queued_deadlines_picoseconds,
    ]
    return (np.array(deadlines, dtype=np.float64) - observation.time_picoseconds) / PICOSECONDS_PER_SECOND
