"""When frames arrive: worked out by hand, and the laws of jitter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from hwsim import pipeline
from hwsim.plant.sensor_faults import FailAndRepair, Failure
from hwsim.setting_up import simulation_setup
from hwsim.simulation.arrivals import (
    Arrivals,
    Bursts,
    MarkovModulatedArrivals,
    ModulatingState,
    MotionArrivals,
    PeriodicArrivals,
    PoissonArrivals,
    RecordedArrivals,
    over_link,
)
from hwsim.simulation.events import FrameEnded, Observer
from hwsim.simulation.randomness import generator as generator_of
from hwsim.simulation.simulator import Simulator

SECOND = 10**12


def times(arrivals: Arrivals, until: int, seed: int = 0) -> list[int]:
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


def test_a_poisson_process_has_its_rate_and_exponential_gaps() -> None:
    found = np.array(times(PoissonArrivals(rate_hertz=30.0), until=1000 * SECOND, seed=1))
    # 30 000 expected, standard deviation 173: four of them.
    assert abs(len(found) - 30_000) < 4 * 30_000**0.5
    gaps = np.diff(found) / SECOND
    assert stats.kstest(gaps, stats.expon(scale=1 / 30).cdf).pvalue > 0.01
    counts = np.histogram(found, bins=1000, range=(0, 1000 * SECOND))[0]
    assert stats.chisquare(*poisson_bins(counts, 30.0)).pvalue > 0.01
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 4 / len(gaps) ** 0.5


def poisson_bins(counts: np.ndarray, mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how often counts fall into bins, and how often they should."""
    edges = [0, 21, 24, 26, 28, 30, 32, 34, 37, 40, 10_000]
    seen = np.histogram(counts, edges)[0]
    chance = np.diff(stats.poisson(mean).cdf(np.array(edges) - 1))
    return seen, len(counts) * chance / chance.sum()


def modulated(*, quiet_hertz: float = 1.0) -> MarkovModulatedArrivals:
    return MarkovModulatedArrivals(
        states=(
            ModulatingState(
                rate_hertz=quiet_hertz, mean_dwell_picoseconds=4 * SECOND, next_probabilities=(0.0, 0.25, 0.75)
            ),
            ModulatingState(rate_hertz=40.0, mean_dwell_picoseconds=SECOND, next_probabilities=(1.0, 0.0, 0.0)),
            ModulatingState(rate_hertz=0.0, mean_dwell_picoseconds=2 * SECOND, next_probabilities=(0.5, 0.5, 0.0)),
        )
    )


def test_states_last_and_follow_one_another_as_they_should() -> None:
    visits = list(modulated().visits(40_000 * SECOND, np.random.default_rng(2)))[:-1]
    for state, mean in enumerate((4.0, 1.0, 2.0)):
        stays = np.array([visit.end - visit.start for visit in visits if visit.state == state]) / SECOND
        assert stats.kstest(stays, stats.expon(scale=mean).cdf).pvalue > 0.01
    followed = np.zeros((3, 3))
    for before, after in pairwise(visits):
        assert before.end == after.start
        followed[before.state, after.state] += 1
    assert np.all(np.diag(followed) == 0)
    for state, chances in ((0, [0.25, 0.75]), (2, [0.5, 0.5])):
        seen = np.delete(followed[state], state)
        assert stats.chisquare(seen, seen.sum() * np.array(chances)).pvalue > 0.01


def test_frames_come_at_the_rate_of_their_state_and_in_none_that_is_silent() -> None:
    until = 4000 * SECOND
    source = modulated()
    generator, same = np.random.default_rng(3), np.random.default_rng(3)
    visits = list(source.visits(until, same.spawn(2)[0]))
    found = np.array(list(source.times(until, generator)))
    for state, rate in enumerate((1.0, 40.0, 0.0)):
        own = [visit for visit in visits if visit.state == state]
        seconds = sum(visit.end - visit.start for visit in own) / SECOND
        frames = sum(np.searchsorted(found, visit.end) - np.searchsorted(found, visit.start) for visit in own)
        assert abs(frames - rate * seconds) <= 4 * (rate * seconds) ** 0.5


def test_another_rate_leaves_the_bursts_where_they_are() -> None:
    until = 400 * SECOND
    visits = list(modulated().visits(until, np.random.default_rng(5).spawn(2)[0]))
    silent = [visit for visit in visits if visit.state == 2]
    for quiet_hertz in (1.0, 9.0):
        found = times(modulated(quiet_hertz=quiet_hertz), until, seed=5)
        assert len(found) > 1000
        assert not any(visit.start <= time < visit.end for visit in silent for time in found)


MOTION = MotionArrivals(mean_wait=20 * SECOND, mean_length=3 * SECOND, period=SECOND // 2, cool_down=5 * SECOND)


def test_motion_begins_at_random_lasts_at_random_and_then_rests() -> None:
    motions = np.array(list(MOTION.motions(60_000 * SECOND, np.random.default_rng(4)))) / SECOND
    lengths, waits = motions[:, 1] - motions[:, 0], motions[1:, 0] - motions[:-1, 1] - 5
    assert waits.min() > 0
    assert stats.kstest(lengths, stats.expon(scale=3).cdf).pvalue > 0.01
    assert stats.kstest(waits, stats.expon(scale=20).cdf).pvalue > 0.01
    # A cycle is 20 + 3 + 5 seconds long in the mean.
    assert abs(len(motions) - 60_000 / 28) < 4 * (60_000 / 28) ** 0.5


def test_a_detector_that_watches_for_some_hours_sees_nothing_before_and_after() -> None:
    watching = dataclasses.replace(MOTION, watches_from=500 * SECOND, watches_until=900 * SECOND)
    seen = list(watching.times(2000 * SECOND, np.random.default_rng(4)))
    assert seen[0] > 500 * SECOND
    assert seen[-1] < 900 * SECOND
    always = list(MOTION.times(400 * SECOND, np.random.default_rng(4)))
    assert [time - 500 * SECOND for time in seen] == always
    assert list(watching.times(700 * SECOND, np.random.default_rng(4))) == [
        time for time in seen if time < 700 * SECOND
    ]


def test_frames_come_from_the_beginning_of_motion_to_its_end() -> None:
    until = 20_000 * SECOND
    generator, same = np.random.default_rng(6), np.random.default_rng(6)
    motions = list(MOTION.motions(until, same))
    found = list(MOTION.times(until, generator))
    assert found == [time for start, end in motions for time in range(start, min(end, until), SECOND // 2)]
    # Of an exponential length L, 1 + floor(L / p) frames: 1 / (1 - exp(-p / mean)) in the mean.
    per_motion = np.array([len(range(start, end, SECOND // 2)) for start, end in motions])
    mean = 1 / (1 - np.exp(-0.5 / 3))
    assert abs(per_motion.mean() - mean) < 4 * per_motion.std() / len(per_motion) ** 0.5


def test_recorded_frames_come_at_their_times_until_the_end() -> None:
    assert times(RecordedArrivals(recorded=(3, 7, 7, 20, 30)), until=30) == [3, 7, 7, 20]


RANDOM = [PoissonArrivals(rate_hertz=200.0), modulated(), MOTION]


@given(source=st.sampled_from(RANDOM), until=st.integers(0, 30 * SECOND), seed=st.integers(0, 999))
@settings(deadline=None)
def test_random_arrivals_ascend_end_in_time_and_repeat_themselves(source: Arrivals, until: int, seed: int) -> None:
    found = times(source, until, seed)
    assert all(before < after for before, after in pairwise(found))
    assert all(0 < time < until for time in found)
    assert times(source, until, seed) == found
    # A longer run begins as the shorter one.
    assert times(source, 2 * until, seed)[: len(found)] == found


@pytest.mark.parametrize("source", RANDOM, ids=lambda source: type(source).__name__)
def test_another_seed_gives_other_arrivals(source: Arrivals) -> None:
    assert times(source, 500 * SECOND, seed=1) != times(source, 500 * SECOND, seed=2)


def test_what_a_controller_draws_moves_no_random_arrivals(simulate: Any, scripted: Any) -> None:
    busy = PoissonArrivals(rate_hertz=20_000.0)

    def came(controller: Any) -> list[int]:
        return sorted(frame.arrival_picoseconds for frame in simulate(controller, arrivals=busy, seed=9).frames)

    def draw(observation: Any, generator: np.random.Generator) -> None:
        generator.random(5)

    expected = list(busy.times(300_000_000, generator_of(9, "arrivals")))
    assert came(scripted()) == came(scripted(script=draw, start=2)) == expected


def test_frames_sent_while_the_link_is_down_arrive_in_order_as_it_comes_up() -> None:
    outages = [Failure(5, 8), Failure(9, 10), Failure(20, 30)]
    assert list(over_link([0, 4, 5, 7, 8, 9, 19, 20, 29, 30], outages)) == [0, 4, 8, 8, 8, 10, 19, 30, 30, 30]
    assert list(over_link([3, 4], [])) == [3, 4]


@given(sent=st.lists(st.integers(0, 10**6), max_size=30).map(sorted), seed=st.integers(0, 9))
@settings(deadline=None)
def test_a_link_keeps_the_order_and_the_number_of_frames(sent: list[int], seed: int) -> None:
    random = FailAndRepair(mean_time_to_failure=50_000, mean_time_to_repair=20_000)
    failures = random.failures(np.random.default_rng(seed))
    down = list(islice(random.failures(np.random.default_rng(seed)), 200))
    arrived = list(over_link(sent, failures))
    assert arrived == sorted(arrived)
    assert len(arrived) == len(sent)
    for time, arrival in zip(sent, arrived, strict=True):
        assert not any(outage.start <= arrival < outage.end for outage in down)
        assert arrival == time or (time, arrival) in [(time, o.end) for o in down if o.start <= time < o.end]


def test_a_stream_with_link_outages_gets_its_frames_late(write_scenario: Callable[..., str]) -> None:
    window = "link_outages: {kind: window, from: 20 ms, until: 30 ms}"
    path = write_scenario(("    deadline: 4 ms\n", f"    deadline: 4 ms\n    {window}\n"))
    arrivals = {name: frames_of(each) for name, each in (("up", write_scenario(name="u.yaml")), ("down", path))}
    inside = [time for time in arrivals["up"] if 20 * MS <= time < 30 * MS]
    assert inside
    assert arrivals["down"] == sorted([time for time in arrivals["up"] if time not in inside] + [30 * MS] * len(inside))


MS = 10**9


def frames_of(path: str) -> list[int]:
    times: list[int] = []

    class Arrived(Observer):
        def frame_ended(self, event: FrameEnded) -> None:
            times.append(event.arrival_picoseconds)

    Simulator(simulation_setup(pipeline.plan(path, controller="static"), 500), [Arrived()]).run()
    return sorted(times)
