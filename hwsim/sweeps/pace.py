"""How far a number of runs is, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(kw_only=False)
class Pace:
    """Counts runs as they end.

    Attributes:
        runs: How many there are.
        clock: Tells seconds.
        done: How many have ended.
        made: How many of them were not there before; they alone tell how long one takes.
    """

    runs: int
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    made: int = 0
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def count(self, *, is_new: bool) -> None:
        """Note that one ended."""
        self.done += 1
        self.made += is_new

    @property
    def share(self) -> float:
        """Share of the runs that have ended."""
        return self.done / self.runs

    @property
    def told(self) -> str:
        """How far they are, in words."""
        progress = f"{self.done} of {self.runs} runs"
        if not self.made or self.done == self.runs:
            return progress
        seconds = (self.clock() - self._began) / self.made * (self.runs - self.done)
        return f"{progress}, {_about(seconds)} left"


def _about(seconds: float) -> str:
    """Return a duration as people say it.

    >>> _about(14.2), _about(360), _about(9000)
    ('14 s', '6 min', '2 h 30 min')
    """
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
