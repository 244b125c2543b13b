"""The device as a Gymnasium environment: an episode is a run, a step is one question of the controller.

    import gymnasium

    environment = gymnasium.make("hwsim.gym:hwsim/Bits-v0", scenario="thermal_throttle")

M. Towers et al., "Gymnasium: A Standard Interface for Reinforcement Learning Environments", 2024 (arXiv:2407.17032).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitmixer.errors import MissingExtraError, did_you_mean
from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, RewardOptions, build_ladder, frame_worth, situation
from hwsim.controllers.base import Decision, Observation
from hwsim.controllers.rate import UNSEEN
from hwsim.errors import ConfigurationError
from hwsim.pipeline import VIRTUAL_INPUTS
from hwsim.planning import plan
from hwsim.setting_up import simulation_setup
from hwsim.simulation.control import device_view
from hwsim.simulation.setup import Setup
from hwsim.steered_run import Halt, SteeredRun

if find_spec("gymnasium") is None:
    raise MissingExtraError("the environment needs the extra 'gym': pip install 'bitmixer-hwsim[gym]'")

import gymnasium
from gymnasium import spaces

ENVIRONMENT = "hwsim/Bits-v0"
"""Name in Gymnasium's registry."""
RATE_SECONDS = 2.0
"""Over which the rate of frames is averaged; assumed, between the 33 ms of a camera's frame and minutes of weather."""
MOST_OBSERVED = 10.0
"""Observations end here: a load beyond ten times what the device can do looks like ten times."""


class BitsEnvironment(gymnasium.Env[NDArray[np.float32], Any]):
    """One stream's bits (and clock) are the agent's; everything else is the scenario's.

    - **Action**: which rung of the ladder of assignments (0: the most bits); with ``clocks`` the pair (rung, clock;
      0: the fastest). It takes effect after the profile's decision time and holds until the next.
    - **Observation**, float32 [6]: 1; nearness of the first trip (1 there, 0 at 20 K below); waiting frames in parts of
      four; the throttle's cap in parts of the fastest clock; rate of frames times the time of one at the most bits and
      the fastest clock; rung in use (0 at the most bits, 1 at the fewest).
    - **Reward**: the sum of what the frames that finished since the last step were worth (``RewardOptions``), by the
      accuracies measured after training: labels are not read. A frame that is dropped is worth nothing.
    - **End**: the run's duration, and the drain behind it, whose frames count for the last step. It truncates the
      episode, as any limit of time does. Nobody is asked there, so the last observation is that of the last question.
    - ``info``: ``finished``, the frames (``FinishedFrame``), and ``observation``, as a controller sees it.

    The seed of ``reset`` is that of the run, as in ``hwsim run --seed``; without one, a new one is drawn. No outputs
    are computed, since no reward reads them. Its own controllers decide for the scenario's other streams.

    Attributes:
        ladder: The assignments to choose from.

    Args:
        scenario: Packaged name or path.
        sets: ``path=value`` changes of scenario and profile, as behind ``hwsim run --set``.
        stream: Name of the steered stream; the first by default.
        wake: A step for each ``frame`` of the stream, before it begins, or for each ``tick`` of a period.
        period_milliseconds: That period.
        clocks: Whether the agent requests clocks, too.
        options: What there is to choose from, and what frames are worth.

    Raises:
        DocumentError: A document is invalid.
        ConfigurationError: The parts do not fit together, or one that is named does not exist.
    """

    def __init__(
        self, scenario: str, *, sets: Sequence[str] = (), stream: str | None = None,
        wake: Literal["tick", "frame"] = "tick", period_milliseconds: int = 500, clocks: bool = False,
        options: RewardOptions | None = None,
    ) -> None:  # fmt: skip
        if wake not in ("tick", "frame"):
            raise ConfigurationError(f"wake is {wake!r}: {did_you_mean(str(wake), ('tick', 'frame'))}")
        if period_milliseconds < 1:
            raise ConfigurationError(f"period_milliseconds is {period_milliseconds}; expected at least 1")
        self._options = options or RewardOptions()
        self._planned = plan(scenario, sets=[*sets, "outputs=none"])
        names = [each.stream.name for each in self._planned.streams]
        if stream is not None and stream not in names:
            raise ConfigurationError(f"{scenario}: no stream {stream!r}: {did_you_mean(stream, names)}")
        self._stream = 0 if stream is None else names.index(stream)
        self._wake = wake
        self._tick_picoseconds = period_milliseconds * PICOSECONDS_PER_SECOND // 1000
        self._device = device_view(self._planned.told_device)
        self.ladder = build_ladder(self._options, self._device, self._setup(seed=0).streams[self._stream].view)
        self._clocks = clocks
        rungs = len(self.ladder)
        self.action_space = (
            spaces.MultiDiscrete([rungs, len(self._device.frequencies_hertz)]) if clocks else spaces.Discrete(rungs)
        )
        self.observation_space = spaces.Box(-MOST_OBSERVED, MOST_OBSERVED, shape=(6,), dtype=np.float32)
        self._run: SteeredRun | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin a run at the most bits; return what the first question shows, and ``info``.

        Raises:
            ConfigurationError: The run would be over before the first question.
        """
        super().reset(seed=seed)
        self.close()
        run_seed = int(self.np_random.integers(2**31)) if seed is None else seed
        self._run = SteeredRun(
            self._setup(seed=run_seed), stream=self._stream, wakes_on=frozenset({self._wake}),
            tick_picoseconds=self._tick_picoseconds,
            start=Decision(widths=self.ladder.assignments[0], reason=f"start at {self.ladder.names[0]}"),
        )  # fmt: skip
        self._rate = UNSEEN
        halt = self._run.begin()
        if halt.observation is None:
            raise ConfigurationError(
                f"the scenario's run ends before the first {self._wake} asks for an action: make it longer"
                + (", or period_milliseconds shorter" if self._wake == "tick" else "")
            )
        self._look(halt.observation)
        return self._seen, self._info(halt)

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Act, and simulate until the next question; return observation, reward, False, whether it was the last, info.

        Raises:
            InvariantError: A law was broken, or another stream's controller failed.
            gymnasium.error.ResetNeeded: There is no run.
            gymnasium.error.InvalidAction: There is no such action.
        """
        if self._run is None or self._run.is_over:
            raise gymnasium.error.ResetNeeded("there is no run, or it is over: call reset()")
        if not self.action_space.contains(action):
            raise gymnasium.error.InvalidAction(f"action {action!r}; expected one of {self.action_space}")
        halt = self._run.answer(self._decision(action))
        if halt.observation is not None:
            self._look(halt.observation)
        return self._seen, self._reward(halt), False, halt.observation is None, self._info(halt)

    def close(self) -> None:
        """End the run, if there is one."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def _setup(self, *, seed: int) -> Setup:
        setup = simulation_setup(self._planned, *[VIRTUAL_INPUTS] * len(self._planned.streams))
        return replace(setup, seed=seed)

    def _decision(self, action: Any) -> Decision:
        rung, clock = action if self._clocks else (action, None)
        return Decision(
            widths=self.ladder.assignments[int(rung)],
            frequency_hertz=None if clock is None else self._device.frequencies_hertz[int(clock)],
            reason=self.ladder.names[int(rung)],
        )

    def _look(self, observation: Observation) -> None:
        """Keep what the agent sees of a question."""
        self._observation = observation
        self._rate = self._rate.after(observation, time_constant_seconds=RATE_SECONDS)
        load = (self._rate.per_second or 0.0) * self.ladder.seconds[0, 0]
        rung = self.ladder.rung(observation.wanted) / max(len(self.ladder) - 1, 1)
        seen = np.array([*situation(observation, self._device), load, rung], dtype=np.float32)
        self._seen = seen.clip(-MOST_OBSERVED, MOST_OBSERVED)

    def _reward(self, halt: Halt) -> float:
        accuracies, rung = self.ladder.accuracies, self.ladder.rung
        return sum(
            frame_worth(
                self._options, self.ladder, self._device, frame, accuracy=float(accuracies[rung(frame.widths)]),
                celsius=halt.die_celsius,
            )
            for frame in halt.finished
        )  # fmt: skip

    def _info(self, halt: Halt) -> dict[str, Any]:
        return {"finished": halt.finished, "observation": self._observation}


gymnasium.register(ENVIRONMENT, entry_point="hwsim.gym:BitsEnvironment")
