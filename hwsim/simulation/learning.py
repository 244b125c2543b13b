"""Training steps in the time that frames leave: asked for at a steady pace, preempted by whatever arrives."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from hwsim.cost import CostTable
from hwsim.simulation.accelerator import NEVER_DUE, Accelerator
from hwsim.simulation.lane import Frame, Lane

PRIORITY = -1e9
"""Below that of every stream, above that of probes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningSetup:
    """What a simulation needs to know of training steps.

    Attributes:
        name: Name in the records.
        stream: Position of the stream whose network learns.
        costs: Cost table of a step (``hwsim.cost.training_table``).
        inputs: Inputs of a step.
        period_picoseconds: A step is asked for so often.
        delay_picoseconds: Time from an answer until the input can be learned from.
        duration_picoseconds: None is asked for afterwards.
    """

    name: str
    stream: int
    costs: CostTable
    inputs: int
    period_picoseconds: int
    delay_picoseconds: int
    duration_picoseconds: int


def ask_for_steps(
    environment: simpy.Environment, accelerator: Accelerator, learner: Lane, answered: Lane, setup: LearningSetup
) -> Generator[simpy.Event, Any, None]:
    """Ask for a step every period, if enough inputs were answered long enough ago and no step is under way."""
    learner.wanted = [layer.allowed[0] for layer in setup.costs.graph.layers]
    number, known = 0, 0
    waiting: deque[tuple[int, int]] = deque()  # when so many inputs can be learned from
    while environment.now + setup.period_picoseconds <= setup.duration_picoseconds:
        yield environment.timeout(setup.period_picoseconds)
        now = int(environment.now)
        waiting.append((now + setup.delay_picoseconds, answered.answered_inputs))
        while waiting and waiting[0][0] <= now:
            _, known = waiting.popleft()
        if known < setup.inputs:
            continue
        step = Frame(
            number=number, arrival_picoseconds=now, deadline_picoseconds=NEVER_DUE, inputs=(),
            stream=learner.number, is_training=True,
        )  # fmt: skip
        number += accelerator.learn(step)
