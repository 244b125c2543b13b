"""Which actions may be taken at all: those that are predicted to keep every limit, with what is not known counted in.

An action is allowed by a limit if it breaks it with a probability of at most ``risk``; so it breaks any of n limits
with at most n times the risk. Limits are checked in the order in which they are given, gravest first. Where no action
that is left keeps a limit, those that keep it most surely are left, and later limits choose among them: there is always
an action, and a deadline never overrules the temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.controllers.information_directed.forecast import Forecast
from hwsim.errors import ConfigurationError

EQUAL = 1e-9
"""Logarithms of probabilities that differ by less are equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What must stay below what.

    Attributes:
        name: For the records: ``temperature``, ``battery``, ``deadline``.
        forecast: The quantity under each action: temperature at the end of the time for which it would be held, energy
            that it would take till the battery is charged again, time that the frame would take.
        limit: The highest that it may be, in the same unit.
        risk: Highest probability of breaking it, above 0 and below 1.

    Raises:
        ConfigurationError: The risk is out of range.
    """

    name: str
    forecast: Forecast
    limit: float
    risk: float

    def __post_init__(self) -> None:
        if not 0 < self.risk < 1:
            raise ConfigurationError(f"limit {self.name!r}, risk: expected above 0 and below 1, got {self.risk}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """What the shield says.

    Attributes:
        allowed: Actions that may be taken, ascending, one at least.
        unkept: Names of limits that none of the actions left could keep.
    """

    allowed: NDArray[np.intp]
    unkept: tuple[str, ...]


def shield(limits: Sequence[Limit], actions: int) -> Verdict:
    """Return which of so many actions may be taken under these limits, gravest first."""
    allowed, unkept = np.arange(actions), []
    for limit in limits:
        kept = limit.forecast.log_probability_below(limit.limit)[allowed]
        passing = kept >= np.log1p(-limit.risk)
        if not passing.any():
            unkept.append(limit.name)
            passing = kept >= kept.max() - EQUAL * max(1.0, abs(kept.max()))
        allowed = allowed[passing]
    return Verdict(allowed=allowed, unkept=tuple(unkept))
