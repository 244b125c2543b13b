"""A kinetic battery (KiBaM), solved exactly for piecewise-constant power.

Manwell & McGowan, "Lead acid battery storage model for hybrid energy systems" (Solar Energy 50, 1993): charge lies in
two wells, of which only the *available* one feeds the load; the *bound* one refills it through a valve. With heads
h1 = y1 / c and h2 = y2 / (1 - c) and a drain p,

    dy1/dt = -p + k (h2 - h1)        dy2/dt = -k (h2 - h1)

Drawn hard, the available well runs dry while charge is still bound (the rate effect); at rest it refills (recovery).
Charge is counted in joules at the nominal voltage: y = Q V, p = I V, and the equations keep their form.

The sum y = y1 + y2 falls by p t, and the difference of heads d = h2 - h1 relaxes on its own with the rate
k' = k / (c (1 - c)): dd/dt = p / c - k' d. So a segment of constant power has a closed form, whatever its length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hwsim.errors import ConfigurationError
from hwsim.plant.thermal import FloatArray

NEVER_SECONDS = 1e12
"""A moment this far away, thirty thousand years, does not come."""
_FINEST_SECONDS = 1e-15
"""Where a search for a moment ends, if the rounding of the moment itself does not end it before."""


class Charge(NamedTuple):
    """What the two wells hold, in joules at the nominal voltage."""

    available_joules: float
    bound_joules: float

    @property
    def joules(self) -> float:
        """Both together."""
        return self.available_joules + self.bound_joules


class Flow(NamedTuple):
    """Where energy went in some time, in joules."""

    drawn: float
    """What the battery gave."""
    stored: float
    """What it took and keeps."""
    lost: float
    """What charging lost on the way in."""
    refused: float
    """What it was offered and had no room for; nobody drew it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KineticBattery:
    """A battery of two wells.

    Attributes:
        capacity_joules: Both wells full: charge times nominal voltage.
        available_share: c, the share of the capacity that can be drawn at once.
        valve_per_second: k, joules per second through the valve for each joule of difference in heads.
        charging_efficiency: Share of a surplus that arrives in the battery.

    Raises:
        ConfigurationError: A value is out of bounds.
    """

    capacity_joules: float
    available_share: float
    valve_per_second: float
    charging_efficiency: float

    def __post_init__(self) -> None:
        shares = 0 < self.available_share < 1 and 0 < self.charging_efficiency <= 1
        if not (shares and 0 < self.capacity_joules < math.inf and 0 < self.valve_per_second < math.inf):
            raise ConfigurationError(
                "battery: expected a capacity and a valve rate above 0, an available share between 0 and 1 and a "
                f"charging efficiency above 0 and up to 1; got {self}"
            )

    @property
    def relaxation_per_second(self) -> float:
        """Rate at which the difference of heads relaxes, k' = k / (c (1 - c))."""
        return self.valve_per_second / (self.available_share * (1 - self.available_share))

    @property
    def available_capacity_joules(self) -> float:
        """The available well, full."""
        return self.available_share * self.capacity_joules

    def at_rest(self, state_of_charge: float) -> Charge:
        """Return a battery that has long rested at a state of charge from 0 to 1: both heads are equal."""
        available = state_of_charge * self.available_capacity_joules
        return Charge(available, state_of_charge * self.capacity_joules * (1 - self.available_share))

    def advance(self, charge: Charge, durations_seconds: FloatArray, drains_watts: FloatArray) -> tuple[Charge, Flow]:
        """Integrate m segments of constant power at once, exactly.

        Nothing stops a drain from going below an empty well: whoever draws must stop in time (``seconds_until``).

        Args:
            charge: At the start.
            durations_seconds: [m].
            drains_watts: [m], what the load takes beyond what is harvested; negative is a surplus that charges.

        Returns:
            The charge at the end, and where the energy went.
        """
        surplus = np.minimum(drains_watts, 0.0)
        offered = -float(surplus @ durations_seconds)
        net = drains_watts - (1 - self.charging_efficiency) * surplus
        if offered and not self._has_room(charge, self.charging_efficiency * offered):
            return self._advance_near_full(charge, zip(durations_seconds.tolist(), net.tolist(), strict=True))
        drawn = float(np.maximum(drains_watts, 0.0) @ durations_seconds)
        stored = self.charging_efficiency * offered
        return self._advance_unbounded(charge, durations_seconds, net), Flow(drawn, stored, offered - stored, 0.0)

    def seconds_until(self, charge: Charge, drain_watts: float, available_joules: float, *, rising: bool) -> float:
        """Return when the available well first holds this much or more (``rising``), or this much or less.

        At constant power y1(t) - y1(0) = -c p t - g (exp(-k' t) - 1): a line and an exponential, so that it turns
        once at most. Between turns it is monotone, and a bracketed search cannot miss.

        Args:
            charge: Now.
            drain_watts: Constant from now on, negative where the battery is charged (after losses).
            available_joules: The mark.
            rising: The side from which the mark is met. At the mark itself counts as met, unless the charge is
                moving away from it.

        Returns:
            Seconds from now; ``inf`` if never.
        """
        side = 1.0 if rising else -1.0
        share, rate = self.available_share, self.relaxation_per_second
        line = -side * share * drain_watts
        swing = side * share * (1 - share) * (self._head_difference(charge) - drain_watts / (share * rate))
        above = side * (charge.available_joules - available_joules)
        slope = line + swing * rate
        if above > 0 or (above == 0 and slope >= 0):
            return 0.0

        def excess(seconds: float) -> float:
            return above + line * seconds - swing * math.expm1(-rate * seconds)

        turn = 0.0
        if math.copysign(1.0, swing) != math.copysign(1.0, line) and 0 < abs(line) < abs(swing) * rate:
            turn = (math.log(abs(swing) * rate) - math.log(abs(line))) / rate
        if slope > 0 and turn:
            return _root(excess, 0.0, turn) if excess(turn) >= 0 else math.inf
        if line > 0:
            end = min(turn + (abs(above) + abs(swing)) / line, NEVER_SECONDS)
            return _root(excess, turn, end) if end < NEVER_SECONDS or excess(end) > 0 else math.inf
        if line == 0 and above + swing > 0:
            return -math.log1p(above / swing) / rate
        return math.inf

    def _head_difference(self, charge: Charge) -> float:
        return charge.bound_joules / (1 - self.available_share) - charge.available_joules / self.available_share

    def _has_room(self, charge: Charge, joules: float) -> bool:
        """Whether the available well cannot get full, even if nothing were drawn and nothing flowed on."""
        heads = charge.available_joules / self.available_share, charge.bound_joules / (1 - self.available_share)
        return max(heads) + joules / self.available_share < self.capacity_joules

    def _advance_unbounded(self, charge: Charge, durations_seconds: FloatArray, drains_watts: FloatArray) -> Charge:
        """Return the charge after segments in which the battery does not get full.

        As in ``ThermalNetwork.advance``, what each segment adds to the difference of heads decays over the time that
        remains, so that no exponent is positive.
        """
        share, rate = self.available_share, self.relaxation_per_second
        ends = durations_seconds.cumsum()
        gained = np.expm1(-rate * durations_seconds) * (drains_watts / (-share * rate))
        difference = self._head_difference(charge) * math.exp(-rate * ends[-1])
        difference += float(gained @ np.exp(-rate * (ends[-1] - ends)))
        total = charge.joules - float(drains_watts @ durations_seconds)
        return self._wells(total, difference)

    def _wells(self, total: float, difference: float) -> Charge:
        share = self.available_share
        return Charge(share * (total - (1 - share) * difference), (1 - share) * (total + share * difference))

    def _advance_near_full(self, charge: Charge, segments: Iterable[tuple[float, float]]) -> tuple[Charge, Flow]:
        """Integrate segment by segment, and refuse what a full available well has no room for.

        Args:
            charge: At the start.
            segments: Pairs of duration and drain after the losses of charging.
        """
        drawn, stored, offered = [0.0], [0.0], [0.0]
        for seconds, drain in segments:
            unbounded = seconds
            if drain < 0:
                full = self.seconds_until(charge, drain, self.available_capacity_joules, rising=True)
                unbounded = min(seconds, full)
            if unbounded:
                charge = self._advance_unbounded(charge, np.array([unbounded]), np.array([drain]))
            (stored if drain < 0 else drawn).append(abs(drain) * unbounded)
            if unbounded < seconds:
                charge, taken = self._soak(charge, seconds - unbounded)
                stored.append(taken)
            if drain < 0:
                offered.append(-drain * seconds)
        kept = math.fsum(stored)
        efficiency = self.charging_efficiency
        lost = kept * (1 - efficiency) / efficiency
        refused = max(math.fsum(offered) - kept, 0.0) / efficiency
        return charge, Flow(math.fsum(drawn), kept, lost, refused)

    def _soak(self, charge: Charge, seconds: float) -> tuple[Charge, float]:
        """Keep the available well full while the bound one fills; return the charge, and what that took.

        The bound head then nears the full one as exp(-k t / (1 - c)), and takes ever less.
        """
        bound_capacity = self.capacity_joules - self.available_capacity_joules
        taken = -math.expm1(-self.valve_per_second / (1 - self.available_share) * seconds) * (
            bound_capacity - charge.bound_joules
        )
        return Charge(self.available_capacity_joules, charge.bound_joules + taken), taken


def _root(excess: Callable[[float], float], low: float, high: float) -> float:
    """Return where ``excess`` turns from negative to positive between two times."""
    from scipy.optimize import brentq

    if excess(low) >= 0 or excess(high) <= 0:  # rounding at an end of the bracket
        return low if excess(low) >= 0 else high
    return float(brentq(excess, low, high, xtol=_FINEST_SECONDS, rtol=4 * np.finfo(float).eps))
