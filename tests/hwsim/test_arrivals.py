"""When frames arrive: worked out by hand, and the laws of jitter."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hwsim.simulation.arrivals import Bursts, PeriodicArrivals


def times(arrivals: PeriodicArrivals, until: int, seed: int = 0) -> list[int]:
    return list(arrivals.times(until, np.random.default_rng(seed)))


def test_frames_come_at_the_period_from_the_offset_on_and_none_at_the_end() -> None:
    assert times(PeriodicArrivals(period=10, offset=5), until=35) == [5, 15, 25]
    assert times(PeriodicArrivals(period=10), until=0) == []


def test_a_frame_in_a_burst_is_followed_at_the_burst_s_period() -> None:
    bursts = Bursts(first=20, every=100, length=10, period=4)
    # 0, 10, 20 (burst is on: 24, 28, 32), 32 is past the burst's end at 30: 42, 52, ...
    assert times(PeriodicArrivals(period=10, bursts=bursts), until=70) == [0, 10, 20, 24, 28, 32, 42, 52, 62]


@pytest.mark.parametrize(
    ("time", "active"), [(19, False), (20, True), (29, True), (30, False), (119, False), (120, True), (130, False)]
)
def test_a_burst_is_on_from_its_start_until_before_its_end(time: int, active: bool) -> None:
    assert Bursts(first=20, every=100, length=10, period=4).active(time) is active


def test_without_jitter_nothing_is_drawn() -> None:
    generator, untouched = np.random.default_rng(7), np.random.default_rng(7)
    list(PeriodicArrivals(period=10).times(1000, generator))
    assert generator.random() == untouched.random()


@given(period=st.integers(1, 50), share=st.floats(0, 1), offset=st.integers(0, 30), seed=st.integers(0, 99))
@example(period=1, share=1.0, offset=0, seed=0)
@settings(max_examples=60, deadline=None)
def test_jitter_delays_each_frame_but_lets_none_overtake(period: int, share: float, offset: int, seed: int) -> None:
    jitter, until = int(period * share), 1000
    found = times(PeriodicArrivals(period=period, offset=offset, jitter=jitter), until, seed)
    scheduled = range(offset, until, period)
    assert all(before < after for before, after in pairwise(found))
    assert len(scheduled) - 1 <= len(found) <= len(scheduled)  # the last may be late beyond the end
    # Two frames in one picosecond are one picosecond apart.
    assert all(due <= time <= due + jitter + 1 for due, time in zip(scheduled, found, strict=False))
    assert all(time < until for time in found)


def test_jitter_spreads_over_its_whole_range() -> None:
    late = np.array(times(PeriodicArrivals(period=100, jitter=3), until=100_000)) % 100
    assert set(late.tolist()) == {0, 1, 2, 3}
