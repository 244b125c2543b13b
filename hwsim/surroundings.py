"""What a scenario puts around a device, for the simulation: arrivals, ambient, powers, DRAM traffic, sensor faults."""

from __future__ import annotations

from collections.abc import Mapping

from hwsim.config import arrivals as arrival_sections
from hwsim.config import memory_traffic as traffic_sections
from hwsim.config import time_series as series_sections
from hwsim.config.faults import Fault, FaultWindow
from hwsim.config.link import Outages, OutageWindow
from hwsim.config.units import PICOSECONDS_PER_SECOND
from hwsim.cost import Memory
from hwsim.plant.ambient import Ambient
from hwsim.plant.bandwidth import BackgroundTraffic, OnOffTraffic, SharedDram, SteppedTraffic
from hwsim.plant.parameters import CoRunningLoad
from hwsim.plant.power import ELSEWHERE
from hwsim.plant.power_series import PowerSeries
from hwsim.plant.sensor_faults import FOREVER, FailAndRepair, FailureTimes, FailureWindow, SensorFault
from hwsim.plant.time_series import PiecewiseLinear, Sine, TimeSeries
from hwsim.simulation import arrivals

AMBIENT_TOLERANCE_KELVIN = 1e-3
"""Largest distance between a sine of ambient temperature and the chords that stand for it."""
POWER_TOLERANCE = 1e-3
"""The same of a power, by the sine's amplitude."""

_Moving = (
    series_sections.PiecewiseLinear[float]
    | series_sections.Ramp[float]
    | series_sections.Sine[float, float]
    | series_sections.SeriesFile[float]
)


def build_ambient(section: series_sections.Temperature) -> Ambient:
    """Return the air around a device."""
    if isinstance(section, series_sections.ConstantTemperature):
        return Ambient.constant(section.temperature_celsius)
    return Ambient(series=_series(section, AMBIENT_TOLERANCE_KELVIN))


def build_power(section: series_sections.Power | None) -> PowerSeries:
    """Return a power over time; none where nothing is said of it."""
    match section:
        case None:
            return PowerSeries.constant(0.0)
        case series_sections.ConstantPower():
            return PowerSeries.constant(section.power_watts)
        case series_sections.Sine():
            return PowerSeries(series=_series(section, POWER_TOLERANCE * section.amplitude or POWER_TOLERANCE))
        case _:
            return PowerSeries(series=_series(section, POWER_TOLERANCE))


def build_loads(
    sections: Mapping[str, series_sections.CoRunningLoad], nodes: tuple[str, ...]
) -> tuple[CoRunningLoad, ...]:
    """Return what else draws power on a device with these thermal nodes."""
    columns = (*nodes, ELSEWHERE)
    return tuple(
        CoRunningLoad(column=columns.index(load.heats), power=build_power(load.power)) for load in sections.values()
    )


def _series(section: _Moving, tolerance: float) -> TimeSeries:
    match section:
        case series_sections.Sine():
            return Sine(
                mean=section.mean,
                amplitude=section.amplitude,
                period_picoseconds=section.period_picoseconds,
                peak_picoseconds=section.peak_picoseconds,
                tolerance=tolerance,
            )
        case series_sections.Ramp():
            start, end = section.start_picoseconds, section.end_picoseconds
            return PiecewiseLinear(points=((start, section.start_value), (end, section.end_value)))
        case _:
            return PiecewiseLinear(points=section.points)


def build_arrivals(section: arrival_sections.Arrivals) -> arrivals.Arrivals:
    """Return the source of a stream's frames."""
    match section:
        case arrival_sections.PeriodicArrivals():
            return _periodic(section)
        case arrival_sections.PoissonArrivals():
            return arrivals.PoissonArrivals(rate_hertz=section.rate_hertz)
        case arrival_sections.MarkovModulatedArrivals():
            return _markov_modulated(section)
        case arrival_sections.MotionArrivals():
            return arrivals.MotionArrivals(
                mean_wait=round(PICOSECONDS_PER_SECOND / section.rate_hertz),
                mean_length=section.mean_length_picoseconds,
                period=section.period_picoseconds,
                cool_down=section.cool_down_picoseconds,
                watches_from=section.from_picoseconds,
                watches_until=section.until_picoseconds,
            )
        case arrival_sections.ArrivalsFile():
            return arrivals.RecordedArrivals(recorded=tuple(int(time) for (time,) in section.rows))


def _periodic(section: arrival_sections.PeriodicArrivals) -> arrivals.PeriodicArrivals:
    bursts = None if section.bursts is None else arrivals.Bursts(
        first=section.bursts.first_picoseconds,
        every=section.bursts.every_picoseconds,
        length=section.bursts.length_picoseconds,
        period=section.bursts.period_picoseconds,
    )  # fmt: skip
    return arrivals.PeriodicArrivals(
        period=section.period_picoseconds,
        offset=section.offset_picoseconds,
        jitter=section.jitter_picoseconds,
        bursts=bursts,
    )


def _markov_modulated(section: arrival_sections.MarkovModulatedArrivals) -> arrivals.MarkovModulatedArrivals:
    states = zip(section.states, section.next_probabilities, strict=True)
    return arrivals.MarkovModulatedArrivals(
        states=tuple(
            arrivals.ModulatingState(
                rate_hertz=state.rate_hertz,
                mean_dwell_picoseconds=state.mean_dwell_picoseconds,
                next_probabilities=chances,
            )
            for state, chances in states
        )
    )


def build_shared_dram(section: traffic_sections.MemoryTraffic | None, memory: Memory) -> SharedDram | None:
    """Return the DRAM as others use it, too; ``None`` where nobody does."""
    if section is None:
        return None
    return SharedDram(
        bandwidth_bits_per_second=memory.dram_bandwidth_bits_per_second,
        accelerator_share=section.accelerator_share,
        traffic=_traffic(section),
    )


def _traffic(section: traffic_sections.MemoryTraffic) -> BackgroundTraffic:
    match section:
        case traffic_sections.ConstantTraffic():
            return SteppedTraffic(steps=((0, section.rate_bits_per_second),))
        case traffic_sections.OnOffTraffic():
            return OnOffTraffic(
                rate_bits_per_second=section.rate_bits_per_second,
                mean_on_picoseconds=section.mean_on_picoseconds,
                mean_off_picoseconds=section.mean_off_picoseconds,
            )
        case _:
            return SteppedTraffic(steps=section.steps)


def build_outages(section: Outages | None) -> FailureTimes | None:
    """Return when the link of a stream is down; ``None`` where nothing lies between."""
    match section:
        case None:
            return None
        case OutageWindow():
            return FailureWindow(start=section.from_picoseconds, end=section.until_picoseconds)
        case _:
            return FailAndRepair(
                mean_time_to_failure=section.mean_time_to_failure_picoseconds,
                mean_time_to_repair=section.mean_time_to_repair_picoseconds,
            )


def build_fault(section: Fault) -> SensorFault:
    """Return what goes wrong with a sensor."""
    times: FailureTimes
    if isinstance(section, FaultWindow):
        end = FOREVER if section.until_picoseconds is None else section.until_picoseconds
        times = FailureWindow(start=section.from_picoseconds, end=end)
    else:
        times = FailAndRepair(
            mean_time_to_failure=section.mean_time_to_failure_picoseconds,
            mean_time_to_repair=section.mean_time_to_repair_picoseconds,
        )
    return SensorFault(sensor=section.sensor, mode=section.mode, reaches=section.reaches, times=times)
