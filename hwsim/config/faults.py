"""What goes wrong in a scenario: sensors that are stuck or silent, at a given time or at random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from bitmixer.documents import Problem, Section
from hwsim.config.quantity import Picoseconds, PositivePicoseconds


class SensorFault(Section):
    """What every fault of a sensor says.

    Attributes:
        sensor: Its name in the profile.
        mode: ``stuck``: it repeats its last value; ``missing``: it gives none.
        reaches: ``controller``: only what programs read; ``device``: the sensor itself, so the throttle's view too,
            where the throttle reads it.
    """

    sensor: Literal["die_temperature", "power", "memory_bandwidth", "battery_gauge"]
    mode: Literal["stuck", "missing"]
    reaches: Literal["controller", "device"]


class FaultWindow(SensorFault):
    """A fault at a given time, or to the end of the run."""

    kind: Literal["window"]
    from_picoseconds: Picoseconds
    until_picoseconds: Picoseconds | None = None

    def contradictions(self) -> Iterator[Problem]:
        """Yield an end that is not after the start."""
        if self.until_picoseconds is not None and self.until_picoseconds <= self.from_picoseconds:
            yield Problem(("until",), "is not later than 'from': raise it, or leave it out for the rest of the run")


class FailAndRepair(SensorFault):
    """A fault that comes and goes at random, after exponentially distributed times."""

    kind: Literal["fail_and_repair"]
    mean_time_to_failure_picoseconds: PositivePicoseconds
    mean_time_to_repair_picoseconds: PositivePicoseconds


Fault = Annotated[FaultWindow | FailAndRepair, Field(discriminator="kind")]
