"""Tabular Q-learning over temperature, waiting frames and the rung in use.

The law of C. Watkins and P. Dayan, "Q-learning", Machine Learning 8, 1992.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, FloatArray, RewardOptions, build_ladder, frame_worth
from hwsim.controllers.base import Decision, DeviceView, NetworkView, Observation, Wake

TEMPERATURES = np.array([-20.0, -12.0, -8.0, -5.0, -3.0, -1.0, 0.0])
"""Borders of the classes of temperature, in kelvin from the first trip."""
WAITING = 3
"""Classes of waiting frames: none, one, more."""


class QLearningOptions(RewardOptions):
    """Options of the rule; a step lasts a period, and is worth the mean of the frames that finished in it.

    Attributes:
        learning_rate: Share of the difference by which a value moves.
        discount: What a step later is worth.
        epsilon: Probability of a rung drawn at random.
        period_milliseconds: Time between looks.
    """

    learning_rate: float = Field(default=0.1, gt=0.0, le=1.0)
    discount: float = Field(default=0.95, ge=0.0, lt=1.0)
    epsilon: float = Field(default=0.05, ge=0.0, le=1.0)
    period_milliseconds: int = Field(default=500, ge=1)


@dataclass(frozen=True, slots=True, eq=False)
class QState:
    """Values [temperature, waiting, rung in use, rung chosen], the last situation, the rung chosen there."""

    values: FloatArray
    before: tuple[int, int, int] | None
    rung: int


class QLearning:
    """Learns what each rung leads to."""

    wakes_on: frozenset[Wake] = frozenset({"tick"})
    needs_outputs = False

    def __init__(self, options: QLearningOptions) -> None:
        self._options = options
        self.tick_picoseconds = options.period_milliseconds * PICOSECONDS_PER_SECOND // 1000

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, QState]:
        """Start with the most bits; values are those of rungs that go on for ever and are always on time."""
        self._device, self._ladder = device, build_ladder(self._options, device, network)
        ladder = self._ladder
        worth = ladder.accuracies - self._options.energy_weight * ladder.joules / ladder.joules[0]
        shape = (len(TEMPERATURES) + 1, WAITING, len(ladder), len(ladder))
        values = np.broadcast_to(worth / (1.0 - self._options.discount), shape).copy()
        start = Decision(widths=ladder.assignments[0], reason=f"start at {ladder.names[0]}")
        return start, QState(values, None, 0)

    def decide(
        self, observation: Observation, state: QState, generator: np.random.Generator
    ) -> tuple[Decision | None, QState]:
        """Learn from the step before, and choose."""
        here = self._situation(observation, state.rung)
        values = state.values
        if state.before is not None and observation.finished:
            values = values.copy()
            worth = np.mean([
                frame_worth(
                    self._options, self._ladder, self._device, frame,
                    accuracy=float(self._ladder.accuracies[self._ladder.rung(frame.widths)]),
                    celsius=observation.die_celsius,
                )
                for frame in observation.finished
            ])  # fmt: skip
            goal = float(worth) + self._options.discount * values[here].max()
            values[state.before][state.rung] += self._options.learning_rate * (goal - values[state.before][state.rung])
        explores = generator.random() < self._options.epsilon
        rung = int(generator.integers(len(self._ladder))) if explores else int(values[here].argmax())
        after = QState(values, here, rung)
        if rung == state.rung:
            return None, after
        why = "explores" if explores else f"is worth {values[here][rung]:.2f}"
        return Decision(widths=self._ladder.assignments[rung], reason=f"{self._ladder.names[rung]} {why}"), after

    def _situation(self, observation: Observation, rung: int) -> tuple[int, int, int]:
        """Return classes of temperature (a silent sensor counts as hot) and of waiting frames, and the rung in use."""
        temperature = len(TEMPERATURES)
        if observation.die_celsius is not None and self._device.trip_celsius:
            temperature = int(np.searchsorted(TEMPERATURES, observation.die_celsius - self._device.trip_celsius[0]))
        return temperature, min(len(observation.queued_deadlines_picoseconds), WAITING - 1), rung
