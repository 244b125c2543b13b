"""The information-directed controller: it probes while that is worth its price, finds the rung, and stays safe."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from hwsim.controllers.actions import LadderOptions, build_ladder
from hwsim.controllers.base import FinishedFrame, Observation, ProbeResult
from hwsim.controllers.ids import Ids, IdsOptions
from hwsim.testing import views

SECOND = 10**12
DEVICE, NETWORK = views("thermal_throttle")
LADDER = build_ladder(LadderOptions(), DEVICE, NETWORK)
INPUTS = 28


def observed(frame: int, *, celsius: float = 50.0, **changes: Any) -> Observation:
    fastest = DEVICE.frequencies_hertz[0]
    now = (frame + 1) * SECOND // 10
    fields: dict[str, Any] = {
        "time_picoseconds": now, "wake": "frame", "die_celsius": celsius, "die_age_picoseconds": 0,
        "frequency_hertz": fastest, "throttle_cap_hertz": fastest, "queued_deadlines_picoseconds": (), "frame": frame,
        "frame_deadline_picoseconds": now + SECOND, "first_uncommitted": 0, "wanted": (), "confidences": (),
    }  # fmt: skip
    return Observation(**fields | changes)


def finished(frame: int, rung: int) -> FinishedFrame:
    return FinishedFrame(
        frame=frame, widths=tuple(LADDER.assignments[rung].values()), inputs=INPUTS, on_time=True,
        latency_picoseconds=SECOND // 50, service_picoseconds=round(LADDER.seconds[rung, 0] * SECOND),
        energy_joules=float(LADDER.joules[rung]),
    )  # fmt: skip


class World:
    """Frames whose answers agree by chance, at rates that may change."""

    def __init__(self, seed: int = 0, **options: Any) -> None:
        self.rule = Ids(IdsOptions(**options))
        _, self.state = self.rule.init(DEVICE, NETWORK)
        self.generator, self.luck = np.random.default_rng(seed), np.random.default_rng(seed + 1)
        self.frame, self.told = 0, ()
        self.probes: list[int] = []

    def live(self, frames: int, agreement: tuple[float, ...], **seen: Any) -> Counter[int]:
        """Return how often each rung was chosen."""
        chosen: Counter[int] = Counter()
        for _ in range(frames):
            ran = self.state.rung
            observation = observed(self.frame, finished=(finished(self.frame, ran),), probes=self.told, **seen)
            decision, self.state = self.rule.decide(observation, self.state, self.generator)
            self.told = ()
            if decision is not None and decision.probe is not None:
                looked = self.state.probing
                agreeing = int(self.luck.binomial(INPUTS, agreement[looked]))
                widths = tuple(LADDER.assignments[ran].values())
                self.told = (ProbeResult(frame=self.frame, widths=widths, inputs=INPUTS, agreeing=agreeing),)
                self.probes.append(self.frame)
            self.frame += 1
            chosen[self.state.rung] += 1
        return chosen


def shortfalls(agreement: tuple[float, ...], energy_weight: float) -> np.ndarray:
    """Return how much less each rung is worth than the best."""
    worth = LADDER.accuracies[0] * np.array(agreement) - energy_weight * LADDER.joules / LADDER.joules[0]
    return np.asarray(worth.max() - worth)


@pytest.mark.parametrize("agreement", [(1.0, 0.99, 0.985, 0.97), (1.0, 0.9, 0.8, 0.6), (1.0, 0.99, 0.97, 0.7)])
def test_it_finds_a_rung_that_is_worth_nearly_most(agreement: tuple[float, ...]) -> None:
    lost = []
    for seed in range(0, 80, 10):
        world = World(seed, energy_weight=0.1)
        world.live(300, agreement)
        chosen = world.live(200, agreement)
        lost.append(sum(times * shortfalls(agreement, 0.1)[rung] for rung, times in chosen.items()) / 200)
    # In 25 such worlds the mean is 0.004 at most, and none loses more than 0.012; the tolerance of the rule is 0.003.
    assert np.mean(lost) < 0.01
    assert max(lost) < 0.03


def test_it_notices_that_few_bits_have_become_worse_and_returns_when_they_are_good_again() -> None:
    good, bad = (1.0, 0.995, 0.99, 0.98), (1.0, 0.7, 0.6, 0.4)
    world = World(energy_weight=0.1, memory=0.99)
    assert world.live(300, good)[0] < 60
    world.live(200, bad)
    assert world.live(100, bad)[0] > 80
    world.live(400, good)
    assert world.live(100, good)[0] < 40, "it looks at few bits from time to time, though it runs at many"


def test_it_probes_less_as_it_learns_and_more_where_it_forgets() -> None:
    agreement = (1.0, 0.99, 0.97, 0.8)
    sure, forgetful = (World(energy_weight=0.1, memory=memory) for memory in (1.0, 0.95))
    for world in (sure, forgetful):
        world.live(600, agreement)
    assert sum(frame < 100 for frame in sure.probes) > sum(frame >= 500 for frame in sure.probes)
    late_sure, late_forgetful = (sum(frame >= 300 for frame in world.probes) for world in (sure, forgetful))
    assert late_forgetful > 2 * late_sure


def test_where_all_rungs_are_worth_the_same_to_within_the_tolerance_nothing_is_learned() -> None:
    world = World(energy_weight=0.1, tolerance=1.0)
    world.live(100, (1.0, 0.9, 0.8, 0.7))
    assert world.probes == []


def test_a_hot_die_and_a_near_deadline_leave_only_what_is_safe() -> None:
    hot = World(energy_weight=0.0)
    chosen = hot.live(100, (1.0, 0.5, 0.4, 0.3), celsius=DEVICE.trip_celsius[0] + 5.0)
    assert chosen[len(LADDER) - 1] > 95
    clock = 0
    hurried = World(energy_weight=0.0)
    for _ in range(20):
        soon = (hurried.frame + 1) * SECOND // 10 + int(1.1 * LADDER.seconds[2, clock] * SECOND)
        chosen = hurried.live(1, (1.0, 0.5, 0.4, 0.3), frame_deadline_picoseconds=soon)
        assert min(chosen) >= 2


def test_its_choice_follows_its_generator_alone() -> None:
    one, other = World(seed=3), World(seed=3)
    assert one.live(60, (1.0, 0.9, 0.9, 0.8)) == other.live(60, (1.0, 0.9, 0.9, 0.8))
    assert one.probes == other.probes
