"""What feeds a device that hangs on no mains: a battery and what is harvested, and the circuit that cuts it off.

Harvested power feeds the load first; only what is left charges the battery, at the efficiency of charging. The
circuit watches the head of the available well, which is what KiBaM has for the voltage at the terminals: at
``cut_off`` it disconnects the device, and at ``restart`` it connects it again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwsim.errors import ConfigurationError, InvariantError
from hwsim.plant.battery import KineticBattery
from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND
from hwsim.plant.power import BALANCE_TOLERANCE, ROUNDING_TOLERANCE, RunningSum
from hwsim.plant.power_series import PowerSeries
from hwsim.plant.thermal import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """What a device reads of its battery's state of charge.

    Attributes:
        period_picoseconds: Time from reading to reading.
        step: Distance of two readings; 0 for a continuous one.

    Raises:
        ConfigurationError: The period is not positive, or the step is negative.
    """

    period_picoseconds: int
    step: float

    def __post_init__(self) -> None:
        if self.period_picoseconds <= 0 or self.step < 0:
            raise ConfigurationError(f"battery gauge: expected a period above 0 and a step of 0 or more; got {self}")

    def reading(self, state_of_charge: float) -> float:
        """Return the nearest reading."""
        return round(state_of_charge / self.step) * self.step if self.step else state_of_charge


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryPack:
    """A battery with its protection and its gauge.

    Attributes:
        battery: The cells.
        cut_off: Filling of the available well, of 1, at which the device is disconnected.
        restart: Filling at which it is connected again.
        gauge: What the device reads.

    Raises:
        ConfigurationError: The restart is not above the cut-off, or one is not between 0 and 1.
    """

    battery: KineticBattery
    cut_off: float
    restart: float
    gauge: Gauge

    def __post_init__(self) -> None:
        if not 0 <= self.cut_off < self.restart <= 1:
            raise ConfigurationError(
                f"battery: expected 0 <= cut-off < restart <= 1; got {self.cut_off} and {self.restart}"
            )


class Supply:
    """Charge of a pack over time; starts at rest at time 0.

    Attributes:
        pack: The pack.
        harvest: What the surroundings give.
        charge: Now.
    """

    def __init__(self, pack: BatteryPack, *, state_of_charge: float, harvest: PowerSeries) -> None:
        if not 0 <= state_of_charge <= 1:
            raise ConfigurationError(f"battery: a state of charge of {state_of_charge}; expected 0 to 1")
        self.pack = pack
        self.harvest = harvest
        self.charge = self._start = pack.battery.at_rest(state_of_charge)
        self._drawn, self._lost, self._harvested, self._load = (RunningSum() for _ in range(4))

    @property
    def state_of_charge(self) -> float:
        """Both wells, of 1."""
        return self.charge.joules / self.pack.battery.capacity_joules

    @property
    def drawn_joules(self) -> float:
        """What the battery gave since the start."""
        return self._drawn.value

    @property
    def lost_joules(self) -> float:
        """What charging lost since the start."""
        return self._lost.value

    @property
    def harvested_joules(self) -> float:
        """What was harvested since the start, without what a full battery refused."""
        return self._harvested.value

    @property
    def delivered_joules(self) -> float:
        """What the device got since the start, by the battery's own account: charge gone, harvest, less losses."""
        return math.fsum((*self._start, *(-well for well in self.charge), self.harvested_joules, -self.lost_joules))

    @property
    def rounding_joules(self) -> float:
        """How far rounding of the charge held may move that account."""
        return ROUNDING_TOLERANCE * self.pack.battery.capacity_joules

    def advance(self, start_picoseconds: int, durations_seconds: FloatArray, loads_watts: FloatArray) -> None:
        """Feed m segments of constant load, within one step of the harvest.

        Args:
            start_picoseconds: When they begin.
            durations_seconds: [m].
            loads_watts: [m].
        """
        harvested = self.harvest.watts_at(start_picoseconds)
        self.charge, flow = self.pack.battery.advance(self.charge, durations_seconds, loads_watts - harvested)
        self._drawn.add(flow.drawn)
        self._lost.add(flow.lost)
        self._harvested.add(harvested * float(durations_seconds.sum()) - flow.refused)
        self._load.add(float(loads_watts @ durations_seconds))

    def seconds_to_cut_off(self, time_picoseconds: int, most_watts: float) -> float:
        """Return for how long the device can certainly go on, whatever it draws up to ``most_watts``.

        More drain means less charge at every later time, so that the answer for the highest drain is a lower bound, up
        to the next step of the harvest; 0 if the cut-off is reached. A device that is off reaches it, too, where more
        charge flows on to the bound well than is harvested.
        """
        return self._seconds_to_cut_off(self._drain(time_picoseconds, most_watts))

    def seconds_between_looks(self, time_picoseconds: int, most_watts: float) -> float:
        """Return for how long nobody needs to look whether the device can go on.

        That is until the present harvest has its next step, or longer: as long as the charge lasts without any.
        """
        harvesting, step = self.seconds_to_cut_off(time_picoseconds, most_watts), self.seconds_to_step(time_picoseconds)
        return harvesting if harvesting <= step else max(step, self._seconds_to_cut_off(most_watts))

    def _seconds_to_cut_off(self, drain_watts: float) -> float:
        battery = self.pack.battery
        mark = self.pack.cut_off * battery.available_capacity_joules
        return battery.seconds_until(self.charge, drain_watts, mark, rising=False)

    def seconds_to_restart(self, time_picoseconds: int) -> float:
        """Return when a device that draws nothing is connected again, as long as the harvest stays what it is."""
        battery = self.pack.battery
        mark = self.pack.restart * battery.available_capacity_joules
        return battery.seconds_until(self.charge, self._drain(time_picoseconds, 0.0), mark, rising=True)

    def seconds_to_step(self, time_picoseconds: int) -> float:
        """Return when the harvest may change."""
        return (self.harvest.next_step(time_picoseconds) - time_picoseconds) / PICOSECONDS_PER_SECOND

    def _drain(self, time_picoseconds: int, load_watts: float) -> float:
        """Return what a load takes from the battery, negative where the harvest exceeds it, after losses."""
        drain = load_watts - self.harvest.watts_at(time_picoseconds)
        return drain if drain > 0 else drain * self.pack.battery.charging_efficiency

    def check_balance(self) -> None:
        """Check that the battery's account of what the device got is the load times time.

        Raises:
            InvariantError: They differ by more than 1e-9 of the load.
        """
        load, delivered = self._load.value, self.delivered_joules
        if not abs(load - delivered) <= BALANCE_TOLERANCE * load + self.rounding_joules:
            raise InvariantError(
                f"battery balance broken: the device drew {load:.12g} J, but charge gone, harvest and losses come to "
                f"{delivered:.12g} J"
            )
