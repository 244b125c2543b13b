"""How often frames come, as far as a controller can tell: from those that finish and those that wait."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND
from hwsim.controllers.base import Observation


@dataclass(frozen=True, slots=True)
class Rate:
    """Frames per second, averaged with a time constant, and what it was made of.

    Attributes:
        per_second: The average; ``None`` before anything was seen.
        queued: Frames that waited at the last look.
        picoseconds: Time of the last look.
    """

    per_second: float | None = None
    queued: int = 0
    picoseconds: int = 0

    def after(self, observation: Observation, *, time_constant_seconds: float) -> Rate:
        """Return it after another look: what finished, and what waits more than before, has come since then."""
        queued, now = len(observation.queued_deadlines_picoseconds), observation.time_picoseconds
        seconds = (now - self.picoseconds) / PICOSECONDS_PER_SECOND
        if seconds <= 0.0:
            return self
        came = max(len(observation.finished) + queued - self.queued, 0) / seconds
        if self.per_second is None:
            return Rate(came, queued, now)
        kept = math.exp(-seconds / time_constant_seconds)
        return Rate(kept * self.per_second + (1.0 - kept) * came, queued, now)


UNSEEN = Rate()
"""Before anything was seen."""
