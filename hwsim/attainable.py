"""What a stream's frames could be worth on its device, heat and time counted in: from a plan to ``hwsim.oracle``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.controllers.actions import Ladder
from hwsim.device import Device
from hwsim.heat_bounds import bounded_heat
from hwsim.oracle import Frames, Heat, most_worth
from hwsim.planning import Plan
from hwsim.plant.power import dynamic_energy_scale
from hwsim.plant.throttling import BangBang

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Machine:
    """What a device allows a ladder of K rungs; a mode is a rung at a clock.

    Attributes:
        rung: [M] of each mode.
        seconds: [M] that a frame takes.
        joules: [M, nodes] that it spends where it warms the device.
        saved: [M] worth of the energy that a lower voltage saves.
        block_seconds: Length of a block.
        heat: How the device warms and throttles, where that is bounded (``hwsim.heat_bounds``).
    """

    rung: NDArray[np.intp]
    seconds: FloatArray
    joules: FloatArray
    saved: FloatArray
    block_seconds: float
    heat: Heat | None

    def bound(self, worth: FloatArray, deadlines_seconds: FloatArray, allowed_seconds: float) -> float:
        """Return a bound on the mean worth of n frames.

        Args:
            worth: [n, K] of each at each rung if it is on time.
            deadlines_seconds: [n].
            allowed_seconds: The longest time from an arrival to its deadline.
        """
        blocks = (deadlines_seconds / self.block_seconds).astype(np.intp)
        alike, count = np.unique(np.column_stack([blocks, worth]), axis=0, return_counts=True)
        frames = Frames(
            block=alike[:, 0].astype(np.intp), count=count.astype(np.float64),
            worth=alike[:, 1:][:, self.rung] + self.saved, rung=self.rung, seconds=self.seconds, joules=self.joules,
            block_seconds=self.block_seconds, allowed_seconds=allowed_seconds,
        )  # fmt: skip
        return most_worth(frames, self.heat) / len(worth)


def machine(planned: Plan, stream: int, ladder: Ladder, *, price_per_joule: float, end_seconds: float) -> Machine:
    """Return what a plan's device allows the ladder of one of its streams.

    Args:
        planned: The plan.
        stream: Position of the stream.
        ladder: Of its network on the device as it is.
        price_per_joule: What a joule is worth.
        end_seconds: The last deadline.
    """
    device, costs = planned.device, planned.streams[stream].costs
    scales = np.array([
        dynamic_energy_scale(point.voltage_volts, device.nominal_voltage_volts)
        for point in device.operating_points.points
    ])  # fmt: skip
    clocks = _clocks(device, scales)
    rung, clock = (each.ravel() for each in np.meshgrid(np.arange(len(ladder)), clocks, indexing="ij"))
    joules = np.array([costs.frame_node_energy_joules(each)[:-1] for each in ladder.assignments])
    block, heat = bounded_heat(planned, ladder, joules, clock, end_seconds)
    return Machine(
        rung=rung, seconds=ladder.seconds[rung, clock], joules=joules[rung] * scales[clock][:, None],
        saved=price_per_joule * ladder.joules[rung] * (1.0 - scales[clock]), block_seconds=block, heat=heat,
    )  # fmt: skip


def _clocks(device: Device, scales: FloatArray) -> NDArray[np.intp]:
    """Return the clocks among which there is a best one: where voltage is the same, the fastest under each cap."""
    if not np.allclose(scales, scales[0]) or not isinstance(device.throttling, BangBang):
        return np.arange(len(scales))
    caps = {trip.frequency_cap_hertz for trip in device.throttling.trips}
    return np.array([0, *(at for at, hertz in enumerate(device.frequencies_hertz) if at and hertz in caps)])
