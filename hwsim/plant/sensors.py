"""What a device knows of itself: sampled, noisy, quantised and late."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from hwsim.errors import ConfigurationError, InvariantError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """A temperature sensor.

    Attributes:
        period_picoseconds: Time from sample to sample.
        step_kelvin: Distance of two readings; 0 for a continuous one.
        noise_kelvin: Standard deviation of a sample, before it is quantised.
        delay_picoseconds: Time from a sample to its reading.

    Raises:
        ConfigurationError: The period is not positive, or another value is negative.
    """

    period_picoseconds: int
    step_kelvin: float = 0.0
    noise_kelvin: float = 0.0
    delay_picoseconds: int = 0

    def __post_init__(self) -> None:
        if self.period_picoseconds <= 0 or min(self.step_kelvin, self.noise_kelvin, self.delay_picoseconds) < 0:
            raise ConfigurationError(
                f"sensor: expected a period above 0, and step, noise and delay of 0 or more; got {self}"
            )

    def sample(self, true_celsius: float, generator: np.random.Generator) -> float:
        """Return one noisy, quantised sample in degrees Celsius.

        One number is drawn whatever the noise is, so that runs at different noise share their draws.
        """
        noisy = true_celsius + self.noise_kelvin * float(generator.standard_normal())
        return round(noisy / self.step_kelvin) * self.step_kelvin if self.step_kelvin else noisy


class SensorChannel:
    """The samples of one sensor on their way to the reader."""

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor
        self._samples: deque[tuple[int, float]] = deque()

    def sample(self, time_picoseconds: int, true_celsius: float, generator: np.random.Generator) -> None:
        """Take a sample now; it can be read after the sensor's delay."""
        self._samples.append((time_picoseconds, self._sensor.sample(true_celsius, generator)))

    def read(self, time_picoseconds: int) -> float:
        """Return the last sample taken at or before ``time - delay``.

        Until one is that old, the first sample stands in: the device was on before the run began.

        Raises:
            InvariantError: No sample has been taken.
        """
        if not self._samples:
            raise InvariantError("a sensor was read before its first sample: sample it at the start of the run")
        latest = time_picoseconds - self._sensor.delay_picoseconds
        while len(self._samples) > 1 and self._samples[1][0] <= latest:
            self._samples.popleft()
        return self._samples[0][1]
