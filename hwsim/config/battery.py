"""The part of a device profile about its battery; devices without one hang on the mains."""

from __future__ import annotations

from collections.abc import Iterator

from bitmixer.documents.section import Problem, Section
from hwsim.config.quantity import Coulombs, Fraction, PerSecond, PositiveFraction, PositivePicoseconds, Quantity, Volts


class Gauge(Section):
    """What controllers see of the battery.

    Attributes:
        period_picoseconds: Time between readings.
        step: Distance of two readings of the state of charge, of 1; 0 for a continuous one.
    """

    period_picoseconds: Quantity[PositivePicoseconds]
    step: Quantity[Fraction]


class Battery(Section):
    """A pack as a kinetic battery: an available and a bound well of charge, joined by a valve.

    Attributes:
        capacity_coulombs: Charge of the full pack.
        nominal_voltage_volts: Volts at which its charge counts as energy.
        available_share: c, the available well's share of the capacity.
        valve_rate_per_second: k, flow through the valve for each unit of difference of the wells' heads.
        charging_efficiency: Share of a surplus that arrives in the battery.
        cut_off: Filling of the available well at which the device is disconnected.
        restart: Filling at which it is connected again.
        gauge: What controllers see of it.
    """

    capacity_coulombs: Quantity[Coulombs]
    nominal_voltage_volts: Quantity[Volts]
    available_share: Quantity[PositiveFraction]
    valve_rate_per_second: Quantity[PerSecond]
    charging_efficiency: Quantity[PositiveFraction]
    cut_off: Quantity[Fraction]
    restart: Quantity[PositiveFraction]
    gauge: Gauge

    def contradictions(self) -> Iterator[Problem]:
        """Yield a well that is no share, and a restart that is not above the cut-off."""
        if self.available_share.value == 1:
            yield Problem(("available_share",), "leaves no bound well: write less than 1")
        if self.restart.value <= self.cut_off.value:
            sentence = f"{self.restart.text} is not above the cut-off at {self.cut_off.text}: raise it"
            yield Problem(("restart",), f"{sentence}, or the device would flutter")
