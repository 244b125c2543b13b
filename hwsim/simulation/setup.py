"""What a simulation is given: the device and its surroundings, the streams, and what their networks compute in step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hwsim.cost import CostTable
from hwsim.device import Device
from hwsim.plant.ambient import Ambient
from hwsim.plant.bandwidth import SharedDram
from hwsim.plant.parameters import CoRunningLoad
from hwsim.plant.power_series import PowerSeries
from hwsim.plant.sensor_faults import SensorFault
from hwsim.simulation.events import LayerIssued
from hwsim.simulation.incoming import StreamSetup
from hwsim.simulation.learning import LearningSetup
from hwsim.simulation.probing import Agreement


@dataclass(frozen=True, kw_only=True)
class Setup:
    """All that a simulation needs.

    Attributes:
        device: The device.
        told_device: As controllers are told that it is; ``None``: as it is.
        streams: What arrives, and who decides for it.
        ambient: Temperature around the device.
        shared_dram: What others take of the DRAM; ``None``: nothing.
        queue_capacity: Most frames of each stream that wait.
        drop_expired: Whether waiting frames past their deadline are dropped.
        decisions: Whether decisions bind layers of the running frame.
        duration_picoseconds: Frames arrive for this long; then the run drains.
        telemetry_picoseconds: Time between rows of telemetry.
        initial_state: Whether the device starts at ambient temperature or settled while idle.
        seed: Root of every random stream.
        faults: What goes wrong with the device's sensors.
        initial_state_of_charge: Of the battery, of 1; only where the device has one.
        harvest: What charges the battery.
        loads: What else the device feeds.
        learning: What it learns while it has nothing else to do.
    """

    device: Device
    streams: tuple[StreamSetup, ...]
    ambient: Ambient
    shared_dram: SharedDram | None = None
    queue_capacity: int
    drop_expired: bool
    decisions: Literal["mid_frame", "frame_boundary"]
    duration_picoseconds: int
    telemetry_picoseconds: int
    initial_state: Literal["ambient", "steady_idle"]
    seed: int
    faults: tuple[SensorFault, ...] = ()
    initial_state_of_charge: float | None = None
    harvest: PowerSeries = PowerSeries.constant(0.0)  # noqa: RUF009 (frozen)
    loads: tuple[CoRunningLoad, ...] = ()
    learning: LearningSetup | None = None
    told_device: Device | None = None

    @property
    def cost_tables(self) -> list[CostTable]:
        """Those of all streams, and of a training step."""
        return [*(stream.costs for stream in self.streams), *([] if self.learning is None else [self.learning.costs])]


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a stream's network computes in step with the simulation.

    Attributes:
        confidences: Those of the frames that finished since the last call, and where that is asked for, of the one
            whose layers are all done.
        array_cycles: What the array takes for an issued layer of the frame that started last, over all its inputs,
            where that depends on values that only flow in the run. The cost table holds its bound.
        agreement: Compares what it answers under two assignments; without a network (a plan refuses probes there)
            all answers agree.
    """

    confidences: Callable[[bool], tuple[float, ...]] = lambda _: ()
    array_cycles: Callable[[LayerIssued], int] | None = None
    agreement: Agreement = lambda frame, own, probe: len(frame.inputs)
