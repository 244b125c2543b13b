"""What others take of the DRAM, and what they leave to the accelerator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from hwsim.errors import ConfigurationError


class BackgroundTraffic(Protocol):
    """Other masters of the DRAM: processors, cameras, displays."""

    def changes(self, generator: np.random.Generator) -> Iterator[tuple[int, float]]:
        """Yield (time in picoseconds, bits per second wanted from then on), ascending, the first at 0.

        Args:
            generator: The traffic's own stream; nobody else draws from it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SteppedTraffic:
    """Traffic that keeps a rate until the next time; nothing is drawn.

    Attributes:
        steps: (time in picoseconds, bits per second), times strictly ascending, the first at 0.

    Raises:
        ConfigurationError: No step, times that do not ascend from 0, or a rate below 0.
    """

    steps: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        ascends = all(after[0] > before[0] for before, after in pairwise(self.steps))
        if not self.steps or self.steps[0][0] != 0 or not ascends or any(not rate >= 0 for _, rate in self.steps):
            raise ConfigurationError(
                f"background traffic: expected times that ascend from 0, and rates of 0 or more; got {list(self.steps)}"
            )

    def changes(self, generator: np.random.Generator) -> Iterator[tuple[int, float]]:
        """Yield the steps."""
        yield from self.steps


@dataclass(frozen=True, slots=True, kw_only=True)
class OnOffTraffic:
    """Traffic at one rate for a time, then none for a time: a Markov chain of two states.

    The fluid source of Anick, Mitra and Sondhi (Stochastic theory of a data-handling system with multiple sources, Bell
    System Technical Journal 61, 1982): times on and off are exponentially distributed. How it starts is drawn from the
    stationary distribution.

    Attributes:
        rate_bits_per_second: While on.
        mean_on_picoseconds: Mean time on.
        mean_off_picoseconds: Mean time off.
    """

    rate_bits_per_second: float
    mean_on_picoseconds: int
    mean_off_picoseconds: int

    def changes(self, generator: np.random.Generator) -> Iterator[tuple[int, float]]:
        """Yield changes without end."""
        means = (self.mean_off_picoseconds, self.mean_on_picoseconds)
        on = bool(generator.random() < means[1] / sum(means))
        time = 0
        while True:
            yield time, self.rate_bits_per_second if on else 0.0
            time += 1 + int(generator.exponential(means[on]))
            on = not on


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedDram:
    """A DRAM between the accelerator and others, by generalised processor sharing.

    Where both want something, each gets at least the share of its weight of the bandwidth B, and what one leaves the
    other may take (Parekh and Gallager, A generalized processor sharing approach to flow control, IEEE/ACM Transactions
    on Networking 1, 1993). An accelerator that waits for memory takes all that it can get, so with w its share and r
    what others want

        free share = max(1 - r / B, w)

    What others do not get is not caught up on: cameras drop lines, processors run slower.

    Attributes:
        bandwidth_bits_per_second: B, usable by all together.
        accelerator_share: w, above 0 and at most 1.
        traffic: What others want.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    bandwidth_bits_per_second: float
    accelerator_share: float
    traffic: BackgroundTraffic

    def __post_init__(self) -> None:
        if not (self.bandwidth_bits_per_second > 0 and 0 < self.accelerator_share <= 1):
            raise ConfigurationError(
                f"shared DRAM: expected a bandwidth above 0 and an accelerator's share above 0, of 1 at most; got "
                f"{self.bandwidth_bits_per_second} bit/s and {self.accelerator_share}"
            )

    def free_shares(self, generator: np.random.Generator) -> Iterator[tuple[int, float]]:
        """Yield (time in picoseconds, free share of the bandwidth from then on), ascending, the first at 0."""
        for time, rate in self.traffic.changes(generator):
            yield time, max(1.0 - rate / self.bandwidth_bits_per_second, self.accelerator_share)
