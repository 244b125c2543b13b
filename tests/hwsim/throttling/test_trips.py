"""Laws of fixed trips: bang_bang as RK3588's NPU has it, and the Edge TPU's divider; traces worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import ConfigurationError
from hwsim.plant.throttling import BangBang, BangBangTrip, Divider, DividerTrip, Mark, Reading, millicelsius

MEGAHERTZ = 10**6
SECOND = 10**12
TEMPERATURES = st.integers(20_000, 120_000)


def caps_megahertz(law: Any, celsius: list[float]) -> list[float | None]:
    """Poll a law from its first state on; the state goes through JSON each time, as a record would keep it."""
    state, caps = law.init(), []
    for temperature in celsius:
        state = tuple(json.loads(json.dumps(state)))
        state, verdict = law.poll(Reading(millicelsius=millicelsius(temperature)), state)
        assert verdict.next_poll_picoseconds == law.poll_picoseconds
        caps.append(None if verdict.cap_hertz is None else verdict.cap_hertz / MEGAHERTZ)
    return caps


def trip(celsius: int, resume: int, megahertz: int) -> BangBangTrip:
    return BangBangTrip(
        temperature_millicelsius=celsius * 1000,
        resume_millicelsius=resume * 1000,
        frequency_cap_hertz=megahertz * MEGAHERTZ,
    )


def test_rk3588_on_a_warm_day_by_hand() -> None:
    """85 C -> 800 MHz until it is below 80 C; a second trip has no hysteresis."""
    law = BangBang(trips=(trip(85, 80, 800), trip(90, 90, 400)), poll_picoseconds=SECOND)
    readings = [84.9, 85.0, 82.0, 80.0, 79.9, 84.0, 90.0, 89.9, 91.0, 79.0]
    assert caps_megahertz(law, readings) == [None, 800, 800, 800, None, None, 400, 800, 400, None]
    assert law.marks[0] == Mark(temperature_celsius=85.0, frequency_cap_hertz=800 * MEGAHERTZ)


def test_the_edge_tpu_by_hand() -> None:
    """500 MHz, divided by 2, 4 and 8 at 85, 90 and 95 C; no hysteresis, and nothing is remembered."""
    steps = ((85_000, 2), (90_000, 4), (95_000, 8))
    law = Divider(
        trips=tuple(DividerTrip(temperature_millicelsius=at, divisor=by) for at, by in steps),
        fastest_hertz=500 * MEGAHERTZ,
        poll_picoseconds=5 * SECOND,
    )
    readings = [84.999, 85.0, 89.999, 90.0, 94.999, 95.0, 120.0, 94.0, 86.0, 84.999]
    assert caps_megahertz(law, readings) == [None, 250, 250, 125, 125, 62.5, 62.5, 125, 250, None]
    assert [mark.frequency_cap_hertz for mark in law.marks] == [250_000_000, 125_000_000, 62_500_000]


def test_a_device_without_trips_never_throttles() -> None:
    assert caps_megahertz(BangBang(trips=(), poll_picoseconds=1), [500.0]) == [None]
    assert caps_megahertz(Divider(trips=(), fastest_hertz=1, poll_picoseconds=1), [500.0]) == [None]


@given(readings=st.lists(TEMPERATURES, max_size=40))
@settings(deadline=None)
def test_a_trip_is_on_above_its_band_and_off_below(readings: list[int]) -> None:
    law = BangBang(trips=(trip(85, 75, 1),), poll_picoseconds=1)
    state = law.init()
    for temperature in readings:
        after, verdict = law.poll(Reading(millicelsius=temperature), state)
        assert after == ((True,) if temperature >= 85_000 else (False,) if temperature < 75_000 else state)
        assert (verdict.cap_hertz is None) == (after == (False,))
        state = after


@given(cooler=TEMPERATURES, hotter=TEMPERATURES, active=st.tuples(st.booleans(), st.booleans()))
@settings(deadline=None)
def test_hotter_is_never_faster(cooler: int, hotter: int, active: tuple[bool, bool]) -> None:
    cooler, hotter = sorted((cooler, hotter))
    bang_bang = BangBang(trips=(trip(60, 50, 800), trip(90, 70, 400)), poll_picoseconds=1)
    steps = tuple(DividerTrip(temperature_millicelsius=at, divisor=by) for at, by in ((60_000, 2), (90_000, 5)))
    divider = Divider(trips=steps, fastest_hertz=10**9, poll_picoseconds=1)
    for law, state in ((bang_bang, active), (divider, ())):
        caps = [
            law.poll(Reading(millicelsius=at), state)[1].cap_hertz or 10**9  # type: ignore[arg-type]
            for at in (cooler, hotter)
        ]
        assert caps[0] >= caps[1]


@pytest.mark.parametrize(("resume", "cap"), [(90, 1), (80, 0)])
def test_impossible_trips_are_refused(resume: int, cap: int) -> None:
    with pytest.raises(ConfigurationError, match="trip at 85"):
        trip(85, resume, cap)


@pytest.mark.parametrize("steps", [((90, 2), (85, 4)), ((85, 4), (90, 2)), ((85, 0),)])
def test_impossible_dividers_are_refused(steps: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ConfigurationError, match="divide by more"):
        Divider(
            trips=tuple(DividerTrip(temperature_millicelsius=at, divisor=by) for at, by in steps),
            fastest_hertz=1,
            poll_picoseconds=1,
        )
