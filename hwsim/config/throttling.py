"""The part of a device profile about throttling: one section for each law, told apart by ``kind``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from bitmixer.documents.section import KeyPath, Problem, Section
from hwsim.config.quantity import Celsius, Count, Hertz, Kelvin, PositiveCount, PositivePicoseconds, Quantity, Watts


class BangBangTrip(Section):
    """A trip with a fixed cap.

    Attributes:
        temperature_celsius: Where the cap begins.
        resume_celsius: Below this it ends.
        frequency_cap_hertz: Highest clock in between; one of the operating points.
    """

    temperature_celsius: Quantity[Celsius]
    resume_celsius: Quantity[Celsius]
    frequency_cap_hertz: Quantity[Hertz]

    def contradictions(self) -> Iterator[Problem]:
        """Yield a trip that resumes where it has not yet cooled."""
        if self.resume_celsius.value >= self.temperature_celsius.value:
            trip, resume = self.temperature_celsius.text, self.resume_celsius.text
            yield Problem(
                ("resume",), f"{resume} is not below the trip at {trip}: lower it, or the clock would flutter"
            )


class BangBang(Section):
    """Caps that come and go with hysteresis; ``trips: []`` for a device that never throttles.

    Attributes:
        poll_period_picoseconds: How often it looks; polling-delay in a device tree.
        trips: From cool to hot.
    """

    kind: Literal["bang_bang"]
    poll_period_picoseconds: Quantity[PositivePicoseconds]
    trips: tuple[BangBangTrip, ...]

    def contradictions(self) -> Iterator[Problem]:
        """Yield trips that are out of order or that cap less as it gets hotter."""
        yield from _disorder([trip.temperature_celsius for trip in self.trips])
        for position, (cooler, hotter) in enumerate(pairwise(self.trips), start=1):
            if hotter.frequency_cap_hertz.value > cooler.frequency_cap_hertz.value:
                text = f"{hotter.frequency_cap_hertz.text} after {cooler.frequency_cap_hertz.text}"
                path = ("trips", position, "frequency_cap")
                yield Problem(path, f"{text}: a hotter trip cannot allow a faster clock")

    def misfits(self, clocks: Mapping[int, str]) -> Iterator[Problem]:
        """Yield caps that are no operating point."""
        for position, trip in enumerate(self.trips):
            yield from _unknown_clock(trip.frequency_cap_hertz, clocks, ("trips", position, "frequency_cap"))


class StepWiseTrip(Section):
    """A trip from which the clock goes down step by step.

    Attributes:
        temperature_celsius: Where throttling begins.
        hysteresis_kelvin: So much below it ends; 0 K as in kernels before 6.10.
        fastest_hertz: Clock at which its range begins; the fastest one for a range from no throttling on.
        slowest_hertz: Clock that it stops at.
    """

    temperature_celsius: Quantity[Celsius]
    hysteresis_kelvin: Quantity[Kelvin]
    fastest_hertz: Quantity[Hertz]
    slowest_hertz: Quantity[Hertz]

    def contradictions(self) -> Iterator[Problem]:
        """Yield a range that is upside down."""
        if self.slowest_hertz.value > self.fastest_hertz.value:
            text = f"{self.slowest_hertz.text} is faster than {self.fastest_hertz.text}"
            yield Problem(("slowest",), f"{text}: exchange them")


class StepWise(Section):
    """Linux' ``step_wise`` over the operating points.

    Attributes:
        poll_period_picoseconds: How often it looks while nothing is too hot; polling-delay in a device tree.
        passive_poll_period_picoseconds: How often from the first trip on; polling-delay-passive.
        trips: From cool to hot.
    """

    kind: Literal["step_wise"]
    poll_period_picoseconds: Quantity[PositivePicoseconds]
    passive_poll_period_picoseconds: Quantity[PositivePicoseconds]
    trips: tuple[StepWiseTrip, ...]

    def contradictions(self) -> Iterator[Problem]:
        """Yield trips that are out of order."""
        yield from _disorder([trip.temperature_celsius for trip in self.trips])

    def misfits(self, clocks: Mapping[int, str]) -> Iterator[Problem]:
        """Yield ends of ranges that are no operating point."""
        for position, trip in enumerate(self.trips):
            yield from _unknown_clock(trip.fastest_hertz, clocks, ("trips", position, "fastest"))
            yield from _unknown_clock(trip.slowest_hertz, clocks, ("trips", position, "slowest"))


class Gains(Section):
    """Gains of ``power_allocator`` as the kernel's files in sysfs hold them.

    1024 is 1 mW per mK, but for ``k_d``, which counts whole mW ms per mK.

    Attributes:
        k_po: Proportional, above the control temperature.
        k_pu: Proportional, below it.
        k_i: Integral.
        k_d: Derivative.
        integral_cutoff_kelvin: Errors from this on are not added to the integral.
    """

    k_po: Quantity[Count]
    k_pu: Quantity[Count]
    k_i: Quantity[Count]
    k_d: Quantity[Count]
    integral_cutoff_kelvin: Quantity[Kelvin]


class PowerAllocator(Section):
    """Linux' ``power_allocator`` with the array as its one actor.

    Attributes:
        poll_period_picoseconds: Below ``switch_on``.
        passive_poll_period_picoseconds: From there on; at least 1 ms.
        switch_on_celsius: Where the controller begins.
        control_celsius: Temperature that it holds.
        sustainable_power_watts: Power of the array at which the die stays there.
        gains: Of the controller; without them the kernel's estimate from the three numbers above.
    """

    kind: Literal["power_allocator"]
    poll_period_picoseconds: Quantity[PositivePicoseconds]
    passive_poll_period_picoseconds: Quantity[PositivePicoseconds]
    switch_on_celsius: Quantity[Celsius]
    control_celsius: Quantity[Celsius]
    sustainable_power_watts: Quantity[Watts]
    gains: Gains | None = None

    def contradictions(self) -> Iterator[Problem]:
        """Yield a controller that would switch on too late, and polls that it cannot divide by."""
        if self.switch_on_celsius.value >= self.control_celsius.value:
            text = f"{self.switch_on_celsius.text} is not below the control temperature {self.control_celsius.text}"
            yield Problem(("switch_on",), f"{text}: lower it")
        if self.passive_poll_period_picoseconds.value < 10**9:
            text = self.passive_poll_period_picoseconds.text
            yield Problem(("passive_poll_period",), f"{text} is below 1 ms, the law's unit of time: lengthen it")

    def misfits(self, clocks: Mapping[int, str]) -> Iterator[Problem]:
        """Yield nothing: it chooses among the operating points."""
        return iter(())


class DividerTrip(Section):
    """A trip that divides the clock.

    Attributes:
        temperature_celsius: From here on.
        divisor: The fastest clock over the cap, which must be an operating point.
    """

    temperature_celsius: Quantity[Celsius]
    divisor: Quantity[PositiveCount]


class Divider(Section):
    """The Edge TPU's law: the hottest trip that is reached says by how much the clock is divided.

    Attributes:
        poll_period_picoseconds: How often it looks.
        trips: From cool to hot.
    """

    kind: Literal["divider"]
    poll_period_picoseconds: Quantity[PositivePicoseconds]
    trips: tuple[DividerTrip, ...]

    def contradictions(self) -> Iterator[Problem]:
        """Yield trips that are out of order or that divide by less as it gets hotter."""
        yield from _disorder([trip.temperature_celsius for trip in self.trips])
        for position, (cooler, hotter) in enumerate(pairwise(self.trips), start=1):
            if hotter.divisor.value < cooler.divisor.value:
                text = f"{hotter.divisor.text} after {cooler.divisor.text}"
                yield Problem(("trips", position, "divisor"), f"{text}: a hotter trip cannot divide by less")

    def misfits(self, clocks: Mapping[int, str]) -> Iterator[Problem]:
        """Yield divisors that lead to no operating point."""
        fastest = max(clocks)
        for position, trip in enumerate(self.trips):
            if fastest / trip.divisor.value not in clocks:
                text = f"{clocks[fastest]} over {trip.divisor.text} is no operating point"
                path = ("trips", position, "divisor")
                yield Problem(path, f"{text}: choose a divisor that leads to one of {', '.join(clocks.values())}")


Throttling = Annotated[BangBang | StepWise | PowerAllocator | Divider, Field(discriminator="kind")]
"""The device's own protection, which no controller can overrule."""


def _disorder(temperatures: list[Quantity[Celsius]]) -> Iterator[Problem]:
    for position, (cooler, hotter) in enumerate(pairwise(temperatures), start=1):
        if hotter.value <= cooler.value:
            sentence = f"{hotter.text} after {cooler.text}: sort the trips from cool to hot"
            yield Problem(("trips", position, "temperature"), sentence)


def _unknown_clock(clock: Quantity[Hertz], clocks: Mapping[int, str], path: KeyPath) -> Iterator[Problem]:
    if clock.value not in clocks:
        yield Problem(path, f"{clock.text} is no operating point: choose one of {', '.join(clocks.values())}")
