"""Connects the device to its battery, disconnects it when that is empty, and reads the battery's gauge."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import simpy

from hwsim.cost import CostTable
from hwsim.device import Device
from hwsim.plant.battery import NEVER_SECONDS
from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND
from hwsim.plant.power import dynamic_energy_scale
from hwsim.plant.sensor_faults import FaultState
from hwsim.plant.sensors import Sensor, SensorChannel
from hwsim.plant.shutdown import BROWN_OUT
from hwsim.plant.supply import Supply
from hwsim.simulation.events import BatterySampled
from hwsim.simulation.power_switch import PowerSwitch

Process = Generator[simpy.Event, Any, None]

RESOLUTION_SECONDS = 1e-9
"""A cut-off or restart this near is now: the energy of less drowns in the rounding of a large battery's charge."""
LEAKAGE_MARGIN = 2.0
"""Leakage is taken to stay below this much of what it is at the rated temperature."""


def most_watts(device: Device, costs: CostTable, *, values_save_cycles: bool, moves_tensors: bool = False) -> float:
    """Return a bound on what the device can draw: constant power, leakage when hot, and its hungriest layer.

    Args:
        device: The device.
        costs: What layers cost on it.
        values_save_cycles: Whether an execution may take fewer array cycles than the table says; it cannot be faster
            than memory and vector unit.
        moves_tensors: Whether tensors of preempted frames are moved, which may draw more than any layer.
    """
    cycles = costs.total_cycles if costs.other_cycles is None or not values_save_cycles else costs.other_cycles
    hertz = np.array(costs.frequencies_hertz)[:, None]
    seconds = np.maximum(cycles.reshape(len(hertz), -1), 1) / hertz
    scales = [
        dynamic_energy_scale(point.voltage_volts, device.nominal_voltage_volts)
        for point in device.operating_points.points
    ]
    dynamic = float(np.max(np.array(scales)[:, None] * costs.energy_joules.reshape(-1) / seconds))
    if moves_tensors:
        moved = device.memory.dram_bandwidth_bits_per_second * device.energy_table.joules_per_action("dram_bit")
        dynamic = max(dynamic, moved * max(scales))
    leakage = LEAKAGE_MARGIN * device.leakage.watts_at(device.maximum_junction_celsius)
    return math.fsum(device.constant_powers_watts) + leakage + dynamic


class PowerSupply:
    """Watches the supply of one device.

    The plant integrates lazily, so the cut-off must be foreseen. What the device can draw is bounded, hence also the
    earliest moment at which the battery can reach its cut-off: there it is looked at again, and so on. Each look
    leaves the same part of the way or less, so that some dozens meet the moment to ``RESOLUTION_SECONDS``. The energy
    of a controller's decisions and of changes of the clock is outside the bound, and what a tiled layer still has to
    spend as the DRAM becomes free; it can make the cut-off late by as much as it lasts.
    """

    def __init__(
        self, environment: simpy.Environment, power: PowerSwitch, supply: Supply, *,
        most_watts: float, synchronise: Callable[[], None], gauge_faults: Sequence[FaultState] = (),
    ) -> None:  # fmt: skip
        self._environment = environment
        self._power = power
        self._supply = supply
        self._most_watts = most_watts
        self._synchronise = synchronise
        self._watches = 0
        self._before = (0, 0.0, 0.0, 0.0)
        gauge = supply.pack.gauge
        self._gauge = SensorChannel(Sensor(period_picoseconds=gauge.period_picoseconds, step=gauge.step), gauge_faults)
        self._gauge.take(0, gauge.reading(supply.state_of_charge))
        self.look_again()
        environment.process(self._read_gauge())

    @property
    def reading(self) -> float | None:
        """What the gauge read last of the state of charge; ``None`` while it gives none."""
        return self._gauge.read(int(self._environment.now))

    def look_again(self) -> None:
        """Look at the battery now: the device draws power again, so that what was foreseen no longer holds."""
        self._watches += 1
        self._environment.process(self._watch(self._watches))

    def sample(self) -> BatterySampled:
        """Return the battery now, and its means since the sample before; the plant must stand at now."""
        supply = self._supply
        sums = (int(self._environment.now), supply.drawn_joules, supply.lost_joules, supply.harvested_joules)
        elapsed, *joules = (after - before for after, before in zip(sums, self._before, strict=True))
        self._before = sums
        drawn, lost, harvested = (each * PICOSECONDS_PER_SECOND / elapsed if elapsed else 0.0 for each in joules)
        return BatterySampled(
            state_of_charge=supply.state_of_charge,
            available_joules=supply.charge.available_joules,
            bound_joules=supply.charge.bound_joules,
            reading=self.reading,
            drawn_watts=drawn,
            lost_watts=lost,
            harvested_watts=harvested,
        )

    def _watch(self, watch: int) -> Process:
        power, supply = self._power, self._supply
        while watch == self._watches:
            self._synchronise()
            now = int(self._environment.now)
            if BROWN_OUT in power.causes:
                seconds = supply.seconds_to_restart(now)
                wait, switch = min(seconds, supply.seconds_to_step(now)), power.switch_on
            else:
                most_watts = self._most_watts if power.is_powered else 0.0
                seconds = supply.seconds_to_cut_off(now, most_watts)
                wait, switch = supply.seconds_between_looks(now, most_watts), power.switch_off
            if seconds < RESOLUTION_SECONDS:
                switch(BROWN_OUT)
            wait = min(wait, NEVER_SECONDS)
            yield self._environment.timeout(max(int(wait * PICOSECONDS_PER_SECOND), 1))

    def _read_gauge(self) -> Process:
        gauge = self._supply.pack.gauge
        while True:
            yield self._environment.timeout(gauge.period_picoseconds)
            self._synchronise()
            self._gauge.take(int(self._environment.now), gauge.reading(self._supply.state_of_charge))
