"""What happens in a simulation, and who wants to know.

The simulator tells its observers; recorder, in-step execution and progress bar are observers. Events are
named tuples, since a layer is executed millions of times. ``stream`` is a stream's position in the scenario.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hwsim.controllers.base import Decision, Observation

Widths = tuple[int, int]
"""(weight bits, activation bits) of one site."""


class FrameStarted(NamedTuple):
    """A frame goes on the array."""

    frame: int
    inputs: tuple[int, ...]
    stream: int = 0
    arrival_picoseconds: int = 0


class LayerIssued(NamedTuple):
    """A layer's widths and its key consumer's are committed: as it starts, or as its key consumer does (on_load)."""

    frame: int
    position: int
    widths: Widths
    consumer_widths: Widths | None
    stream: int = 0


class LayerExecuted(NamedTuple):
    """A layer is done; ``row`` is the cost table's, ``array_cycles`` those in which the array worked.

    So are told, too, the tensors that leave the chip (``spill``) after a layer, and return (``restore``) before the
    next one: ``moved_bits`` of them, which may be none, without widths and with -1 as their row.
    """

    frame: int
    position: int
    weight_bits: int
    activation_bits: int
    next_activation_bits: int
    norm_reload: bool
    planes_fetched: int
    start_picoseconds: int
    finish_picoseconds: int
    cycles: int
    array_cycles: int
    row: int
    dynamic_energy_scale: float
    energy_joules: float
    stream: int = 0
    purpose: str = "inference"
    moved_bits: int = 0
    attempt: int = 0


class FrameEnded(NamedTuple):
    """A frame is done, dropped or aborted; ``widths`` are empty if it did not run to its end."""

    frame: int
    status: str
    arrival_picoseconds: int
    start_picoseconds: int
    finish_picoseconds: int
    deadline_picoseconds: int
    inputs: tuple[int, ...]
    widths: tuple[Widths, ...]
    energy_joules: float
    stream: int = 0
    attempt: int = 0


class DecisionTaken(NamedTuple):
    """A controller's decision took effect; ``before`` is empty for the widths that the run starts with."""

    time_picoseconds: int
    effective_picoseconds: int
    frame: int
    next_position: int
    before: tuple[Widths, ...]
    after: tuple[Widths, ...]
    frequency_hertz: int
    reason: str
    stream: int = 0


class ControllerAsked(NamedTuple):
    """A controller was asked and answered, or failed; without an observation it was started.

    Of a failure, ``decision`` is what took its place, if anything did.
    """

    time_picoseconds: int
    observation: Observation | None
    decision: Decision | None
    failed: bool
    stream: int = 0


class BatterySampled(NamedTuple):
    """A look at the battery; means are over the time since the one before."""

    state_of_charge: float
    available_joules: float
    bound_joules: float
    reading: float | None
    drawn_watts: float
    lost_watts: float
    harvested_watts: float


class IdleStateSampled(NamedTuple):
    """What became of one idle state since the sample before: share of the time spent in it, entries, exits."""

    share: float
    entries: int
    exits: int


class TelemetrySampled(NamedTuple):
    """A look at the device, regular or as it is switched; means are over the time since the one before.

    ``queued`` and ``wanted`` have an entry for each stream.
    """

    time_picoseconds: int
    ambient_celsius: float
    node_celsius: tuple[float, ...]
    die_reading_celsius: float | None
    throttle_reading_celsius: float | None
    power_reading_watts: float | None
    frequency_hertz: int
    throttle_cap_hertz: int
    power_watts: float
    leakage_watts: float
    co_running_watts: float
    clock_changes: int
    decisions: int
    busy_share: float
    queued: tuple[int, ...]
    wanted: tuple[tuple[Widths, ...], ...]
    power_state: str
    free_bandwidth_share: float
    battery: BatterySampled | None = None
    idle_states: tuple[IdleStateSampled, ...] = ()


class Observer:
    """Told of what happens, in order of time; override what you want to hear of."""

    def frame_started(self, event: FrameStarted) -> None:
        """Handle the start of a frame."""

    def layer_issued(self, event: LayerIssued) -> None:
        """Handle the issue of a layer."""

    def layer_executed(self, event: LayerExecuted) -> None:
        """Handle a layer that is done."""

    def frame_ended(self, event: FrameEnded) -> None:
        """Handle a frame that is done or dropped."""

    def step_ended(self, event: FrameEnded) -> None:
        """Handle a training step that is done, or aborted if it has no widths."""

    def decision_taken(self, event: DecisionTaken) -> None:
        """Handle a decision that took effect."""

    def controller_asked(self, event: ControllerAsked) -> None:
        """Handle a question to a controller, with its answer."""

    def telemetry_sampled(self, event: TelemetrySampled) -> None:
        """Handle a row of telemetry."""


class OfStream(Observer):
    """Passes on to another observer what happens to the frames of one stream."""

    def __init__(self, observer: Observer, stream: int) -> None:
        self._observer = observer
        self._stream = stream

    def frame_started(self, event: FrameStarted) -> None:
        """Pass it on."""
        if event.stream == self._stream:
            self._observer.frame_started(event)

    def layer_issued(self, event: LayerIssued) -> None:
        """Pass it on."""
        if event.stream == self._stream:
            self._observer.layer_issued(event)

    def frame_ended(self, event: FrameEnded) -> None:
        """Pass it on."""
        if event.stream == self._stream:
            self._observer.frame_ended(event)


class Announcer:
    """Tells observers, each only of what it overrides: a layer is executed millions of times."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.frame_started = _listeners(observers, "frame_started")
        self.layer_issued = _listeners(observers, "layer_issued")
        self.layer_executed = _listeners(observers, "layer_executed")
        self.frame_ended = _listeners(observers, "frame_ended")
        self.step_ended = _listeners(observers, "step_ended")
        self.decision_taken = _listeners(observers, "decision_taken")
        self.controller_asked = _listeners(observers, "controller_asked")
        self.telemetry_sampled = _listeners(observers, "telemetry_sampled")


def _listeners(observers: Sequence[Observer], event: str) -> tuple[Callable[[Any], None], ...]:
    unchanged = getattr(Observer, event)
    return tuple(getattr(each, event) for each in observers if getattr(type(each), event) is not unchanged)
