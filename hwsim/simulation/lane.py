"""One stream at the array: the frames that wait, the one that has begun, and what is on chip for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bitmixer.graph import LOGIT_BITS
from hwsim.controllers.base import FinishedFrame
from hwsim.simulation.events import LayerIssued, Widths
from hwsim.simulation.schedule import Schedule
from hwsim.simulation.spilled_tensors import SpilledTensors
from hwsim.simulation.weight_planes import WeightPlanes

NEVER = -1
"""Start of a frame that never ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One unit of arriving work; ``number`` counts all streams' frames in the order of arrival.

    It is a probe where a frame that is finished runs again, to compare what it answers, and a training step where the
    device learns: those are numbered by themselves.
    """

    number: int
    arrival_picoseconds: int
    deadline_picoseconds: int
    inputs: tuple[int, ...]
    stream: int = 0
    is_probe: bool = False
    is_training: bool = False

    @property
    def is_answered(self) -> bool:
        """Whether somebody waits for what the network says."""
        return not (self.is_probe or self.is_training)


@dataclass(slots=True, kw_only=True)
class Job:
    """A frame that has begun.

    Attributes:
        frame: The frame.
        started_picoseconds: When its first layer was issued.
        position: Position of the layer that runs or ran last; -1 before the first.
        committed: Widths by position; those of sites that are not committed yet may still change.
        energy_joules: Spent so far.
        unsaid: Positions of issued layers of which nobody has been told yet.
        attempt: How often the frame ran before.
    """

    frame: Frame
    started_picoseconds: int = NEVER
    position: int = -1
    committed: list[Widths] = field(default_factory=list)
    energy_joules: float = 0.0
    unsaid: deque[int] = field(default_factory=deque)
    attempt: int = 0

    @property
    def purpose(self) -> str:
        """What its layers are executed for."""
        if self.frame.is_training:
            return "training"
        if self.frame.is_probe:
            return "probe"
        return "rerun" if self.attempt else "inference"

    def again(self, widths: Sequence[Widths]) -> None:
        """Begin the frame anew at other widths, which are fixed."""
        self.attempt += 1
        self.position = -1
        self.committed = list(widths)
        self.unsaid.clear()


class Lane:
    """A stream's place at the array, as its controller steers it.

    Attributes:
        name: The stream's name.
        number: Its position in the scenario.
        priority: A higher one goes first, and preempts at the next boundary between layers; that of probes is the
            lowest of all.
        schedule: Look-ups of its network.
        spilled: What leaves the chip with a frame that is preempted.
        capacity: Most frames that wait.
        queue: Frames that wait.
        job: The frame that has begun, be it on the array or preempted.
        wanted: Widths that sites will get when they are committed, by position.
        before_frame: Called before a frame starts.
        before_layer: Called before a layer is issued.
        before_answer: Called before a frame's answer leaves; returns the widths at which it is to run again, or none.
        holding_picoseconds: How long an answer is held for that.
        last: The frame that ran to its end last, with its widths.
        answered_inputs: Inputs of all frames that ran to their end.
        finished: What became of frames, until the controller is told; ``None`` where nobody wants to know.
        valued_row: Gives the row of what an issued layer really takes, given its row in the cost table; where values
            make no difference, there is none.
    """

    def __init__(
        self, schedule: Schedule, spilled: SpilledTensors, *, name: str, number: int, priority: float, capacity: int,
        decisions: Literal["mid_frame", "frame_boundary"],
    ) -> None:  # fmt: skip
        self.name = name
        self.number = number
        self.priority = priority
        self.schedule = schedule
        self.spilled = spilled
        self.capacity = capacity
        self.mid_frame = decisions == "mid_frame"
        self.queue: deque[Frame] = deque()
        self.job: Job | None = None
        self.wanted: list[Widths] = []
        self.before_frame: Callable[[], object] | None = None
        self.before_layer: Callable[[], object] | None = None
        self.before_answer: Callable[[], Sequence[Widths] | None] | None = None
        self.holding_picoseconds = 0
        self.last: tuple[Frame, tuple[Widths, ...]] | None = None
        self.answered_inputs = 0
        self.finished: list[FinishedFrame] | None = None
        self.valued_row: Callable[[int, LayerIssued], int] | None = None
        self.forget()

    @property
    def frame(self) -> Frame | None:
        """The frame that has begun."""
        return None if self.job is None else self.job.frame

    @property
    def next_frame(self) -> Frame | None:
        """The frame that goes on the array next: the one that was preempted, or the one that waits longest."""
        if self.job is not None:
            return self.job.frame
        return self.queue[0] if self.queue else None

    @property
    def first_uncommitted(self) -> int:
        """Position of the first site of the frame that can still change (see ``Observation``)."""
        if self.job is None:
            return 0
        if not self.mid_frame or self.job.attempt:
            return self.schedule.sites
        return 0 if self.job.position < 0 else self.schedule.first_uncommitted[self.job.position]

    def forget(self) -> None:
        """Nothing that was on chip for this stream is left."""
        self._transitions: list[tuple[int, ...] | None] = [None] * self.schedule.sites
        self._planes = WeightPlanes(self.schedule.planes)

    def commit(self, job: Job, position: int) -> None:
        """Issue the layer at a position: the widths that this fixes are those that are wanted now."""
        job.position = position
        if self.mid_frame and not job.attempt:
            for site in self.schedule.committed_at[position]:
                job.committed[site] = self.wanted[site]

    def missing_planes(self, job: Job) -> int:
        """Return the planes that the issued layer must fetch though the chip keeps them; they are there after it."""
        return self._planes.missing(job.position, job.committed[job.position][0])

    def issued(self, job: Job, position: int) -> LayerIssued:
        """Return what is told of a layer; of its key consumer nothing while that is not committed."""
        consumer = self.schedule.key_consumers[position]
        known = consumer >= 0 and not (self.schedule.on_load and consumer > job.position)
        consumer_widths = job.committed[consumer] if known else None
        return LayerIssued(job.frame.number, position, job.committed[position], consumer_widths, self.number)

    def tellable(self, job: Job) -> list[LayerIssued]:
        """Return layers in the order of issue, each once, as soon as its key consumer is committed."""
        consumers, told = self.schedule.key_consumers, []
        while job.unsaid and not (self.schedule.on_load and consumers[job.unsaid[0]] > job.position):
            told.append(self.issued(job, job.unsaid.popleft()))
        return told

    def requantised(self, job: Job) -> tuple[int, bool]:
        """Return the width at which the issued layer's results leave, and whether norm parameters must be fetched."""
        schedule, position, committed = self.schedule, job.position, job.committed
        weight_bits, activation_bits = committed[position]
        consumer = schedule.key_consumers[position]
        next_bits = LOGIT_BITS if consumer < 0 or schedule.on_load else committed[consumer][1]
        transition: tuple[int, ...] = (weight_bits, next_bits)
        if schedule.on_load:
            producers = (committed[producer][0] for producer in schedule.keyed_producers[position])
            transition = (activation_bits, *producers, *((weight_bits,) if consumer < 0 else ()))
        reload = self._transitions[position] != transition
        self._transitions[position] = transition
        return next_bits, reload
