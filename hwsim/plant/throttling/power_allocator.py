"""A budget of power from a PID controller on the temperature: Linux' ``power_allocator`` ("IPA").

The law is that of drivers/thermal/gov_power_allocator.c in its own integers: temperatures in millicelsius, powers in
milliwatts, gains and errors with ten binary places. The one actor is the array, with the request and the choice of
a state of drivers/thermal/devfreq_cooling.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from hwsim.errors import ConfigurationError
from hwsim.plant.throttling.base import FRACTION_BITS, Mark, PollPeriods, Reading, Verdict

PICOSECONDS_PER_MILLISECOND = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """Gains of the controller as the kernel's integers: 1024ths of a milliwatt per millikelvin, but for ``k_d``.

    Attributes:
        k_po: Proportional, above the control temperature.
        k_pu: Proportional, below it.
        k_i: Integral, per poll.
        k_d: Derivative, in whole milliwatts times milliseconds per millikelvin, since the kernel divides a number with
            ten binary places by one without.
        integral_cutoff_millikelvin: Errors from this on are not added to the integral.

    Raises:
        ConfigurationError: One is below 0.
    """

    k_po: int
    k_pu: int
    k_i: int
    k_d: int = 0
    integral_cutoff_millikelvin: int = 0

    def __post_init__(self) -> None:
        if min(self.k_po, self.k_pu, self.k_i, self.k_d, self.integral_cutoff_millikelvin) < 0:
            raise ConfigurationError(f"power_allocator: expected gains of 0 or more; got {self}")

    @classmethod
    def estimate(cls, sustainable_milliwatts: int, range_millikelvin: int) -> Self:
        """Return the gains that the kernel takes where none are given (``estimate_pid_constants``).

        Args:
            sustainable_milliwatts: Power that the device can bear for ever.
            range_millikelvin: From switch-on to the control temperature.
        """
        k_pu = (2 * sustainable_milliwatts << FRACTION_BITS) // range_millikelvin
        return cls(
            k_po=(sustainable_milliwatts << FRACTION_BITS) // range_millikelvin, k_pu=k_pu, k_i=max(k_pu // 10, 1)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerAllocatorState:
    """Memory of the controller, in 1024ths of a millikelvin.

    Attributes:
        error_integral: Sum of the errors.
        previous_error: Error of the poll before.
    """

    error_integral: int = 0
    previous_error: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerAllocator:
    """From ``switch_on`` a controller holds the die at ``control`` by granting power, which becomes a clock.

    Attributes:
        switch_on_millicelsius: Below it nothing is limited and the controller forgets.
        control_millicelsius: Temperature to hold.
        sustainable_milliwatts: Power at which the die stays there.
        gains: Of the controller.
        frequencies_hertz: Clocks, fastest first.
        powers_milliwatts: What the array draws at each of them when it works all the time.
        periods: Passive from switch-on.

    Raises:
        ConfigurationError: Temperatures out of order, a power that is negative or larger at a slower clock, or
            passive polls less than a millisecond apart.
    """

    switch_on_millicelsius: int
    control_millicelsius: int
    sustainable_milliwatts: int
    gains: Gains
    frequencies_hertz: tuple[int, ...]
    powers_milliwatts: tuple[int, ...]
    periods: PollPeriods

    def __post_init__(self) -> None:
        falling = list(self.powers_milliwatts) == sorted(self.powers_milliwatts, reverse=True)
        if len(self.powers_milliwatts) != len(self.frequencies_hertz) or not falling or min(self.powers_milliwatts) < 0:
            raise ConfigurationError(
                f"power_allocator: expected a power for each of {len(self.frequencies_hertz)} clocks, none larger at a "
                f"slower one; got {self.powers_milliwatts} mW"
            )
        if self.switch_on_millicelsius >= self.control_millicelsius or self.sustainable_milliwatts < 0:
            raise ConfigurationError(
                f"power_allocator: expected to switch on below {self.control_millicelsius} mC and a sustainable power "
                f"of 0 or more; got {self.switch_on_millicelsius} mC and {self.sustainable_milliwatts} mW"
            )
        if self.periods.passive_picoseconds < PICOSECONDS_PER_MILLISECOND:
            raise ConfigurationError("power_allocator: expected passive polls 1 ms apart or more")

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Where it switches on, and the temperature that it holds."""
        temperatures = (self.switch_on_millicelsius, self.control_millicelsius)
        return tuple(Mark(temperature_celsius=each / 1000, frequency_cap_hertz=None) for each in temperatures)

    def init(self) -> PowerAllocatorState:
        """Return a controller that remembers nothing."""
        return PowerAllocatorState()

    def poll(self, reading: Reading, state: PowerAllocatorState) -> tuple[PowerAllocatorState, Verdict]:
        """Return the cap that keeps the array within what it is granted."""
        if reading.millicelsius < self.switch_on_millicelsius:
            return self.init(), Verdict(cap_hertz=None, next_poll_picoseconds=self.periods.after(passive=False))
        state, budget = self.budget(reading.millicelsius, state)
        point = self._point(reading, budget)
        return state, Verdict(
            cap_hertz=self.frequencies_hertz[point] if point else None,
            next_poll_picoseconds=self.periods.after(passive=True),
        )

    def budget(self, temperature: int, state: PowerAllocatorState) -> tuple[PowerAllocatorState, int]:
        """Return the controller's state and budget in milliwatts after a temperature (``pid_controller``)."""
        gains, most = self.gains, self.powers_milliwatts[0]
        error = (self.control_millicelsius - temperature) << FRACTION_BITS
        integral = state.error_integral
        proportional = _product(gains.k_po if error < 0 else gains.k_pu, error)
        integrated = _product(gains.k_i, integral)
        if error < gains.integral_cutoff_millikelvin << FRACTION_BITS:
            following = integrated + _product(gains.k_i, error)
            if abs(following) < most << FRACTION_BITS:
                integrated, integral = following, integral + error
        change = _product(gains.k_d, error - state.previous_error)
        derivative = _quotient(change, self.periods.passive_picoseconds // PICOSECONDS_PER_MILLISECOND)
        wanted = self.sustainable_milliwatts + ((proportional + integrated + derivative) >> FRACTION_BITS)
        after = PowerAllocatorState(error_integral=integral, previous_error=error)
        return after, min(max(wanted, 0), most)

    def _point(self, reading: Reading, budget: int) -> int:
        """Return the fastest point that stays within the budget at the load that the array has.

        The only actor gets the whole budget; where it requests nothing it gets all that it could draw
        (``divvy_up_power`` since Linux 6.14).
        """
        powers = self.powers_milliwatts
        requested = (powers[reading.point] * reading.load) >> FRACTION_BITS
        granted = budget if requested else powers[0]
        at_full_load = (granted << FRACTION_BITS) // reading.load
        fits = (point for point, power in enumerate(powers) if power <= at_full_load)
        return next(fits, len(powers) - 1)


def _product(first: int, second: int) -> int:
    """Multiply fixed-point numbers as ``mul_frac``: the shift rounds down."""
    return (first * second) >> FRACTION_BITS


def _quotient(dividend: int, divisor: int) -> int:
    """Divide a fixed-point number by a plain one as ``div_frac``: C's division rounds towards 0."""
    shifted = dividend << FRACTION_BITS
    return shifted // divisor if shifted >= 0 else -(-shifted // divisor)
