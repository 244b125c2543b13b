"""What a device knows of itself: sampled, noisy, quantised, late, and sometimes wrong or silent."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.errors import ConfigurationError, InvariantError
from hwsim.plant.sensor_faults import FaultState


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """A sensor of some quantity, in whose unit step and noise are.

    Attributes:
        period_picoseconds: Time from sample to sample.
        step: Distance of two readings; 0 for a continuous one.
        noise: Standard deviation of a sample, before it is quantised.
        delay_picoseconds: Time from a sample to its reading.

    Raises:
        ConfigurationError: The period is not positive, or another value is negative.
    """

    period_picoseconds: int
    step: float = 0.0
    noise: float = 0.0
    delay_picoseconds: int = 0

    def __post_init__(self) -> None:
        if self.period_picoseconds <= 0 or min(self.step, self.noise, self.delay_picoseconds) < 0:
            raise ConfigurationError(
                f"sensor: expected a period above 0, and step, noise and delay of 0 or more; got {self}"
            )

    def sample(self, true_value: float, generator: np.random.Generator) -> float:
        """Return one noisy, quantised sample.

        One number is drawn whatever the noise is, so that runs at different noise share their draws.
        """
        noisy = true_value + self.noise * float(generator.standard_normal())
        return round(noisy / self.step) * self.step if self.step else noisy


class SensorChannel:
    """The samples of one sensor on their way to a reader.

    Args:
        sensor: The sensor.
        faults: What may be wrong with it on the way to this reader. Where several fail at once, silence wins.
    """

    def __init__(self, sensor: Sensor, faults: Sequence[FaultState] = ()) -> None:
        self._sensor = sensor
        self._faults = faults
        self._samples: deque[tuple[int, float | None]] = deque()
        self._last_value: float | None = None
        self._last_valid: int | None = None

    def sample(self, time_picoseconds: int, true_value: float, generator: np.random.Generator) -> float:
        """Take a sample now, to be read after the sensor's delay; return it as a sensor that works gives it."""
        healthy = self._sensor.sample(true_value, generator)
        self.take(time_picoseconds, healthy)
        return healthy

    def take(self, time_picoseconds: int, healthy: float) -> None:
        """Take a sample that was made now for another reader, too."""
        modes = {fault.mode for fault in self._faults if fault.active(time_picoseconds)}
        if "stuck" not in modes or self._last_value is None:
            self._last_value = healthy
        self._samples.append((time_picoseconds, None if "missing" in modes else self._last_value))
        if len(self._samples) == 1:
            self._note_current()

    def read(self, time_picoseconds: int) -> float | None:
        """Return the last sample taken at or before ``time - delay``; ``None`` where it is missing.

        Until one is that old, the first sample stands in: the device was on before the run began.

        Raises:
            InvariantError: No sample has been taken.
        """
        self._move_on(time_picoseconds)
        return self._samples[0][1]

    def age_picoseconds(self, time_picoseconds: int) -> int | None:
        """Return how long ago the last sample was taken that can be read and holds a value; ``None``: there is none.

        Raises:
            InvariantError: No sample has been taken.
        """
        self._move_on(time_picoseconds)
        return None if self._last_valid is None else time_picoseconds - self._last_valid

    def _move_on(self, time_picoseconds: int) -> None:
        if not self._samples:
            raise InvariantError("a sensor was read before its first sample: sample it at the start of the run")
        latest = time_picoseconds - self._sensor.delay_picoseconds
        while len(self._samples) > 1 and self._samples[1][0] <= latest:
            self._samples.popleft()
            self._note_current()

    def _note_current(self) -> None:
        time, value = self._samples[0]
        if value is not None:
            self._last_valid = time
