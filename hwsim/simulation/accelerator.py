"""The accelerator: takes frames from the queue and runs them layer by layer.

A layer's widths are committed when the layer before it is issued, or earlier when a layer is issued whose
norm is keyed by them: the accelerator requantises results for their key consumer as they drain. One that requantises
what it reads (``requantise: on_load``) commits a layer when it is issued itself. What is not committed follows the
controller's wishes, in the middle of a frame too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Literal

import simpy

from bitmixer.graph import LOGIT_BITS
from hwsim.plant.operating_points import cycles_done, duration_picoseconds
from hwsim.simulation.activity import Activity
from hwsim.simulation.bandwidth import Bandwidth
from hwsim.simulation.clock import Clock
from hwsim.simulation.events import (
    Announcer,
    FrameEnded,
    FrameStarted,
    LayerExecuted,
    LayerIssued,
    Widths,
)
from hwsim.simulation.schedule import Pace, Schedule
from hwsim.simulation.weight_planes import WeightPlanes

Process = Generator[simpy.Event, Any, None]
NEVER = -1
"""Start of a frame that never ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One unit of arriving work."""

    number: int
    arrival_picoseconds: int
    deadline_picoseconds: int
    inputs: tuple[int, ...]


class Accelerator:
    """One array with its queue.

    Attributes:
        wanted: Widths that sites will get when they are committed, by position.
        frame: The frame on the array.
        position: Position of the layer that runs; -1 before the first.
        queue: Frames that wait.
        before_frame: Called before a frame starts.
        before_layer: Called before a layer is issued.
        valued_row: Gives the row of what an issued layer really takes, given its row in the cost table; where values
            make no difference, there is none.
    """

    def __init__(
        self, environment: simpy.Environment, schedule: Schedule, activity: Activity, announcer: Announcer, *,
        capacity: int, drop_expired: bool, decisions: Literal["mid_frame", "frame_boundary"],
    ) -> None:  # fmt: skip
        self._environment = environment
        self._schedule = schedule
        self._activity = activity
        self._announcer = announcer
        self._capacity = capacity
        self._drop_expired = drop_expired
        self._mid_frame = decisions == "mid_frame"
        self._work = environment.event()
        self._executing = False
        self._is_on = True
        self._transitions: list[tuple[int, ...] | None] = [None] * schedule.sites
        self._planes = WeightPlanes(schedule.planes)
        self._process: simpy.Process | None = None
        self.wanted: list[Widths] = []
        self.queue: deque[Frame] = deque()
        self.frame: Frame | None = None
        self.position = -1
        self.before_frame: Callable[[], None] | None = None
        self.before_layer: Callable[[], None] | None = None
        self.valued_row: Callable[[int, LayerIssued], int] | None = None

    def start(self, clock: Clock, bandwidth: Bandwidth) -> None:
        """Begin to work at this clock, with what is free of the DRAM's bandwidth."""
        self._clock = clock
        self._bandwidth = bandwidth
        self._process = self._environment.process(self._run())

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return self.frame is None and not self.queue

    @property
    def first_uncommitted(self) -> int:
        """Position of the first site of the running frame that can still change (see ``Observation``)."""
        if self.frame is None:
            return 0
        if not self._mid_frame:
            return self._schedule.sites
        return 0 if self.position < 0 else self._schedule.first_uncommitted[self.position]

    def arrive(self, frame: Frame) -> None:
        """Queue a frame, or drop it where the queue is full or the device is off."""
        if not self._is_on or len(self.queue) >= self._capacity:
            self._drop(frame, "dropped_queue")
            return
        self.queue.append(frame)
        if not self._work.triggered:
            self._work.succeed()

    def pace_changed(self) -> None:
        """Interrupt the layer that runs: the rest of it goes on at the new clock or share of the DRAM."""
        if self._executing and self._process is not None:
            self._process.interrupt()

    def power_off(self) -> None:
        """Abort the frame that runs and those that wait; what arrives before ``power_on`` is dropped."""
        self._is_on = False
        while self.queue:
            self._drop(self.queue.popleft(), "aborted")
        if self._executing and self._process is not None:
            self._process.interrupt()

    def power_on(self) -> None:
        """Take frames again; nothing that was on chip is left."""
        self._is_on = True
        self._transitions = [None] * self._schedule.sites
        self._planes = WeightPlanes(self._schedule.planes)

    def _drop(self, frame: Frame, status: str) -> None:
        self._end(frame, status, NEVER, (), 0.0)

    def _end(
        self, frame: Frame, status: str, started: int, widths: tuple[Widths, ...], energy_joules: float
    ) -> None:  # fmt: skip
        event = FrameEnded(
            frame.number, status, frame.arrival_picoseconds, started, int(self._environment.now),
            frame.deadline_picoseconds, frame.inputs, widths, energy_joules,
        )  # fmt: skip
        for tell in self._announcer.frame_ended:
            tell(event)

    def _run(self) -> Process:
        while True:
            while not self.queue:
                self._work = self._environment.event()
                yield self._work
            frame = self.queue.popleft()
            if self._drop_expired and self._environment.now > frame.deadline_picoseconds:
                self._drop(frame, "dropped_deadline")
                continue
            self.frame, self.position = frame, -1
            if self.before_frame is not None:
                self.before_frame()
            yield from self._execute(frame)
            self.frame = None

    def _execute(self, frame: Frame) -> Process:
        schedule, announcer = self._schedule, self._announcer
        started = int(self._environment.now)
        committed = list(self.wanted)
        energy = 0.0
        unsaid: deque[int] = deque()
        for tell_start in announcer.frame_started:
            tell_start(FrameStarted(frame.number, frame.inputs))
        for position in range(schedule.sites):
            self.position = position
            if self._mid_frame:
                for site in schedule.committed_at[position]:
                    committed[site] = self.wanted[site]
            widths = committed[position]
            if self.before_layer is not None:
                self.before_layer()
            unsaid.append(position)
            self._tell_issued(frame, unsaid, committed)
            next_bits, reload = self._requantised(position, committed)
            missing = self._planes.missing(position, widths[0])
            row = schedule.row(position, widths, next_bits, norm_reload=reload, missing_planes=missing)
            issued = int(self._environment.now)
            self._executing = True
            valued = row
            if self.valued_row is not None:
                valued = self.valued_row(row, self._issued(frame, position, committed))
            cycles, scale = yield from self._work_off(valued)
            self._executing = False
            spent = schedule.energies_joules[valued] * scale
            energy += spent
            event = LayerExecuted(
                frame.number, position, widths[0], widths[1], next_bits, reload,
                missing + schedule.planes.streamed(position, widths[0]), issued, int(self._environment.now), cycles,
                schedule.array_cycles[valued], row, scale, spent,
            )  # fmt: skip
            for tell_done in announcer.layer_executed:
                tell_done(event)
            if not self._is_on:
                self._end(frame, "aborted", started, (), energy)
                return
        status = "on_time" if self._environment.now <= frame.deadline_picoseconds else "late"
        self._end(frame, status, started, tuple(committed), energy)

    def _tell_issued(self, frame: Frame, unsaid: deque[int], committed: list[Widths]) -> None:
        """Tell of layers in the order of issue, each once its key consumer is committed."""
        consumers = self._schedule.key_consumers
        while unsaid and not (self._schedule.on_load and consumers[unsaid[0]] > self.position):
            event = self._issued(frame, unsaid.popleft(), committed)
            for tell in self._announcer.layer_issued:
                tell(event)

    def _issued(self, frame: Frame, position: int, committed: list[Widths]) -> LayerIssued:
        """Return what is told of a layer; of its key consumer nothing while that is not committed."""
        consumer = self._schedule.key_consumers[position]
        known = consumer >= 0 and not (self._schedule.on_load and consumer > self.position)
        return LayerIssued(frame.number, position, committed[position], committed[consumer] if known else None)

    def _requantised(self, position: int, committed: list[Widths]) -> tuple[int, bool]:
        """Return the width at which a layer's results leave, and whether norm parameters must be fetched for it."""
        schedule, (weight_bits, activation_bits) = self._schedule, committed[position]
        consumer = schedule.key_consumers[position]
        next_bits = LOGIT_BITS if consumer < 0 or schedule.on_load else committed[consumer][1]
        transition: tuple[int, ...] = (weight_bits, next_bits)
        if schedule.on_load:
            producers = (committed[producer][0] for producer in schedule.keyed_producers[position])
            transition = (activation_bits, *producers, *((weight_bits,) if consumer < 0 else ()))
        reload = self._transitions[position] != transition
        self._transitions[position] = transition
        return next_bits, reload

    def _work_off(self, row: int) -> Generator[simpy.Event, Any, tuple[int, float]]:
        """Run one layer through any change of pace, to its end or until the device is off.

        Returns:
            Cycles done and mean energy scale, which counts only what was done.
        """
        environment, clock, schedule = self._environment, self._clock, self._schedule
        pace = Pace(clock.index, self._bandwidth.share)
        remaining = schedule.cycles_at(row, pace)
        total_cycles, share_left, scale = 0, 1.0, 0.0
        while self._is_on:
            try:
                if clock.ready_picoseconds > environment.now:
                    yield environment.timeout(clock.ready_picoseconds - environment.now)
            except simpy.Interrupt:
                continue
            if pace != (clock.index, self._bandwidth.share):
                before, pace = pace, Pace(clock.index, self._bandwidth.share)
                remaining = schedule.remaining(row, before, pace, remaining)
            hertz = clock.frequency_hertz
            if pace.share == 1.0 and remaining == schedule.cycles[pace.clock][row]:
                duration = schedule.durations_picoseconds[pace.clock][row]
            else:
                duration = duration_picoseconds(remaining, hertz)
            begun, energy_scale = int(environment.now), clock.energy_scale
            self._activity.begin(row, begun, duration, share_left * energy_scale)
            try:
                yield environment.timeout(duration)
            except simpy.Interrupt:
                spent = self._activity.stop(int(environment.now))
                done = min(cycles_done(int(environment.now) - begun, hertz), remaining)
                total_cycles += done
                scale += spent
                share_left = max(share_left - spent / energy_scale, 0.0)
                remaining -= done
                if remaining:
                    continue
                break
            spent = self._activity.stop(int(environment.now))
            return total_cycles + remaining, scale + spent
        return total_cycles, scale
