"""A run that halts at every question to one stream's controller, until it is answered from outside.

The simulation has a thread of its own, for it asks its controllers in the middle of its work. Only one side runs at a
time: whoever hands over waits for the other, so the threads change no result.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

import numpy as np

from hwsim.controllers.base import Decision, DeviceView, FinishedFrame, NetworkView, Observation, Wake
from hwsim.simulation.events import FrameEnded, Observer, TelemetrySampled
from hwsim.simulation.setup import Setup
from hwsim.simulation.simulator import Simulator

A_YEAR_SECONDS = 365 * 24 * 3600.0
"""Whoever steers may think as long as it likes; timers of the operating system do not take infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Why the simulation waits.

    Attributes:
        observation: The question; ``None`` at the end of the run.
        finished: The stream's frames that ran to their end since the last halt.
        die_celsius: What the die's sensor reads; ``None`` while it is silent.
    """

    observation: Observation | None
    finished: tuple[FinishedFrame, ...]
    die_celsius: float | None


class SteeredRun:
    """One run; always ``close()`` one that is not followed to its end, for its thread waits.

    Args:
        setup: What is simulated; the controller of the steered stream is not asked.
        stream: Position of the steered stream.
        wakes_on: When it asks.
        tick_picoseconds: Period of ``tick`` questions.
        start: What holds until the first answer takes effect, and after each restart of the device.
        observers: Who else is told of what happens, in the simulation's thread.
    """

    def __init__(
        self, setup: Setup, *, stream: int, wakes_on: frozenset[Wake], tick_picoseconds: int, start: Decision,
        observers: Sequence[Observer] = (),
    ) -> None:  # fmt: skip
        self._exchange = _Exchange()
        agent = _Agent(self._exchange, wakes_on, tick_picoseconds, start)
        steered = replace(setup.streams[stream], controller=agent, safe=None, answer_limit_seconds=A_YEAR_SECONDS)
        streams = (*setup.streams[:stream], steered, *setup.streams[stream + 1 :])
        self._ending = _Ending(stream)
        self._simulator = Simulator(replace(setup, streams=streams), [*observers, self._ending])
        # A daemon: a run that somebody forgot to close does not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._simulate, name="hwsim steered run", daemon=True)

    @property
    def is_over(self) -> bool:
        """Whether nothing is asked any more: it came to its end, failed or was closed, or has not begun."""
        return not self._thread.is_alive()

    def begin(self) -> Halt:
        """Simulate until the first question, or to the end if there is none.

        Raises:
            InvariantError: A law was broken, or another stream's controller failed.
        """
        self._thread.start()
        return self._next_halt()

    def answer(self, decision: Decision | None) -> Halt:
        """Answer the question, and simulate until the next one, or to the end.

        Args:
            decision: ``None``: nothing changes.

        Raises:
            InvariantError: A law was broken, or a controller failed; this one does by wanting what does not exist.
        """
        self._exchange.answers.put(decision)
        return self._next_halt()

    def close(self) -> None:
        """End the run wherever it is."""
        if self._thread.is_alive():
            self._exchange.answers.put(_LEFT)
            self._thread.join()

    def _next_halt(self) -> Halt:
        told = self._exchange.questions.get()
        if isinstance(told, Observation):
            self._ending.finished.clear()
            return Halt(observation=told, finished=told.finished, die_celsius=told.die_celsius)
        self._thread.join()
        if told is not None:
            raise told
        return Halt(observation=None, finished=tuple(self._ending.finished), die_celsius=self._ending.die_celsius)

    def _simulate(self) -> None:
        error: Exception | None = None
        try:
            self._simulator.run()
        except _LeftError:
            pass
        except Exception as raised:  # goes on in the thread of whoever steers
            error = raised
        self._exchange.questions.put(error)


class _LeftError(BaseException):
    """Ends a run that was left; no ``Exception``, so that nobody takes it for a failure of the controller."""


_LEFT = object()
"""Instead of an answer: whoever steers has left."""


class _Exchange:
    """Where the two sides meet."""

    def __init__(self) -> None:
        self.questions: SimpleQueue[Observation | Exception | None] = SimpleQueue()
        self.answers: SimpleQueue[Any] = SimpleQueue()


class _Agent:
    """The controller that passes its questions on."""

    needs_outputs = False

    def __init__(
        self, exchange: _Exchange, wakes_on: frozenset[Wake], tick_picoseconds: int, start: Decision
    ) -> None:  # fmt: skip
        self.wakes_on = wakes_on
        self.tick_picoseconds = tick_picoseconds
        self._exchange = exchange
        self._start = start

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, None]:
        return self._start, None

    def decide(
        self, observation: Observation, state: None, generator: np.random.Generator
    ) -> tuple[Decision | None, None]:
        self._exchange.questions.put(observation)
        answer = self._exchange.answers.get()
        if answer is _LEFT:
            raise _LeftError
        return answer, None


class _Ending(Observer):
    """What became of frames behind the last question, as an observation would tell it."""

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self.finished: list[FinishedFrame] = []
        self.die_celsius: float | None = None

    def frame_ended(self, event: FrameEnded) -> None:
        if event.stream != self._stream or not event.widths:
            return
        self.finished.append(
            FinishedFrame(
                frame=event.frame, widths=event.widths, inputs=len(event.inputs), on_time=event.status == "on_time",
                latency_picoseconds=event.finish_picoseconds - event.arrival_picoseconds,
                service_picoseconds=event.finish_picoseconds - event.start_picoseconds,
                energy_joules=event.energy_joules,
            )
        )  # fmt: skip

    def telemetry_sampled(self, event: TelemetrySampled) -> None:
        self.die_celsius = event.die_reading_celsius
