"""Asks a controller within bounds: what it raises, how long it thinks and what it wants is checked under its name."""

from __future__ import annotations

import math
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from numbers import Integral
from pathlib import Path
from types import FrameType
from typing import Any, get_args

import numpy as np

from bitmixer.errors import BitmixerError, did_you_mean
from bitmixer.graph import LayerGraph
from hwsim.controllers.base import Controller, Decision, DeviceView, NetworkView, Observation, Wake
from hwsim.errors import ControllerError, HwsimError

REAL_TIME_FACTOR = 10.0
"""An answer that sleeps, or has too little of a core, is overdue after so many times its limit."""
SHORTEST_SECONDS = 0.001
"""Between two looks at the clocks."""


class Guard:
    """A controller as the device sees it: it answers in time and with what exists, or fails under its name.

    Args:
        controller: The controller.
        limit_seconds: Longest time for one answer, of the thread that gives it: a computer that is busy with other
            things does not count. One that sleeps is overdue after ``REAL_TIME_FACTOR`` times as much real time. In a
            process's main thread an answer that is overdue is cut off (between two steps of Python: a loop within
            compiled code is only noticed once it returns); elsewhere it is refused when it comes.
    """

    def __init__(self, controller: Controller, *, limit_seconds: float) -> None:
        self._controller = controller
        self._limit_seconds = limit_seconds
        self.name = f"controller {type(controller).__name__}"
        self.wakes_on: frozenset[Wake] = frozenset(self._attribute("wakes_on"))
        self.needs_outputs = bool(self._attribute("needs_outputs"))
        self.probes = bool(getattr(controller, "probes", False))
        if unknown := self.wakes_on - set(get_args(Wake)):
            known = ", ".join(get_args(Wake))
            raise ControllerError(f"{self.name}: wakes_on has {', '.join(map(repr, unknown))}; expected {known}")
        self.tick_picoseconds = 0
        if "tick" in self.wakes_on:
            self.tick_picoseconds = self._attribute("tick_picoseconds")
            if not (isinstance(self.tick_picoseconds, int) and self.tick_picoseconds > 0):
                raise ControllerError(
                    f"{self.name}: tick_picoseconds is {self.tick_picoseconds!r}; expected a whole number above 0"
                )

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, Any]:
        """Return the checked widths to start with, of all sites, and the first state.

        Raises:
            ControllerError: It fails.
            ConfigurationError: It refuses this device or network.
        """
        ask = partial(self._controller.init, device, network)
        first, state = self._answer("init", ask, may_refuse=True)
        if first is None:
            raise ControllerError(f"{self.name}: init returned no decision; expected widths for every site")
        self._check(first, network.graph)
        if missing := [layer.name for layer in network.graph.layers if layer.name not in first.widths]:
            raise ControllerError(f"{self.name}: its first decision gives no widths for {', '.join(missing)}")
        return first, state

    def decide(
        self, observation: Observation, state: Any, generator: np.random.Generator, graph: LayerGraph
    ) -> tuple[Decision | None, Any]:
        """Return a checked decision, or none, and the next state.

        Raises:
            ControllerError: It fails.
        """
        frame = "" if observation.frame is None else f", frame {observation.frame}"
        decision, after = self._answer(
            f"decide at {observation.time_picoseconds / 1e12:.6f} s{frame}",
            partial(self._controller.decide, observation, state, generator),
        )
        if decision is not None:
            self._check(decision, graph)
            if decision.rerun is not None and observation.wake != "finish":
                raise ControllerError(
                    f"{self.name}: asks for a rerun at a wake {observation.wake!r}; expected 'finish'"
                )
        return decision, after

    def _attribute(self, name: str) -> Any:
        try:
            return getattr(self._controller, name)
        except AttributeError:
            raise ControllerError(f"{self.name}: has no attribute {name}; see hwsim.controllers.base") from None

    def _answer(
        self, question: str, ask: Callable[[], Any], *, may_refuse: bool = False
    ) -> tuple[Decision | None, Any]:
        """Return what it answers, whatever else it does being an error under its name."""
        watch = _Stopwatch(self._limit_seconds)
        try:
            with watch.cutting_off():
                answer = ask()
        except _TookTooLongError:
            raise self._too_long(question) from None
        except Exception as error:
            if may_refuse and isinstance(error, HwsimError | BitmixerError):
                raise
            raise ControllerError(f"{self.name}: {question}: raised {_told(error)}") from error
        if watch.left_seconds < 0:
            raise self._too_long(question)
        if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], Decision | None)):
            raise ControllerError(f"{self.name}: {question}: returned {answer!r}; expected (Decision or None, state)")
        return answer

    def _too_long(self, question: str) -> ControllerError:
        seconds = (
            f"{self._limit_seconds:g} s of its own time, or {REAL_TIME_FACTOR * self._limit_seconds:g} s of real time"
        )
        return ControllerError(f"{self.name}: {question}: gave no answer within {seconds}")

    def _check(self, decision: Decision, graph: LayerGraph) -> None:
        """Refuse widths, clocks and probes that do not exist."""
        self._check_widths(decision.widths, graph)
        if decision.probe is not None:
            if not self.probes:
                raise ControllerError(f"{self.name}: asks for a probe, but does not declare probes = True")
            self._check_widths(decision.probe.widths, graph)
        if decision.rerun is not None:
            self._check_widths(decision.rerun, graph)
        hertz = decision.frequency_hertz
        if hertz is not None and not (isinstance(hertz, Integral) and hertz > 0):
            told = "NaN" if isinstance(hertz, float) and math.isnan(hertz) else repr(hertz)
            raise ControllerError(f"{self.name}: requests {told} Hz; expected a whole number above 0")
        if not isinstance(decision.reason, str):
            raise ControllerError(f"{self.name}: its reason is {decision.reason!r}; expected text")

    def _check_widths(self, wanted: object, graph: LayerGraph) -> None:
        if not isinstance(wanted, Mapping):
            raise ControllerError(f"{self.name}: widths are {wanted!r}; expected a mapping site -> BitWidths")
        for site, widths in wanted.items():
            if site not in graph.index:
                raise ControllerError(f"{self.name}: unknown site {site!r}: {did_you_mean(str(site), graph.index)}")
            if not isinstance(widths, tuple) or widths not in graph[site].allowed:
                allowed = ", ".join(map(str, graph[site].allowed))
                raise ControllerError(f"{self.name}: site {site!r} cannot run at {widths}; it allows {allowed}")


def _told(error: Exception) -> str:
    """Return an error's kind and message, and the last line of the asked code's own file that it passed through.

    The file stands without its folder, so that records that hold the message are the same on every machine.
    """
    lines = traceback.extract_tb(error.__traceback__)[1:]  # the first is the question itself
    own = [line for line in lines if line.filename == lines[0].filename]
    place = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{place}"


class _TookTooLongError(BaseException):
    """Not an ``Exception``, so that a controller that catches those is cut off, too."""


class _Stopwatch:
    """What an answer may take: its thread's own time, and for one that sleeps, real time as well."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._began_thread, self._began = time.thread_time(), time.perf_counter()

    @property
    def left_seconds(self) -> float:
        """Real time after which an answer may be due; 0 or less: it is overdue."""
        thinks = self._limit_seconds - (time.thread_time() - self._began_thread)
        return min(thinks, REAL_TIME_FACTOR * self._limit_seconds - (time.perf_counter() - self._began))

    @contextmanager
    def cutting_off(self) -> Iterator[None]:
        """Cut off what is within once it is overdue, where the platform and the thread allow it."""
        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
            yield
            return

        def look(number: int, frame: FrameType | None) -> None:
            if self.left_seconds <= 0:
                raise _TookTooLongError
            signal.setitimer(signal.ITIMER_REAL, max(self.left_seconds, SHORTEST_SECONDS))

        before = signal.signal(signal.SIGALRM, look)
        signal.setitimer(signal.ITIMER_REAL, self._limit_seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)
