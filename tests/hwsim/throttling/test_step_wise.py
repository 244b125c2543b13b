"""Linux' step_wise: traces worked out by hand from its rules, and a second implementation from their text.

For each trip, with s the state of the cooling device, lower and upper the trip's range, at each poll:

- the first one: s + 1 within the range where it is hot (T >= trip), else no target;
- hot and hotter than at the poll before: s + 1 within the range;
- not hot and cooler: no target where s <= lower, else s - 1 within the range;
- otherwise: as before.

The device takes the highest target. Hot means T >= trip, once hot T >= trip - hysteresis.
"""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import ConfigurationError
from hwsim.plant.throttling import PollPeriods, Reading, StepWise, StepWiseTrip

CLOCKS = (1000, 900, 800, 700, 600, 500)
PERIODS = PollPeriods(idle_picoseconds=1000, passive_picoseconds=20)
IDLE, PASSIVE = PERIODS.idle_picoseconds, PERIODS.passive_picoseconds


def law_of(*trips: tuple[int, int, int, int]) -> StepWise:
    """Make a law of (celsius, hysteresis, lower, upper)."""
    return StepWise(
        trips=tuple(
            StepWiseTrip(
                temperature_millicelsius=celsius * 1000,
                hysteresis_millicelsius=hysteresis * 1000,
                lower=lower,
                upper=upper,
            )
            for celsius, hysteresis, lower, upper in trips
        ),
        frequencies_hertz=CLOCKS,
        periods=PERIODS,
    )


def trace(law: StepWise, celsius: list[float]) -> list[tuple[int | None, int]]:
    state, seen = law.init(), []
    for temperature in celsius:
        state, verdict = law.poll(Reading(millicelsius=round(temperature * 1000)), state)
        seen.append((verdict.cap_hertz, verdict.next_poll_picoseconds))
    return seen


def test_one_trip_by_hand() -> None:
    by_hand: list[tuple[int, int, int | None, int]] = [
        # T, s after, cap, next poll
        (65, 0, None, IDLE),  # first poll, not hot: no target
        (70, 1, 900, PASSIVE),  # hot and rising: 0 + 1
        (75, 2, 800, PASSIVE),  # rising: 1 + 1
        (75, 2, 800, PASSIVE),  # neither: as before
        (74, 2, 800, PASSIVE),  # cooler but hot: as before
        (80, 3, 700, PASSIVE),  # rising: 2 + 1
        (90, 3, 700, PASSIVE),  # rising: 4, but the range ends at 3
        (69, 2, 800, PASSIVE),  # not hot and cooler: 3 - 1
        (69, 2, 800, PASSIVE),  # not hot, neither: as before
        (68, 1, 900, PASSIVE),  # cooler: 2 - 1
        (72, 2, 800, PASSIVE),  # hot and rising: 1 + 1
        (66, 1, 900, PASSIVE),  # cooler: 2 - 1
        (67, 1, 900, PASSIVE),  # not hot, but rising: as before
        (64, 0, None, PASSIVE),  # cooler: 1 - 1 = 0, which is a target all the same
        (63, 0, None, IDLE),  # cooler, and s <= lower: no target
    ]
    law = law_of((70, 0, 0, 3))
    assert trace(law, [row[0] for row in by_hand]) == [row[2:] for row in by_hand]


def test_a_device_that_starts_hot_takes_a_step_without_a_trend() -> None:
    assert trace(law_of((70, 0, 0, 3)), [90, 90]) == [(900, PASSIVE)] * 2


def test_two_trips_by_hand() -> None:
    """As on the ODROID-XU3: the cooler trip reaches state 2, the hotter one begins at 3."""
    by_hand: list[tuple[int, int | None]] = [
        (60, None),
        (70, 900),  # first trip: 0 + 1
        (86, 700),  # first: 1 + 1 = 2; second: 2, but its range begins at 3
        (88, 600),  # first stays at 2, its end; second: 3 + 1
        (84, 700),  # second is not hot and cooler: 4 - 1
        (83, 800),  # second: s = 3 is its lower end: no target; the first still wants 2
        (69, 900),  # first: 2 - 1
        (60, None),  # first: 1 - 1
    ]
    law = law_of((70, 0, 0, 2), (85, 0, 3, 5))
    assert [cap for cap, _ in trace(law, [row[0] for row in by_hand])] == [row[1] for row in by_hand]


def test_a_trip_that_was_never_hot_steps_down_with_the_others() -> None:
    """The kernel's oddity: a trip looks at the state of the device, whoever brought it there."""
    law = law_of((70, 0, 0, 5), (95, 0, 1, 5))
    assert [cap for cap, _ in trace(law, [60, 70, 71, 72, 69])] == [None, 900, 800, 700, 800]
    state = law.init()
    for celsius in (60, 70, 71, 72, 69):
        state, _ = law.poll(Reading(millicelsius=celsius * 1000), state)
    assert state.targets == (2, 2)


def test_hysteresis_by_hand() -> None:
    """70 C with 10 K: hot until it is below 60 C."""
    by_hand: list[tuple[int, int | None]] = [(61, None), (71, 900), (65, 900), (66, 800), (60, 800), (59, 900)]
    assert [cap for cap, _ in trace(law_of((70, 10, 0, 3)), [row[0] for row in by_hand])] == [row[1] for row in by_hand]


def test_it_shows_its_trips_with_their_slowest_clock() -> None:
    marks = law_of((70, 0, 0, 2), (85, 0, 3, 5)).marks
    assert [(mark.temperature_celsius, mark.frequency_cap_hertz) for mark in marks] == [(70.0, 800), (85.0, 500)]


class Instance:
    """A trip's row of the table in the head of this file."""

    def __init__(self, celsius: int, hysteresis: int, lower: int, upper: int) -> None:
        self.on, self.off = celsius * 1000, (celsius - hysteresis) * 1000
        self.range = range(lower, upper + 1)
        self.hot = False
        self.target: int | None = None

    def look(self, now: int, before: int | None, state: int) -> None:
        self.hot = now >= self.on or (self.hot and now >= self.off)
        match (self.hot, before):
            case (True, None):
                self.target = self.nearest(state + 1)
            case (True, int()) if before is not None and now > before:
                self.target = self.nearest(state + 1)
            case (False, int()) if before is not None and now < before:
                self.target = self.nearest(state - 1) if state > self.range[0] else None
            case _:
                pass

    def nearest(self, state: int) -> int:
        return min(self.range, key=lambda candidate: abs(candidate - state))


RANGES = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(sorted)
TRIPS = st.lists(st.tuples(st.integers(60, 80), st.integers(0, 8), RANGES), min_size=1, max_size=3)


@given(trips=TRIPS, celsius=st.lists(st.integers(50, 90), max_size=40))
@settings(deadline=None)
def test_it_is_the_law_of_the_text(trips: list[tuple[int, int, list[int]]], celsius: list[int]) -> None:
    rows = [(at, hysteresis, lower, upper) for at, hysteresis, (lower, upper) in trips]
    law = law_of(*rows)
    instances = [Instance(*row) for row in rows]
    device, before = 0, None
    state = law.init()
    for temperature in celsius:
        kept = json.loads(json.dumps(dataclasses.asdict(state)))
        assert kept["last_millicelsius"] == before
        state, verdict = law.poll(Reading(millicelsius=temperature * 1000), state)
        for instance in instances:
            instance.look(temperature * 1000, before, device)
        before = temperature * 1000
        device = max((instance.target for instance in instances if instance.target is not None), default=0)
        assert verdict.cap_hertz == (CLOCKS[device] if device else None)
        waits = any(instance.hot or instance.target is not None for instance in instances)
        assert verdict.next_poll_picoseconds == (PASSIVE if waits else IDLE)


@given(celsius=st.lists(st.integers(50, 90), max_size=40))
@settings(deadline=None)
def test_one_trip_moves_by_one_step_at_most_and_stays_in_its_range(celsius: list[int]) -> None:
    law = law_of((70, 5, 0, 3))
    state = law.init()
    for temperature in celsius:
        after, _ = law.poll(Reading(millicelsius=temperature * 1000), state)
        assert abs(after.cooling_state - state.cooling_state) <= 1
        assert 0 <= after.cooling_state <= 3
        state = after


@pytest.mark.parametrize("trip", [(70, 0, 2, 1), (70, 0, 0, 6), (70, -1, 0, 1), (70, 0, -1, 1)])
def test_impossible_ranges_are_refused(trip: tuple[int, int, int, int]) -> None:
    with pytest.raises(ConfigurationError, match="within the 6 clocks"):
        law_of(trip)


@pytest.mark.parametrize(("idle", "passive"), [(0, 1), (1, 0)])
def test_impossible_periods_are_refused(idle: int, passive: int) -> None:
    with pytest.raises(ConfigurationError, match="poll periods above 0"):
        PollPeriods(idle_picoseconds=idle, passive_picoseconds=passive)
