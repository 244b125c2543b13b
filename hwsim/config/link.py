"""The network that a stream's inputs come over: when it is down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from bitmixer.documents import Problem, Section
from hwsim.config.quantity import Picoseconds, PositivePicoseconds


class OutageWindow(Section):
    """A link that is down once, at a given time."""

    kind: Literal["window"]
    from_picoseconds: Picoseconds
    until_picoseconds: Picoseconds

    def contradictions(self) -> Iterator[Problem]:
        """Yield an end that is not after the start."""
        if self.until_picoseconds <= self.from_picoseconds:
            yield Problem(("until",), "is not later than 'from': raise it")


class RandomOutages(Section):
    """A link that fails and recovers at random, after exponentially distributed times; it is up at first."""

    kind: Literal["fail_and_repair"]
    mean_time_to_failure_picoseconds: PositivePicoseconds
    mean_time_to_repair_picoseconds: PositivePicoseconds


Outages = Annotated[OutageWindow | RandomOutages, Field(discriminator="kind")]
