"""The device's power sensor: what the whole device drew in the mean since the sample before."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import simpy

from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND
from hwsim.plant.plant import Plant
from hwsim.plant.sensor_faults import FaultState
from hwsim.plant.sensors import Sensor, SensorChannel


class PowerMeter:
    """Samples the plant's power; the first sample is what the device draws as the run begins.

    Args:
        environment: The simulation's time.
        sensor: What it does to a sample, in watts.
        faults: What may be wrong with it.
        plant: Draws the power.
        synchronise: Brings the plant up to now.
        noise: The sensor's own stream.
    """

    def __init__(
        self, environment: simpy.Environment, sensor: Sensor, faults: Sequence[FaultState], plant: Plant, *,
        synchronise: Callable[[], None], noise: np.random.Generator,
    ) -> None:  # fmt: skip
        self._environment = environment
        self._channel = SensorChannel(sensor, faults)
        self._channel.sample(0, float(plant.mean_power_watts.sum()), noise)
        environment.process(self._measure(sensor.period_picoseconds, plant, synchronise, noise))

    @property
    def reading(self) -> float | None:
        """Watts as they can be read now; ``None`` while the sensor gives none."""
        return self._channel.read(int(self._environment.now))

    def _measure(
        self, period_picoseconds: int, plant: Plant, synchronise: Callable[[], None], noise: np.random.Generator
    ) -> Generator[simpy.Event, Any, None]:
        seconds, before = period_picoseconds / PICOSECONDS_PER_SECOND, 0.0
        while True:
            yield self._environment.timeout(period_picoseconds)
            synchronise()
            joules = plant.plant_energy_joules
            self._channel.sample(int(self._environment.now), (joules - before) / seconds, noise)
            before = joules
