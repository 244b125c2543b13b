"""Frames whose rate changes at random: quiet for a while, then a burst.

A Markov-modulated Poisson process (Fischer and Meier-Hellstern, The Markov-modulated Poisson process cookbook,
Performance Evaluation 18, 1993): a continuous-time Markov chain walks from state to state, and while it
stays in one, frames come as a Poisson process of that state's rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hwsim.simulation.arrivals.base import exponential_picoseconds
from hwsim.simulation.arrivals.poisson import PoissonArrivals


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulatingState:
    """One state of the chain.

    Attributes:
        rate_hertz: Frames per second in the mean; 0 for silence.
        mean_dwell_picoseconds: Mean time in the state, exponentially distributed.
        next_probabilities: Chance of each state to be the next, by position; they sum to 1.
    """

    rate_hertz: float
    mean_dwell_picoseconds: int
    next_probabilities: tuple[float, ...]


class Visit(NamedTuple):
    """A stay in a state, in picoseconds."""

    state: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkovModulatedArrivals:
    """Frames at the rate of the state that a Markov chain is in; it starts in the first.

    The chain and the frames draw from streams of their own: other rates leave the bursts where they are.
    """

    states: tuple[ModulatingState, ...]

    def times(self, until: int, generator: np.random.Generator) -> Iterator[int]:
        """Yield arrival times before ``until``, strictly ascending."""
        of_chain, of_frames = generator.spawn(2)
        for visit in self.visits(until, of_chain):
            if rate := self.states[visit.state].rate_hertz:
                yield from PoissonArrivals(rate_hertz=rate).between(visit.start, visit.end, of_frames)

    def visits(self, until: int, generator: np.random.Generator) -> Iterator[Visit]:
        """Yield the chain's stays up to ``until``, which cuts the last one."""
        state = start = 0
        while start < until:
            end = start + exponential_picoseconds(self.states[state].mean_dwell_picoseconds, generator)
            yield Visit(state, start, min(end, until))
            state = int(generator.choice(len(self.states), p=self.states[state].next_probabilities))
            start = end
