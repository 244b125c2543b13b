"""What the device draws besides the work of its layers, and the ledger of where the energy went.

Powers and energies come in *columns*: one per thermal node, and a last one for what is drawn but heats
no node (off-chip memory, regulators), named ``elsewhere``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bitmixer.errors import did_you_mean
from hwsim.errors import ConfigurationError, InvariantError
from hwsim.plant.thermal import FloatArray

ELSEWHERE = "elsewhere"
RUNAWAY_EXPONENT = 50.0
"""Leakage has grown by e^50: nothing physical is left to simulate."""
MEAN_LEAKAGE_ROUNDS = 3
"""Each shrinks the error by the loop gain within an interval."""
MEAN_LEAKAGE_GAIN = 0.03
"""Where that gain is higher, the mean leakage is found by Newton's steps."""
BALANCE_TOLERANCE = 1e-9
"""Of the energy that entered; the rule for every ledger."""
ROUNDING_TOLERANCE = 1e-13
"""Of the heat held (from 0 C): rounding of temperatures, which outweighs the energy of a very short run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """Static power that grows exponentially with temperature.

    P = P0 exp(k (T - T0)), HotLeakage's form at fixed voltage (Zhang et al., UVA CS-2003-05).

    Attributes:
        power_watts: P0, at the reference temperature.
        reference_celsius: T0.
        slope_per_kelvin: k.
        node: The thermal node that leaks.
    """

    power_watts: float
    reference_celsius: float
    slope_per_kelvin: float
    node: str

    def watts_at(self, temperature_celsius: float) -> float:
        """Return the leakage at a temperature.

        Raises:
            ConfigurationError: The temperature is beyond anything physical: thermal runaway.
        """
        exponent = self.slope_per_kelvin * (temperature_celsius - self.reference_celsius)
        if exponent > RUNAWAY_EXPONENT:
            raise ConfigurationError(
                f"thermal runaway: leakage heats {self.node} to {temperature_celsius:.0f} C, faster than "
                "its heat leaves; lower the leakage, the load or the ambient, or improve the cooling"
            )
        return self.power_watts * math.exp(exponent)

    def scaled(self, share: float) -> Leakage:
        """Return the leakage that is left where a part of the node is switched off."""
        return replace(self, power_watts=share * self.power_watts)

    def steady_watts(self, base_celsius: float, kelvin_per_watt: float) -> float:
        """Return the leakage that keeps itself up: p = P(base + kelvin_per_watt * p).

        P is convex, so that Newton's steps from p = 0 climb to the smaller root, the stable one; a loop
        gain of 1 on the way proves that there is none.

        Args:
            base_celsius: The node's steady temperature without leakage.
            kelvin_per_watt: How much each watt of leakage adds to it.

        Raises:
            ConfigurationError: There is no steady state: leakage grows faster than its heat leaves.
        """
        watts, step = 0.0, math.inf
        while step > 1e-14 * watts:
            leaked = self.watts_at(base_celsius + kelvin_per_watt * watts)
            loop_gain = self.slope_per_kelvin * kelvin_per_watt * leaked
            if loop_gain >= 1:
                raise ConfigurationError(
                    f"no steady state: leakage of {self.node} runs away (loop gain {loop_gain:.2f}); "
                    "lower the leakage, the load or the ambient, or improve the cooling"
                )
            step = (leaked - watts) / (1 - loop_gain)
            watts += step
        return watts

    def mean_watts(self, mean_celsius: float, kelvin_per_watt: float) -> float | None:
        """Return the leakage of an interval: at the node's mean temperature, to which it adds itself.

        Args:
            mean_celsius: The node's mean temperature, had nothing leaked.
            kelvin_per_watt: What each watt adds to it.

        Returns:
            ``None`` where no leakage agrees with itself: it runs away within the interval.
        """
        watts = self.watts_at(mean_celsius)
        if self.slope_per_kelvin * kelvin_per_watt * watts < MEAN_LEAKAGE_GAIN:
            for _ in range(MEAN_LEAKAGE_ROUNDS):
                watts = self.watts_at(mean_celsius + kelvin_per_watt * watts)
            return watts
        try:
            return self.steady_watts(mean_celsius, kelvin_per_watt)
        except ConfigurationError:
            return None

    def critical_celsius(self, kelvin_per_watt: float) -> float:
        """Return the node's temperature from which on a steady state would be unstable: a loop gain of 1.

        Args:
            kelvin_per_watt: How far each watt warms the node in the end.
        """
        gain = self.slope_per_kelvin * kelvin_per_watt * self.power_watts
        return self.reference_celsius - math.log(gain) / self.slope_per_kelvin if gain else math.inf


def dynamic_energy_scale(voltage_volts: float, nominal_volts: float) -> float:
    """Return the factor on dynamic energy at another voltage: (V / V_nominal)^2, the energy of CV^2.

    Against whole-chip energies measured at two voltages (MLPerf Tiny v1.0) it is 4 % high for GAP9 (0.65
    to 0.80 V) and 9 % high for NDP9120 (0.9 to 1.1 V), which hold static energy as well.
    """
    return (voltage_volts / nominal_volts) ** 2


def columns_watts(nodes: tuple[str, ...], powers_watts: Mapping[str, float]) -> FloatArray:
    """Return powers by name as columns [nodes + elsewhere]; names not given draw nothing.

    Raises:
        ConfigurationError: A name is neither a node nor ``elsewhere``.
    """
    names = (*nodes, ELSEWHERE)
    columns = np.zeros(len(names))
    for name, watts in powers_watts.items():
        if name not in names:
            raise ConfigurationError(f"power of {name!r}: no such thermal node; {did_you_mean(name, names)}")
        columns[names.index(name)] = watts
    return columns


@dataclass(slots=True)
class RunningSum:
    """A sum that keeps what rounding would lose (Neumaier 1974), over any number of terms."""

    _sum: float = 0.0
    _lost: float = 0.0

    def add(self, term: float) -> None:
        """Add one term."""
        total = self._sum + term
        larger, smaller = (self._sum, term) if abs(self._sum) >= abs(term) else (term, self._sum)
        self._lost += (larger - total) + smaller
        self._sum = total

    @property
    def value(self) -> float:
        """The sum so far."""
        return self._sum + self._lost


@dataclass(slots=True)
class EnergyLedger:
    """Joules that entered, and where they went; each sum is fed by its own source, none by difference."""

    drawn: RunningSum = field(default_factory=RunningSum)
    elsewhere: RunningSum = field(default_factory=RunningSum)
    to_ambient: RunningSum = field(default_factory=RunningSum)

    def check(self, heat_stored_joules: float, heat_held_joules: float) -> None:
        """Check drawn = stored + to ambient + elsewhere.

        Args:
            heat_stored_joules: Heat that the nodes hold more than at the start.
            heat_held_joules: Sum of the magnitudes of the nodes' heat, which bounds its rounding.

        Raises:
            InvariantError: The two sides differ by more than 1e-9 of what was drawn.
        """
        drawn, to_ambient, elsewhere = self.drawn.value, self.to_ambient.value, self.elsewhere.value
        imbalance = math.fsum((drawn, -heat_stored_joules, -to_ambient, -elsewhere))
        if not abs(imbalance) <= BALANCE_TOLERANCE * drawn + ROUNDING_TOLERANCE * heat_held_joules:
            raise InvariantError(
                f"heat balance broken by {imbalance:.3e} J: drawn {drawn:.12g} J, but stored "
                f"{heat_stored_joules:.12g} J, to ambient {to_ambient:.12g} J, elsewhere {elsewhere:.12g} J"
            )
