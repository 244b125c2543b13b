"""The device as a Gymnasium environment: what its interface asks for, and that it is the simulator itself."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3.common.env_checker
from gymnasium.utils.env_checker import check_env

from bitmixer.errors import MissingExtraError
from hwsim import pipeline
from hwsim.controllers.actions import RewardOptions
from hwsim.errors import ConfigurationError, ControllerError
from hwsim.gym import ENVIRONMENT, BitsEnvironment
from hwsim.setting_up import simulation_setup
from hwsim.simulation.simulator import Simulator
from hwsim.steered_run import SteeredRun

PERIOD = {"period_milliseconds": 2}
TWO_RUNGS = RewardOptions(rungs=(8, 2))


@pytest.fixture
def make(bursty: str) -> Iterator[Callable[..., BitsEnvironment]]:
    """Return a function that makes environments of the small scenario, which are closed in the end."""
    made = []

    def build(**options: Any) -> BitsEnvironment:
        made.append(BitsEnvironment(**({"scenario": bursty} | PERIOD | options)))
        return made[-1]

    yield build
    for each in made:
        each.close()


def episode(
    environment: BitsEnvironment, action: Callable[[int], Any], *, seed: int | None = 3
) -> list[tuple[Any, ...]]:
    """Return what each step of an episode returned, begun by what ``reset`` did."""
    seen, info = environment.reset(seed=seed)
    steps: list[tuple[Any, ...]] = [(seen, 0.0, False, False, info)]
    while not steps[-1][3]:
        steps.append(environment.step(action(len(steps) - 1)))
    return steps


def finished(steps: list[tuple[Any, ...]]) -> list[Any]:
    return [frame for *_, info in steps for frame in info["finished"]]


def plain_run(bursty: str, log: Any, controller: Any = None, *, name: str = "static") -> list[tuple[Any, ...]]:
    """Return widths, energy and latency of the frames that ran in a plain run, in the order in which they ended."""
    planned = pipeline.plan(bursty, controller=name)
    setup = simulation_setup(planned, pipeline.VIRTUAL_INPUTS)
    if controller is not None:
        stream = dataclasses.replace(setup.streams[0], controller=controller)
        setup = dataclasses.replace(setup, streams=(stream,))
    Simulator(setup, [log]).run()
    return [
        (frame.frame, frame.widths, frame.energy_joules, frame.finish_picoseconds - frame.arrival_picoseconds)
        for frame in log.frames
        if frame.widths
    ]


def told(steps: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(frame.frame, frame.widths, frame.energy_joules, frame.latency_picoseconds) for frame in finished(steps)]


@pytest.mark.parametrize("options", [{}, {"clocks": True}, {"wake": "frame"}], ids=str)
def test_both_checkers_pass(bursty: str, options: dict[str, Any]) -> None:
    environment = gymnasium.make(f"hwsim.gym:{ENVIRONMENT}", scenario=bursty, **PERIOD, **options).unwrapped
    check_env(environment)
    stable_baselines3.common.env_checker.check_env(environment)
    environment.close()


@pytest.mark.parametrize("wake", ["tick", "frame"])
def test_the_same_seed_gives_the_same_episode(make: Callable[..., BitsEnvironment], wake: str) -> None:
    def drawn(seed: int) -> list[tuple[Any, ...]]:
        environment = make(wake=wake)
        environment.action_space.seed(1)
        return episode(environment, lambda _: environment.action_space.sample(), seed=seed)

    first, again, other = drawn(3), drawn(3), drawn(4)
    assert len(first) > 15
    for (seen, *rest), (seen_again, *rest_again) in zip(first, again, strict=True):
        np.testing.assert_array_equal(seen, seen_again)
        assert rest == rest_again
    assert finished(first) != finished(other)


@pytest.mark.parametrize("bits", [8, 2])
def test_one_action_throughout_runs_as_static_bits_do(
    make: Callable[..., BitsEnvironment], bursty: str, log_class: Any, bits: int
) -> None:
    steps = episode(make(options=RewardOptions(rungs=(bits,))), lambda _: 0)
    static = plain_run(bursty, log_class(), name=f"static:bits={bits}")
    assert len(static) > 15
    assert told(steps) == static


@pytest.mark.parametrize("clocks", [False, True])
def test_a_controller_that_decides_the_same_has_the_same_frames(
    make: Callable[..., BitsEnvironment], bursty: str, log_class: Any, scripted: Any, clocks: bool
) -> None:
    environment = make(options=TWO_RUNGS, clocks=clocks)

    def rung(number: int) -> int:
        return number // 3 % 2

    def action(number: int) -> Any:
        return np.array([rung(number), 1]) if clocks else rung(number)

    steps = episode(environment, action)

    def script(observation: Any, generator: Any) -> Any:
        return environment._decision(action(len(controller.seen) - 1))

    controller = scripted(script, wakes_on=frozenset({"tick"}), tick_picoseconds=2 * 10**9)
    plain = plain_run(bursty, log_class(), controller)
    assert len({widths for _, widths, *_ in plain}) > 2  # some are switched in mid-frame
    assert told(steps) == plain
    assert [info["observation"] for *_, info in steps][: len(controller.seen)] == controller.seen


def test_rewards_are_what_frames_were_worth(make: Callable[..., BitsEnvironment]) -> None:
    environment = make(options=RewardOptions(rungs=(8,), energy_weight=0.25))
    steps = episode(environment, lambda _: 0)
    accuracy, most = float(environment.ladder.accuracies[0]), float(environment.ladder.joules[0])
    for _, reward, _, _, info in steps[1:]:
        expected = [frame.on_time * accuracy - 0.25 * frame.energy_joules / most for frame in info["finished"]]
        assert reward == pytest.approx(sum(expected))  # the die is far below its first trip
    late = [frame for frame in finished(steps) if not frame.on_time]
    assert 0 < len(late) < len(finished(steps))


def test_observations_show_the_rung_in_use_and_the_load(make: Callable[..., BitsEnvironment]) -> None:
    steps = episode(make(options=TWO_RUNGS), lambda number: int(number >= 10))
    rungs = [float(seen[5]) for seen, *_ in steps]
    assert rungs[:11] == [0.0] * 11
    assert set(rungs[11:]) == {1.0}
    assert max(float(seen[4]) for seen, *_ in steps) > 0.5
    assert max(float(seen[2]) for seen, *_ in steps) >= 0.5  # bursts make frames wait


def test_without_a_seed_each_episode_is_another(make: Callable[..., BitsEnvironment]) -> None:
    environment = make(options=TWO_RUNGS)
    environment.reset(seed=5)
    first, second = (finished(episode(environment, lambda _: 0, seed=None)) for _ in range(2))
    assert len(first) > 10
    assert first != second


def test_runs_that_are_left_end_their_threads(make: Callable[..., BitsEnvironment]) -> None:
    before = threading.active_count()
    environment = make()
    for _ in range(3):
        environment.reset(seed=1)
        environment.step(0)
        assert threading.active_count() == before + 1
    environment.close()
    assert threading.active_count() == before
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"call reset\(\)"):
        environment.step(0)


def test_impossible_actions_are_refused(make: Callable[..., BitsEnvironment]) -> None:
    environment = make(options=TWO_RUNGS)
    environment.reset(seed=1)
    for action in (-1, 2, np.array([0, 0])):
        with pytest.raises(gymnasium.error.InvalidAction, match=r"Discrete\(2\)"):
            environment.step(action)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wake": "tik"}, "did you mean 'tick'"),
        ({"stream": "camra"}, "did you mean 'camera'"),
        ({"period_milliseconds": 0}, "at least 1"),
        ({"options": RewardOptions(rungs=(7,))}, "cannot run at 7 bits"),
        ({"sets": ("controller={name: linucb_probe}",)}, "outputs: none"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(
    make: Callable[..., BitsEnvironment], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make(**options)


def test_a_run_without_a_question_says_so(make: Callable[..., BitsEnvironment]) -> None:
    with pytest.raises(ConfigurationError, match="before the first tick"):
        make(period_milliseconds=1000).reset(seed=1)


def test_a_failure_in_the_run_is_raised_by_the_step(scripted: Any, make_setup: Callable[..., Any]) -> None:
    def fail(observation: Any, generator: Any) -> None:
        raise RuntimeError("no idea")

    failing = scripted(fail, wakes_on=frozenset({"frame"}))
    setup = make_setup(scripted(), others=[{"name": "other", "controller": failing, "priority": -1}])
    start, _ = scripted().init(None, setup.streams[0].view)
    run = SteeredRun(setup, stream=0, wakes_on=frozenset({"frame"}), tick_picoseconds=0, start=start)
    assert run.begin().observation is not None

    def to_the_end() -> None:
        while not run.is_over:
            run.answer(None)

    with pytest.raises(ControllerError, match=r"controller Scripted: decide .* no idea"):
        to_the_end()
    assert run.is_over


def test_without_gymnasium_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "hwsim.gym")
    with pytest.raises(MissingExtraError, match=r"bitmixer-hwsim\[gym\]"):
        importlib.import_module("hwsim.gym")


def test_another_stream_than_the_first_can_be_steered(make: Callable[..., BitsEnvironment]) -> None:
    sets = ("duration=1 s",)
    names = [each.stream.name for each in pipeline.plan("two_streams").streams]
    environment = make(scenario="two_streams", stream=names[1], sets=sets, period_milliseconds=50)
    steps = episode(environment, lambda number: number % 2)
    assert {info["observation"].stream for *_, info in steps} == {names[1]}
    assert len({frame.frame for frame in finished(steps)}) == len(finished(steps)) > 0
    own = [frame for *_, info in steps[:-1] for frame in info["observation"].finished]
    assert finished(steps)[: len(own)] == own
