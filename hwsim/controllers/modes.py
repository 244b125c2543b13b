"""Operating modes of the rules after Linux' thermal governors: bits go down first, then the clock.

A cooling device in Linux is a list of states, from none to the deepest. Here it is the rungs of the ladder at the
fastest clock, and behind them the slower clocks at the fewest bits.
"""

from __future__ import annotations

from typing import NamedTuple

from hwsim.controllers.actions import Ladder
from hwsim.controllers.base import Decision


class Mode(NamedTuple):
    """A rung of the ladder and the position of a clock."""

    rung: int
    clock: int


FULL = Mode(0, 0)
"""The most bits at the fastest clock."""


def cooling_modes(ladder: Ladder) -> tuple[Mode, ...]:
    """Return the modes, from the one that does most to the one that does least."""
    lowest = len(ladder) - 1
    bits_first = [Mode(rung, 0) for rung in range(len(ladder))]
    return (*bits_first, *(Mode(lowest, clock) for clock in range(1, len(ladder.frequencies_hertz))))


def in_mode(ladder: Ladder, mode: Mode, why: str) -> Decision:
    """Return the decision to work in a mode."""
    hertz = ladder.frequencies_hertz[mode.clock]
    return Decision(
        widths=ladder.assignments[mode.rung], frequency_hertz=hertz,
        reason=f"{why}: {ladder.names[mode.rung]} at {hertz / 1e6:.0f} MHz",
    )  # fmt: skip
