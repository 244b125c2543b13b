"""What else uses the DRAM: constant, on and off at random, step by step, or from a file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from bitmixer.documents.section import Problem, Section
from hwsim.config.quantity import DataRate, Picoseconds, PositiveFraction, PositivePicoseconds
from hwsim.config.time_series import SeriesFile


class _Shared(Section):
    """A DRAM that the accelerator shares.

    Attributes:
        accelerator_share: Share of the bandwidth that the accelerator gets at least, however much others want.
    """

    accelerator_share: PositiveFraction


class ConstantTraffic(_Shared):
    """Traffic that never changes."""

    kind: Literal["constant"]
    rate_bits_per_second: DataRate


class OnOffTraffic(_Shared):
    """Traffic at one rate, then none, and again, for exponentially distributed times.

    Attributes:
        rate_bits_per_second: While on.
        mean_on_picoseconds: Mean time on.
        mean_off_picoseconds: Mean time off.
    """

    kind: Literal["on_off"]
    rate_bits_per_second: DataRate
    mean_on_picoseconds: PositivePicoseconds
    mean_off_picoseconds: PositivePicoseconds


class SteppedTraffic(_Shared):
    """Traffic that keeps a rate until the next time.

    Attributes:
        steps: Pairs of time (picoseconds) and rate (bits per second); the first at 0 s.
    """

    kind: Literal["steps"]
    steps: tuple[tuple[Picoseconds, DataRate], ...]

    def contradictions(self) -> Iterator[Problem]:
        """Yield steps that do not begin at 0 s or go back in time."""
        if not self.steps or self.steps[0][0] != 0:
            yield Problem(("steps",), "must begin at 0 s: write the first step as [0 s, 0 GB/s]")
        for position, (before, after) in enumerate(pairwise(self.steps), start=1):
            if after[0] <= before[0]:
                yield Problem(("steps", position, 0), "is not later than the step before it: sort the steps by time")


class TrafficFile(SeriesFile[DataRate], _Shared):
    """Traffic whose rate a file tells; it keeps a row's until the next."""

    @property
    def steps(self) -> tuple[tuple[int, float], ...]:
        """Time in picoseconds of the run, and bits per second from then on; the first at 0."""
        later = [point for point in self.points if point[0] > 0]
        first = self.points[max(len(self.points) - len(later) - 1, 0)][1]
        return ((0, first), *later)


MemoryTraffic = Annotated[ConstantTraffic | OnOffTraffic | SteppedTraffic | TrafficFile, Field(discriminator="kind")]
"""What others want of the DRAM."""
