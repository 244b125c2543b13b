"""The protocol between a controller and the device that it steers.

A controller sees observations, never the plant, and returns decisions. Its state is explicit: the same object
runs in the simulator, in replay and in tests. What it draws at random comes from the generator it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import LayerGraph
from hwsim.cost import CostTable

Wake = Literal["tick", "frame", "layer", "finish"]
"""When a controller is asked: at a fixed period, before each frame, each layer, the leaving of each frame's answer."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatView:
    """The device's heat as its profile states it: what a datasheet tells, never the state that it is in.

    With x the n nodes' rise over ambient: capacities dx/dt = -conductances x + power.

    Attributes:
        capacities_joules_per_kelvin: [n].
        conductances_watts_per_kelvin: [n, n], positive definite: between nodes, and to ambient on the diagonal.
        sensor_node: Position of the node that the die's sensor looks at.
        constant_watts: [n], drawn at all times.
        leakage_node: Position of the node that leaks.
        leakage_watts: Its leakage at the reference temperature.
        leakage_reference_celsius: That temperature.
        leakage_slope_per_kelvin: It grows by exp(slope x kelvin).
    """

    capacities_joules_per_kelvin: NDArray[np.float64]
    conductances_watts_per_kelvin: NDArray[np.float64]
    sensor_node: int
    constant_watts: NDArray[np.float64]
    leakage_node: int
    leakage_watts: float
    leakage_reference_celsius: float
    leakage_slope_per_kelvin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryView:
    """The device's battery as its profile states it.

    Attributes:
        capacity_joules: Both wells full.
        available_share: Of it that can be drawn at once.
        valve_per_second: Joules per second from the other well for each joule of difference in heads.
        cut_off: Filling of the available well, of 1, at which the device goes off.
        resting_watts: What the device draws awake without any work: constant powers, and the profile's leakage.
    """

    capacity_joules: float
    available_share: float
    valve_per_second: float
    cut_off: float
    resting_watts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """What a controller may know of the device.

    Attributes:
        frequencies_hertz: Clocks, fastest first.
        trip_celsius: Temperatures at which the device throttles itself, ascending.
        maximum_junction_celsius: Rated limit of the die.
        decision_picoseconds: Time from an observation to the effect of the decision on it.
        energy_scales: Factor of each clock's voltage on dynamic energies.
        heat: How it heats up, by its profile; ``None`` if that is not known.
        battery: What feeds it; ``None`` on the mains.
    """

    frequencies_hertz: tuple[int, ...]
    trip_celsius: tuple[float, ...]
    maximum_junction_celsius: float
    decision_picoseconds: int
    energy_scales: tuple[float, ...] = ()
    heat: HeatView | None = None
    battery: BatteryView | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkView:
    """What a controller may know of the network.

    Attributes:
        graph: Its sites and the widths that each allows.
        costs: Cycles and energy of each site at each width, for a whole frame's inputs.
        accuracies: Uniform width -> accuracy, as measured once after training, on the data of the training; empty if
            that is not known. What it is worth on the inputs of the run is another matter.
    """

    graph: LayerGraph
    costs: CostTable
    accuracies: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedFrame:
    """What became of a frame that ran to its end.

    Attributes:
        frame: Its number.
        widths: The (weight, activation) bits that its sites ran at, by position.
        inputs: How many inputs it had.
        on_time: Whether it met its deadline.
        latency_picoseconds: From its arrival to its end.
        service_picoseconds: From the issue of its first layer to its end, the time in which it was preempted included.
        energy_joules: Dynamic energy of its layers.
    """

    frame: int
    widths: tuple[tuple[int, int], ...]
    inputs: int
    on_time: bool
    latency_picoseconds: int
    service_picoseconds: int
    energy_joules: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What a probe told of a frame.

    Attributes:
        frame: The frame that was run again.
        widths: The bits that the frame itself had run at, by position.
        inputs: How many inputs it had.
        agreeing: For how many of them both runs name the same class. What the true class is, nobody tells.
    """

    frame: int
    widths: tuple[tuple[int, int], ...]
    inputs: int
    agreeing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a controller sees when it is asked.

    Each stream has a controller of its own: frames, queue, widths and confidences are those of its stream.

    Attributes:
        time_picoseconds: Now.
        wake: Why it is asked.
        die_celsius: The sensor's last reading; ``None`` while the sensor gives none.
        die_age_picoseconds: How long ago the last reading with a value was taken; ``None`` if there never was one.
        free_bandwidth_share: Share of the DRAM's bandwidth that others left in the last period of the device's counter;
            ``None`` on a device without one and while it is silent.
        frequency_hertz: Clock of the array.
        throttle_cap_hertz: Highest clock that the device allows now.
        queued_deadlines_picoseconds: Deadlines of the waiting frames, oldest first.
        frame: Number of the frame that has begun: it is on the array, or another stream's frame preempted it; ``None``
            if there is none.
        frame_deadline_picoseconds: Its deadline; ``None`` if there is none.
        first_uncommitted: Position of the first site of that frame that can still change; the number of sites
            where none can, 0 if there is no frame.
        wanted: (weight, activation) bits that uncommitted sites will get, by position.
        confidences: Mean top probability of each frame finished since the last observation; empty unless the
            controller needs outputs. At a ``finish`` wake the last one is that of the frame whose answer is held.
        state_of_charge: What the battery's gauge read last, of 1; ``None`` on the mains and while the gauge is silent.
        power_watts: The power sensor's last reading, a mean over its period; ``None`` without one, or while silent.
        stream: Name of the stream.
        finished: Frames that ran to their end since the last observation.
        probes: Probes that were completed since then.
    """

    time_picoseconds: int
    wake: Wake
    die_celsius: float | None
    die_age_picoseconds: int | None
    frequency_hertz: int
    throttle_cap_hertz: int
    queued_deadlines_picoseconds: tuple[int, ...]
    frame: int | None
    frame_deadline_picoseconds: int | None
    first_uncommitted: int
    wanted: tuple[tuple[int, int], ...]
    confidences: tuple[float, ...]
    free_bandwidth_share: float | None = None
    state_of_charge: float | None = None
    power_watts: float | None = None
    stream: str = ""
    finished: tuple[FinishedFrame, ...] = ()
    probes: tuple[ProbeResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A wish to run the last finished frame again, while nothing else is to be done, to compare its answers.

    It costs time, energy and heat as any frame does; frames that arrive preempt it between two layers. One that is
    wished for while another is under way, or before a frame is finished, is passed over.

    Attributes:
        widths: Bits of sites, by name; those that are not named run at their highest.
    """

    widths: Mapping[str, BitWidths] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a controller wants from now on.

    Attributes:
        widths: Widths of sites, by name; sites that are not named keep what they have.
        frequency_hertz: Requested clock (the device takes the highest that the streams request, or its throttle's cap
            if that is lower); ``None`` leaves the request as it is.
        reason: Why, in a few words, for the records.
        probe: A probe to be made; only by controllers that declare ``probes = True``.
        rerun: At a ``finish`` wake: run the frame again before its answer leaves, with these bits of sites, by name;
            those that are not named run at their highest. The frame's answer is that of the second run.
    """

    widths: Mapping[str, BitWidths]
    frequency_hertz: int | None = None
    reason: str
    probe: Probe | None = None
    rerun: Mapping[str, BitWidths] | None = None


@runtime_checkable
class Controller(Protocol):
    """Decides at run time.

    Attributes:
        wakes_on: When it is asked.
        tick_picoseconds: Period of ``tick`` wakes.
        needs_outputs: Whether it reads the confidence of finished frames.

    A controller that asks for probes has an attribute ``probes``, which is true.
    """

    wakes_on: frozenset[Wake]
    tick_picoseconds: int
    needs_outputs: bool

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, Any]:
        """Return the widths to start with (all sites) and the first state."""
        ...

    def decide(
        self, observation: Observation, state: Any, generator: np.random.Generator
    ) -> tuple[Decision | None, Any]:
        """Return a decision (``None``: nothing changes) and the next state."""
        ...
