"""A profile's throttling section as the law that the simulation polls."""

from __future__ import annotations

from collections.abc import Callable

from hwsim.config import throttling as sections
from hwsim.plant.operating_points import OperatingPoints
from hwsim.plant.power import dynamic_energy_scale
from hwsim.plant.throttling import (
    BangBang,
    BangBangTrip,
    Divider,
    DividerTrip,
    Gains,
    PollPeriods,
    PowerAllocator,
    StepWise,
    StepWiseTrip,
    ThrottlingLaw,
    millicelsius,
)


def build_throttling(
    section: sections.Throttling, points: OperatingPoints, nominal_volts: float, joules_per_cycle: Callable[[], float]
) -> ThrottlingLaw:
    """Return the law of a valid section.

    Args:
        section: From the profile.
        points: The device's operating points.
        nominal_volts: Voltage of its energies.
        joules_per_cycle: Returns the energy of a cycle of its array under full load; asked only by a law that
            thinks in powers.
    """
    clocks = tuple(point.frequency_hertz for point in points.points)
    match section:
        case sections.BangBang():
            return BangBang(
                poll_picoseconds=section.poll_period_picoseconds.value,
                trips=tuple(
                    BangBangTrip(
                        temperature_millicelsius=millicelsius(trip.temperature_celsius.value),
                        resume_millicelsius=millicelsius(trip.resume_celsius.value),
                        frequency_cap_hertz=trip.frequency_cap_hertz.value,
                    )
                    for trip in section.trips
                ),
            )
        case sections.StepWise():
            return StepWise(
                frequencies_hertz=clocks,
                periods=_periods(section),
                trips=tuple(
                    StepWiseTrip(
                        temperature_millicelsius=millicelsius(trip.temperature_celsius.value),
                        hysteresis_millicelsius=millicelsius(trip.hysteresis_kelvin.value),
                        lower=clocks.index(trip.fastest_hertz.value),
                        upper=clocks.index(trip.slowest_hertz.value),
                    )
                    for trip in section.trips
                ),
            )
        case sections.PowerAllocator():
            return _power_allocator(section, clocks, powers_milliwatts(points, nominal_volts, joules_per_cycle()))
        case sections.Divider():
            return Divider(
                fastest_hertz=clocks[0],
                poll_picoseconds=section.poll_period_picoseconds.value,
                trips=tuple(
                    DividerTrip(
                        temperature_millicelsius=millicelsius(trip.temperature_celsius.value),
                        divisor=trip.divisor.value,
                    )
                    for trip in section.trips
                ),
            )


def powers_milliwatts(points: OperatingPoints, nominal_volts: float, joules_per_cycle: float) -> tuple[int, ...]:
    """Return the power at each operating point in whole milliwatts, as Linux' energy model holds it for a device.

    It is energy per cycle x clock x (V / V_nominal)^2.
    """
    return tuple(
        round(
            1000 * joules_per_cycle * point.frequency_hertz * dynamic_energy_scale(point.voltage_volts, nominal_volts)
        )
        for point in points.points
    )


def _power_allocator(
    section: sections.PowerAllocator, clocks: tuple[int, ...], powers: tuple[int, ...]
) -> PowerAllocator:
    switch_on, control = (millicelsius(each.value) for each in (section.switch_on_celsius, section.control_celsius))
    sustainable = round(section.sustainable_power_watts.value * 1000)
    given = section.gains
    return PowerAllocator(
        switch_on_millicelsius=switch_on,
        control_millicelsius=control,
        sustainable_milliwatts=sustainable,
        gains=Gains.estimate(sustainable, control - switch_on)
        if given is None
        else Gains(
            k_po=given.k_po.value,
            k_pu=given.k_pu.value,
            k_i=given.k_i.value,
            k_d=given.k_d.value,
            integral_cutoff_millikelvin=millicelsius(given.integral_cutoff_kelvin.value),
        ),
        frequencies_hertz=clocks,
        powers_milliwatts=powers,
        periods=_periods(section),
    )


def _periods(section: sections.StepWise | sections.PowerAllocator) -> PollPeriods:
    return PollPeriods(
        idle_picoseconds=section.poll_period_picoseconds.value,
        passive_picoseconds=section.passive_poll_period_picoseconds.value,
    )
