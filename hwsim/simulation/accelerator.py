"""The accelerator: takes frames from the streams' queues and runs them layer by layer, one frame at a time.

A layer's widths are committed when the layer before it is issued, or earlier when a layer is issued whose
norm is keyed by them: the accelerator requantises results for their key consumer as they drain. One that requantises
what it reads (``requantise: on_load``) commits a layer when it is issued itself. What is not committed follows the
controller's wishes, in the middle of a frame too.

The frame of the highest priority goes first, among equals the one that arrived first. A frame that arrives while one of
a lower priority runs preempts it as soon as the layer under way is done: what that frame has on chip is moved to DRAM,
and back before its next layer. What else is on chip, weight planes and norm parameters, serves the stream that runs:
another stream's frame overwrites it, whether it preempts or not.

A probe is a frame of the lowest priority of all: it begins when nothing else is to be done, and whatever arrives
preempts it. It counts as another stream's: what it needs it fetches, and what was on chip is gone (a pessimism, as it
is the same network). So does a training step, between the two: its parts run in the time that frames leave.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import simpy

from hwsim.controllers.base import FinishedFrame
from hwsim.plant.operating_points import cycles_done, duration_picoseconds
from hwsim.simulation.activity import Activity
from hwsim.simulation.bandwidth import Bandwidth
from hwsim.simulation.clock import Clock
from hwsim.simulation.events import Announcer, FrameEnded, FrameStarted, LayerExecuted, Widths
from hwsim.simulation.idle_states import IdleStates
from hwsim.simulation.lane import Frame, Job, Lane
from hwsim.simulation.schedule import Pace, Schedule

Process = Generator[simpy.Event, Any, None]
NEVER_DUE = 1 << 62
"""Deadline of what has none, in picoseconds."""


class Accelerator:
    """One array with its queues.

    Args:
        environment: The simulation.
        lanes: The streams, in the order of the scenario.
        activity: Told of what the array does.
        announcer: Told of what becomes of layers and frames.
        idle_states: Told when there is nothing to do, and asked for the array back.
        shadows: Where probes wait, by the number of their stream; of streams whose controllers ask for some.
        learner: Where training steps wait, if the device learns.
        drop_expired: Whether a waiting frame whose deadline has passed is dropped instead of begun.

    Attributes:
        probe_ended: Called with the stream of a probe and the widths that it ran at; without any if it was aborted.
    """

    def __init__(
        self, environment: simpy.Environment, lanes: Sequence[Lane], activity: Activity, announcer: Announcer, *,
        idle_states: IdleStates, drop_expired: bool, shadows: Mapping[int, Lane] | None = None,
        learner: Lane | None = None,
    ) -> None:  # fmt: skip
        self._environment = environment
        self._streams = tuple(lanes)
        self._shadows = dict(shadows or {})
        self._learner = learner
        self._background = (*self._shadows.values(), *([] if learner is None else [learner]))
        self._lanes = (*lanes, *self._background)
        self._above = {lane: tuple(other for other in lanes if other.priority > lane.priority) for lane in self._lanes}
        self._activity = activity
        self._announcer = announcer
        self._idle_states = idle_states
        self._drop_expired = drop_expired
        self.probe_ended: Callable[[int, tuple[Widths, ...]], None] = lambda stream, widths: None
        self._work = environment.event()
        self._executing = False
        self._is_on = True
        self._running: Lane | None = None
        self._on_chip: Lane | None = None
        self._process: simpy.Process | None = None

    def start(self, clock: Clock, bandwidth: Bandwidth) -> None:
        """Begin to work at this clock, with what is free of the DRAM's bandwidth."""
        self._clock = clock
        self._bandwidth = bandwidth
        self._last_pace = Pace(clock.index, bandwidth.share)
        self._process = self._environment.process(self._run())

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits, but for probes and training steps."""
        return all(lane.next_frame is None for lane in self._streams)

    @property
    def in_background(self) -> bool:
        """Whether a probe or a training step runs or waits."""
        return any(lane.next_frame is not None for lane in self._background)

    def learn(self, step: Frame) -> bool:
        """Begin a training step as soon as there is time, unless one is under way; return whether it was taken."""
        assert self._learner is not None  # who asks has made it
        if not self._is_on or self._learner.next_frame is not None:
            return False
        self._learner.queue.append(step)
        self._call()
        return True

    def probe(self, stream: int, widths: Sequence[Widths]) -> tuple[Frame, tuple[Widths, ...]] | None:
        """Run a stream's last finished frame again at these widths, unless another probe of it is under way.

        Returns:
            That frame, and the widths that it had run at itself; ``None`` if nothing was begun.
        """
        shadow, last = self._shadows[stream], self._streams[stream].last
        if not self._is_on or last is None or shadow.next_frame is not None:
            return None
        frame, _ = last
        shadow.wanted = list(widths)
        shadow.queue.append(replace(frame, is_probe=True, deadline_picoseconds=NEVER_DUE))
        self._call()
        return last

    def arrive(self, frame: Frame) -> None:
        """Queue a frame, or drop it where its stream's queue is full or the device is off."""
        lane = self._streams[frame.stream]
        if not self._is_on or len(lane.queue) >= lane.capacity:
            self._drop(frame, "dropped_queue")
            return
        lane.queue.append(frame)
        self._call()

    def _call(self) -> None:
        """Tell the array that there is work."""
        if not self._work.triggered:
            self._work.succeed()

    def pace_changed(self) -> None:
        """Interrupt the layer that runs: the rest of it goes on at the new clock or share of the DRAM."""
        if self._executing and self._process is not None:
            self._process.interrupt()

    def power_off(self) -> None:
        """Abort the frame that runs and those that wait; what arrives before ``power_on`` is dropped."""
        self._is_on = False
        for lane in self._lanes:
            while lane.queue:
                self._drop(lane.queue.popleft(), "aborted")
            if lane is not self._running:
                self._abort(lane)
        if self._executing and self._process is not None:
            self._process.interrupt()
        self._idle_states.power_off()

    def power_on(self) -> None:
        """Take frames again; nothing that was on chip is left."""
        self._is_on = True
        self._idle_states.power_on()
        for lane in self._lanes:
            lane.forget()

    def _drop(self, frame: Frame, status: str) -> None:
        self._end(Job(frame=frame), status, ())

    def _abort(self, lane: Lane) -> None:
        """End the frame that a stream has begun, if there is one."""
        job, lane.job = lane.job, None
        if job is not None:
            self._end(job, "aborted", ())

    def _end(self, job: Job, status: str, widths: tuple[Widths, ...]) -> None:
        frame = job.frame
        if frame.is_probe:
            self.probe_ended(frame.stream, widths)
            return
        event = FrameEnded(
            frame.number, status, frame.arrival_picoseconds, job.started_picoseconds, int(self._environment.now),
            frame.deadline_picoseconds, frame.inputs, widths, job.energy_joules, frame.stream, job.attempt,
        )  # fmt: skip
        if frame.is_training:
            for tell in self._announcer.step_ended:
                tell(event)
            return
        for tell in self._announcer.frame_ended:
            tell(event)
        if widths:
            self._keep(job, widths, on_time=status == "on_time")

    def _keep(self, job: Job, widths: tuple[Widths, ...], *, on_time: bool) -> None:
        """Keep the frame for a probe, and what became of it for the controller."""
        frame, lane = job.frame, self._streams[job.frame.stream]
        lane.last = frame, widths
        lane.answered_inputs += len(frame.inputs)
        if lane.finished is not None:
            now = int(self._environment.now)
            lane.finished.append(
                FinishedFrame(
                    frame=frame.number, widths=widths, inputs=len(frame.inputs), on_time=on_time,
                    latency_picoseconds=now - frame.arrival_picoseconds,
                    service_picoseconds=now - job.started_picoseconds, energy_joules=job.energy_joules,
                )
            )  # fmt: skip

    def _run(self) -> Process:
        while True:
            while (lane := self._next(self._lanes)) is None:
                self._work = self._environment.event()
                self._idle_states.rest()
                yield self._work
                yield from self._idle_states.wake()
            self._running = lane
            if self._on_chip is not lane:
                lane.forget()
                self._on_chip = lane
            if lane.job is None:
                yield from self._execute(lane, self._begin(lane))
            else:
                yield from self._resume(lane, lane.job)
            self._running = None

    def _next(self, lanes: Sequence[Lane]) -> Lane | None:
        """Return the stream whose frame goes first among these; expired ones are dropped on the way."""
        while ready := [(-lane.priority, frame.number, lane) for lane in lanes if (frame := lane.next_frame)]:
            lane = min(ready)[2] if len(ready) > 1 else ready[0][2]
            if lane.job is not None or not self._drop_expired:
                return lane
            if self._environment.now <= lane.queue[0].deadline_picoseconds:
                return lane
            self._drop(lane.queue.popleft(), "dropped_deadline")
        return None

    def _begin(self, lane: Lane) -> Job:
        frame = lane.queue.popleft()
        job = lane.job = Job(frame=frame, attempt=int(frame.is_probe))
        if lane.before_frame is not None:
            lane.before_frame()
        job.started_picoseconds = int(self._environment.now)
        job.committed = list(lane.wanted)
        self._tell_start(lane, job)
        return job

    def _tell_start(self, lane: Lane, job: Job) -> None:
        for tell in self._announcer.frame_started if job.frame.is_answered else ():
            tell(FrameStarted(job.frame.number, job.frame.inputs, lane.number, job.frame.arrival_picoseconds))

    def _resume(self, lane: Lane, job: Job) -> Process:
        yield from self._move(lane, job, "restore")
        if self._is_on:
            yield from self._execute(lane, job)
        else:
            self._abort(lane)

    def _execute(self, lane: Lane, job: Job) -> Process:
        """Run the layers that are left, to the end of the frame, or until it is preempted or aborted."""
        schedule, above = lane.schedule, self._above[lane]
        for position in range(job.position + 1, schedule.sites):
            yield from self._layer(lane, job, position)
            if self._is_on and above and position + 1 < schedule.sites and self._next(above) is not None:
                yield from self._move(lane, job, "spill")
                if self._is_on:
                    return
            if not self._is_on:
                self._abort(lane)
                return
        if lane.before_answer is not None and (yield from self._runs_again(lane, job, lane.before_answer)):
            yield from self._execute(lane, job)
            return
        if lane.job is None:
            return
        lane.job = None
        on_time = self._environment.now <= job.frame.deadline_picoseconds
        self._end(job, "on_time" if on_time else "late", tuple(job.committed))

    def _runs_again(
        self, lane: Lane, job: Job, before_answer: Callable[[], Sequence[Widths] | None]
    ) -> Generator[simpy.Event, Any, bool]:
        """Hold a frame's first answer while the controller thinks about it, and say whether the frame runs again."""
        if job.attempt:
            return False
        widths = before_answer()
        yield self._environment.timeout(lane.holding_picoseconds)
        if not self._is_on:
            self._abort(lane)
            return False
        if widths is None:
            return False
        job.again(widths)
        self._tell_start(lane, job)
        return True

    def _layer(self, lane: Lane, job: Job, position: int) -> Process:
        schedule, announcer = lane.schedule, self._announcer
        lane.commit(job, position)
        widths = job.committed[position]
        if lane.before_layer is not None:
            lane.before_layer()
        if announcer.layer_issued and job.frame.is_answered:
            job.unsaid.append(position)
            for issued in lane.tellable(job):
                for tell in announcer.layer_issued:
                    tell(issued)
        next_bits, reload = lane.requantised(job)
        missing = lane.missing_planes(job)
        row = schedule.row(position, widths, next_bits, norm_reload=reload, missing_planes=missing)
        begun = int(self._environment.now)
        self._executing = True
        valued = row if lane.valued_row is None else lane.valued_row(row, lane.issued(job, position))
        cycles, scale = yield from self._work_off(schedule, valued)
        self._executing = False
        spent = schedule.energies_joules[valued] * scale
        job.energy_joules += spent
        event = LayerExecuted(
            job.frame.number, position, *widths, next_bits, reload,
            missing + schedule.planes.streamed[position][widths[0]], begun, int(self._environment.now), cycles,
            schedule.array_cycles[valued], row, scale, spent, lane.number, job.purpose, 0, job.attempt,
        )  # fmt: skip
        for tell_done in announcer.layer_executed:
            tell_done(event)

    def _move(self, lane: Lane, job: Job, purpose: str) -> Process:
        """Move what a frame has on chip between two layers to DRAM (``spill``), or back (``restore``).

        It is told even where there is nothing to move, so that every preemption is on record.
        """
        bits, begun = lane.spilled.bits(job.position, job.committed), int(self._environment.now)
        cycles, scale, spent = 0, 0.0, 0.0
        if bits:
            row = lane.spilled.row(bits)
            self._executing = True
            cycles, scale = yield from self._work_off(lane.schedule, row)
            self._executing = False
            spent = lane.schedule.energies_joules[row] * scale
            job.energy_joules += spent
        position = job.position + (purpose == "restore")
        event = LayerExecuted(
            job.frame.number, position, 0, 0, 0, False, 0, begun, int(self._environment.now), cycles, 0, -1, scale,
            spent, lane.number, purpose, bits, job.attempt,
        )  # fmt: skip
        for tell in self._announcer.layer_executed:
            tell(event)

    def _work_off(self, schedule: Schedule, row: int) -> Generator[simpy.Event, Any, tuple[int, float]]:
        """Run one execution through any change of pace, to its end or until the device is off.

        Returns:
            Cycles done and mean energy scale, which counts only what was done.
        """
        environment, clock = self._environment, self._clock
        pace = self._pace()
        remaining = schedule.cycles_at(row, pace)
        total_cycles, share_left, scale = 0, 1.0, 0.0
        while self._is_on:
            try:
                if clock.ready_picoseconds > environment.now:
                    yield environment.timeout(clock.ready_picoseconds - environment.now)
            except simpy.Interrupt:
                continue
            before, pace = pace, self._pace()
            if pace != before:
                remaining = schedule.remaining(row, before, pace, remaining)
            hertz = clock.frequency_hertz
            if pace.share == 1.0 and remaining == schedule.cycles[pace.clock][row]:
                duration = schedule.durations_picoseconds[pace.clock][row]
            else:
                duration = duration_picoseconds(remaining, hertz)
            begun, energy_scale = int(environment.now), clock.energy_scale
            self._activity.begin(schedule.plant_rows[row], begun, duration, share_left * energy_scale)
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
            spent = self._activity.stop(begun + duration)
            return total_cycles + remaining, scale + spent
        return total_cycles, scale

    def _pace(self) -> Pace:
        """Return how fast work goes on now."""
        clock, share = self._clock.index, self._bandwidth.share
        if self._last_pace.clock != clock or self._last_pace.share != share:
            self._last_pace = Pace(clock, share)
        return self._last_pace
