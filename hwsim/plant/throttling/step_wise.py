"""One step slower at each poll that is hot and getting hotter, one faster as it cools: Linux' ``step_wise``.

The law is that of drivers/thermal/gov_step_wise.c (``get_target_state``) with the trips' hysteresis as the thermal
core has it since Linux 6.10. The cooling device is the list of operating points: its state is a position in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.errors import ConfigurationError
from hwsim.plant.throttling.base import Mark, PollPeriods, Reading, Verdict, is_over


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWiseTrip:
    """A passive trip, bound to a range of cooling states.

    Attributes:
        temperature_millicelsius: At or above it the device is throttled.
        hysteresis_millicelsius: So much below it throttling ends.
        lower: Cooling state that the trip starts at, the least slow.
        upper: Cooling state that it stops at, the slowest.
    """

    temperature_millicelsius: int
    hysteresis_millicelsius: int
    lower: int
    upper: int

    def is_crossed(self, temperature: int, was_crossed: bool) -> bool:
        """Return whether the device is throttled."""
        trip = self.temperature_millicelsius
        return is_over(temperature, trip=trip, resume=trip - self.hysteresis_millicelsius, was_over=was_crossed)

    def clamp(self, state: int) -> int:
        """Return the nearest state within the range."""
        return min(max(state, self.lower), self.upper)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWiseState:
    """What the kernel keeps in the thermal zone and its instances.

    Attributes:
        last_millicelsius: Temperature of the poll before; ``None`` before the first.
        crossed: Of each trip, whether it is crossed.
        targets: Of each trip, the cooling state that it wants; ``None`` is ``THERMAL_NO_TARGET``.
    """

    last_millicelsius: int | None
    crossed: tuple[bool, ...]
    targets: tuple[int | None, ...]

    @property
    def cooling_state(self) -> int:
        """State of the cooling device: the highest that any trip wants."""
        return max((target for target in self.targets if target is not None), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWise:
    """Linux' default governor.

    Attributes:
        trips: The passive trips.
        frequencies_hertz: Clocks by cooling state, fastest first.
        periods: Passive while a trip is crossed or has a target.

    Raises:
        ConfigurationError: A hysteresis below 0, or a range that is not within the clocks.
    """

    trips: tuple[StepWiseTrip, ...]
    frequencies_hertz: tuple[int, ...]
    periods: PollPeriods

    def __post_init__(self) -> None:
        states = len(self.frequencies_hertz)
        for trip in self.trips:
            if not 0 <= trip.lower <= trip.upper < states or trip.hysteresis_millicelsius < 0:
                raise ConfigurationError(
                    f"step_wise: expected a hysteresis of 0 or more, and a range within the {states} clocks; got {trip}"
                )

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The trips, with the slowest clock of each."""
        return tuple(
            Mark(
                temperature_celsius=trip.temperature_millicelsius / 1000,
                frequency_cap_hertz=self.frequencies_hertz[trip.upper],
            )
            for trip in self.trips
        )

    def init(self) -> StepWiseState:
        """Return that no trip wants anything."""
        count = len(self.trips)
        return StepWiseState(last_millicelsius=None, crossed=(False,) * count, targets=(None,) * count)

    def poll(self, reading: Reading, state: StepWiseState) -> tuple[StepWiseState, Verdict]:
        """Let every trip take its step from the state that the cooling device is in, then take the deepest."""
        crossed = tuple(
            trip.is_crossed(reading.millicelsius, was) for trip, was in zip(self.trips, state.crossed, strict=True)
        )
        after = StepWiseState(
            last_millicelsius=reading.millicelsius,
            crossed=crossed,
            targets=tuple(
                _target(trip, throttle, target, state, reading.millicelsius)
                for trip, throttle, target in zip(self.trips, crossed, state.targets, strict=True)
            ),
        )
        passive = any(crossed) or any(target is not None for target in after.targets)
        cooling = after.cooling_state
        return after, Verdict(
            cap_hertz=self.frequencies_hertz[cooling] if cooling else None,
            next_poll_picoseconds=self.periods.after(passive=passive),
        )


def _target(
    trip: StepWiseTrip, throttle: bool, target: int | None, before: StepWiseState, temperature: int
) -> int | None:  # fmt: skip
    """Return what one trip wants: ``get_target_state``, with its oddity that a trip never crossed may step down."""
    current = before.cooling_state
    if before.last_millicelsius is None:
        return trip.clamp(current + 1) if throttle else None
    if throttle and temperature > before.last_millicelsius:
        return trip.clamp(current + 1)
    if not throttle and temperature < before.last_millicelsius:
        return None if current <= trip.lower else trip.clamp(current - 1)
    return target
