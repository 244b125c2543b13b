"""When frames come: at a period, at random, in random bursts, as something moves, or as a file says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from bitmixer.documents import Problem, Section, Text
from bitmixer.errors import did_you_mean
from hwsim.config.input_file import InputFile
from hwsim.config.quantity import Fraction, Picoseconds, PositivePicoseconds, PositiveRate, Rate, written

PROBABILITY_TOLERANCE = 1e-9


class Bursts(Section):
    """Times at which frames come faster.

    Attributes:
        first_picoseconds: Start of the first burst.
        every_picoseconds: From the start of one burst to the next.
        length_picoseconds: How long a burst lasts.
        period_picoseconds: Time between frames within it.
    """

    first_picoseconds: Picoseconds
    every_picoseconds: PositivePicoseconds
    length_picoseconds: PositivePicoseconds
    period_picoseconds: PositivePicoseconds

    def contradictions(self) -> Iterator[Problem]:
        """Yield bursts that overlap."""
        if self.length_picoseconds > self.every_picoseconds:
            yield Problem(("length",), "a burst outlasts 'every', so bursts would overlap: shorten it")


class PeriodicArrivals(Section):
    """Frames at fixed times, each delayed by up to ``jitter``."""

    kind: Literal["periodic"]
    period_picoseconds: PositivePicoseconds
    offset_picoseconds: Picoseconds = written("0 s")
    jitter_picoseconds: Picoseconds = written("0 s")
    bursts: Bursts | None = None

    def contradictions(self) -> Iterator[Problem]:
        """Yield a jitter that would let frames overtake one another."""
        periods = [self.period_picoseconds] + ([self.bursts.period_picoseconds] if self.bursts else [])
        if self.jitter_picoseconds > min(periods):
            yield Problem(("jitter",), "is longer than the period, so frames would overtake one another: shorten it")


class PoissonArrivals(Section):
    """Frames that know nothing of one another, ``rate`` of them in the mean."""

    kind: Literal["poisson"]
    rate_hertz: PositiveRate


class ModulatingState(Section):
    """One state of random arrivals.

    Attributes:
        name: What others call it.
        rate_hertz: Frames in the mean while in this state; 0 Hz for silence.
        mean_dwell_picoseconds: Mean time in it, exponentially distributed.
        next: Chance of each other state to follow; of two states each follows the other.
    """

    name: Text
    rate_hertz: Rate
    mean_dwell_picoseconds: PositivePicoseconds
    next: Mapping[Text, Fraction] | None = None


class MarkovModulatedArrivals(Section):
    """Frames whose rate changes at random; they start in the first state."""

    kind: Literal["markov_modulated"]
    states: tuple[ModulatingState, ...]

    def contradictions(self) -> Iterator[Problem]:
        """Yield too few states, names that are doubled or unknown, and chances that are missing or do not add up."""
        names = [state.name for state in self.states]
        if len(names) < 2:
            yield Problem(("states",), f"{len(names)} states: give two or more, or kind: poisson")
            return
        if not any(state.rate_hertz for state in self.states):
            yield Problem(("states",), "no state has a rate above 0 Hz, so no frame would ever come: raise one")
        for position, state in enumerate(self.states):
            path = ("states", position)
            if state.name in names[:position]:
                yield Problem((*path, "name"), f"{state.name!r} is given twice: rename one")
            if state.next is None and len(names) > 2:
                yield Problem(
                    path, "with more than two states each must say what follows it: add next: {NAME: 0.5, ...}"
                )
            elif state.next is not None:
                yield from _wrong_chances(state, names, (*path, "next"))

    @property
    def next_probabilities(self) -> tuple[tuple[float, ...], ...]:
        """For each state the chance of each state to follow, by position."""
        names = [state.name for state in self.states]
        return tuple(
            tuple(float(name != state.name) if state.next is None else state.next.get(name, 0.0) for name in names)
            for state in self.states
        )


def _wrong_chances(state: ModulatingState, names: list[str], path: tuple[str | int, ...]) -> Iterator[Problem]:
    chances = state.next or {}
    others = [name for name in names if name != state.name]
    for name in chances:
        if name not in others:
            yield Problem((*path, name), f"no other state {name!r}: {did_you_mean(name, others)}", about_key=True)
    if abs(sum(chances.values()) - 1) > PROBABILITY_TOLERANCE:
        yield Problem(path, f"the chances add up to {sum(chances.values()):.10g}: they must make 1")


class MotionArrivals(Section):
    """Frames of a camera that wakes when something moves.

    Attributes:
        rate_hertz: Motions that begin, in the mean, while the detector is ready.
        mean_length_picoseconds: Mean time that motion lasts, exponentially distributed.
        period_picoseconds: From frame to frame while it lasts.
        cool_down_picoseconds: How long the detector is blind after it.
        from_picoseconds: It watches from this time on.
        until_picoseconds: Until before this time, or to the end.
    """

    kind: Literal["motion"]
    rate_hertz: PositiveRate
    mean_length_picoseconds: PositivePicoseconds
    period_picoseconds: PositivePicoseconds
    cool_down_picoseconds: Picoseconds
    from_picoseconds: Picoseconds = written("0 s")
    until_picoseconds: Picoseconds | None = None

    def contradictions(self) -> Iterator[Problem]:
        """Yield an end that is not after the start."""
        if self.until_picoseconds is not None and self.until_picoseconds <= self.from_picoseconds:
            yield Problem(("until",), "is not later than 'from': raise it, or leave it out to watch to the end")


class ArrivalsFile(InputFile):
    """Frames at the times in the column ``time`` of a file; those after the duration do not come."""

    kind: Literal["file"]


Arrivals = Annotated[
    PeriodicArrivals | PoissonArrivals | MarkovModulatedArrivals | MotionArrivals | ArrivalsFile,
    Field(discriminator="kind"),
]
