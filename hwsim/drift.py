"""Data that changes over time: which corruption a stream's inputs have, by the time at which their frame arrives."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Names of one data set under corruptions, each from a time on.

    Attributes:
        names: Data names.
        starts_picoseconds: When each begins; ascending, the first at 0.
    """

    names: tuple[str, ...]
    starts_picoseconds: tuple[int, ...]

    @classmethod
    def none(cls, name: str) -> Drift:
        """Return data that never changes."""
        return cls(names=(name,), starts_picoseconds=(0,))

    def position(self, arrival_picoseconds: int) -> int:
        """Return the position of the data that a frame has."""
        return bisect_right(self.starts_picoseconds, arrival_picoseconds) - 1

    def name(self, arrival_picoseconds: int) -> str:
        """Return the name of the data that a frame has."""
        return self.names[self.position(arrival_picoseconds)]
