"""The physical state of one device between the events of a simulation.

The simulator records what ran; the plant turns it into heat when asked for a later time. All segments
recorded since are then integrated in one vectorised call, exact for piecewise-constant power.

Leakage makes the equation non-linear, so it is held constant for some time (at most ``LEAKAGE_STEP_PICOSECONDS``
while the draw changes), at its value for the *mean* temperature of the interval. Taken at the interval's start it would
lag by half an interval, an error of first order in the step; with the mean the error is of second order (after 4 W
come on at a die of 0.57 J/K with worst-case leakage: at most 0.05 mK instead of 8 mK). The mean comes almost for free:
the integral of the rise is needed for the ledger, and depends linearly on the leakage.

Parts of a die may follow their power within microseconds. At the end of an interval their leakage is then not its mean,
which shifts the temperature by the difference times the step response of the leaking node. An interval where that is
more than ``LEAKAGE_TOLERANCE_KELVIN`` is halved, and so on; docs/thermal.md has the bound on the sum of all errors.
Where the draw is constant, as while the device is idle, an interval may be longer, as long as the temperature hardly
moves: then neither error may be more than ``LASTING_TOLERANCE_KELVIN``.

Thermal runaway is told for certain and not too early: the leaking node is so hot that a steady state there would be
unstable (loop gain of 1 or more, over all paths to ambient), and with the device at rest, in its deepest idle state,
every node would still warm.
Such a network is monotone (heat flows from hot to cold), so that from there on all temperatures only rise.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InvariantError
from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND
from hwsim.plant.parameters import PlantParameters
from hwsim.plant.power import EnergyLedger
from hwsim.plant.supply import Supply
from hwsim.plant.thermal import FloatArray

LEAKAGE_STEP_PICOSECONDS = PICOSECONDS_PER_SECOND // 10
"""Longest time that leakage is held constant while the draw changes; where it does not, that may be longer."""
LEAKAGE_STEP_SECONDS = LEAKAGE_STEP_PICOSECONDS / PICOSECONDS_PER_SECOND
LEAKAGE_TOLERANCE_KELVIN = 1e-3
"""How far leakage at the end of an interval, instead of its mean, may shift the temperature there."""
LASTING_TOLERANCE_KELVIN = 1e-4
"""How far leakage at the mean temperature, instead of its mean, may shift temperatures in the long run."""
BURNT_CELSIUS = 200.0
"""Where a device that runs away is lost: assumed, above what silicon is rated for (125 to 175 C)."""
FINEST_STEP_PICOSECONDS = PICOSECONDS_PER_SECOND // 10**6
"""Intervals below it are not halved."""


class Plant:
    """Mutable physics of one device; starts at time 0.

    Attributes:
        time_picoseconds: Up to when everything is integrated.
        rise_kelvin: Rise over ambient of each node [n].
        leakage_watts: Mean leakage over the last call of ``advance_to``.
        co_running_watts: Mean power of other loads over the same time.
        mean_power_watts: Mean power by column [n + 1] over the same time, leakage and other loads included.
        supply: Battery and harvest that feed the device; ``None`` on the mains.
        is_powered: Whether constant powers and leakage are drawn.
        runs_away: Whether leakage is so high that all nodes would warm for ever with the device at rest.
        is_burnt: Whether it once ran away to ``BURNT_CELSIUS``; nothing leaks any more.
    """

    def __init__(
        self, parameters: PlantParameters, *, initial_rise_kelvin: FloatArray | None = None,
        supply: Supply | None = None,
    ) -> None:  # fmt: skip
        columns = len(parameters.constant_powers_watts)
        self.parameters = parameters
        self.supply = supply
        self.time_picoseconds = 0
        self.is_powered = True
        self.runs_away = self.is_burnt = False
        self.rise_kelvin = np.zeros(columns - 1) if initial_rise_kelvin is None else initial_rise_kelvin.copy()
        self._initial_celsius = self.temperatures_celsius()
        self.leakage_watts = parameters.leakage.watts_at(float(self._initial_celsius[parameters.leakage_node]))
        others = parameters.co_running_watts(0)
        self.co_running_watts = float(others.sum())
        self.mean_power_watts = parameters.constant_powers_watts + others
        self.mean_power_watts[parameters.leakage_node] += self.leakage_watts
        self._leakage_node = node = parameters.leakage_node
        self._kelvin_per_watt = float(parameters.network.steady(np.eye(columns - 1)[node])[node])
        self._draws = parameters.draws
        self._resting_leakage = parameters.leakage.scaled(float(self._draws[-1, -1]))
        self._critical_celsius = self._resting_leakage.critical_celsius(self._kelvin_per_watt)
        self._burnt_celsius = max(BURNT_CELSIUS, parameters.leakage.critical_celsius(self._kelvin_per_watt))
        self._row_count = len(parameters.energy_rows_joules)
        self._energy_rows = parameters.energy_rows_joules
        self._ledger = EnergyLedger()
        self._rows: list[int] = []
        self._durations: list[int] = []
        self._shares: list[float] = []
        self._levels: list[int] = []
        self._extras: list[tuple[int, int, float]] = []

    def add_row(self, energies_joules: FloatArray) -> int:
        """Add a kind of execution to those of ``energy_rows_joules``, and return its row.

        Args:
            energies_joules: [n + 1].

        Raises:
            InvariantError: An energy is negative.
        """
        if not np.all(energies_joules >= 0):
            raise InvariantError(f"an execution of {energies_joules.tolist()} J: expected 0 J or more in each column")
        if self._row_count == len(self._energy_rows):  # doubled, so that adding many costs little
            self._energy_rows = np.concatenate([self._energy_rows, np.zeros_like(self._energy_rows)])
        self._energy_rows[self._row_count] = energies_joules
        self._row_count += 1
        return self._row_count - 1

    def switch(self, *, powered: bool) -> None:
        """Draw constant powers and leakage from now on, or no longer.

        Raises:
            InvariantError: Segments are recorded that ``advance_to`` has not integrated yet.
        """
        if self._durations:
            raise InvariantError("the plant was switched amid recorded segments: advance it to this time first")
        self.is_powered = powered
        self.runs_away = False

    def record(self, row: int, duration_picoseconds: int, share: float = 1.0, *, level: int = 0) -> None:
        """Append a segment: ``share`` of the energy of ``row``, spent evenly over a duration.

        A segment of no length and no energy is nothing and leaves no trace.

        Args:
            row: Row of ``energy_rows_joules``, or one that was added; 0 is idle.
            duration_picoseconds: Length of the segment.
            share: Part of the row's energy; below 1 where a change of the clock splits an execution, and
                times ``dynamic_energy_scale`` at another voltage.
            level: 0 awake, else how deep the device rests: the position of its idle state, from 1.

        Raises:
            InvariantError: No such row or level, a negative length or share, or energy in no time.
        """
        if duration_picoseconds <= 0 or not 0 <= row < self._row_count or share < 0.0:
            if duration_picoseconds == 0 and (row == 0 or share == 0.0):
                return
            raise InvariantError(
                f"segment of row {row} (of {self._row_count}), {duration_picoseconds} ps, share {share}: "
                "expected a row that exists, a share of 0 or more, and a length above 0"
            )
        self._rows.append(row)
        self._durations.append(duration_picoseconds)
        self._shares.append(share)
        self._levels.append(level)

    def record_energy(self, column: int, energy_joules: float) -> None:
        """Spend energy (a decision, a fetch) in a column, evenly over the next segment to be recorded.

        Raises:
            InvariantError: No such column, or a negative energy.
        """
        if not 0 <= column < len(self.mean_power_watts) or energy_joules < 0:
            raise InvariantError(
                f"{energy_joules} J in column {column}: expected 0 J or more, and a column that exists"
            )
        self._extras.append((len(self._rows), column, energy_joules))

    def advance_to(self, time_picoseconds: int) -> None:
        """Integrate all recorded segments, which must lead exactly to this time.

        Raises:
            InvariantError: They do not.
        """
        span = sum(self._durations)
        if span != time_picoseconds - self.time_picoseconds:
            raise InvariantError(
                f"the plant stands at {self.time_picoseconds} ps and was told of {span} ps, which does not "
                f"lead to {time_picoseconds} ps: record every segment, idle ones too, once"
            )
        if not span:
            return
        cuts = self._cuts(time_picoseconds)
        energies = np.zeros(len(self.mean_power_watts))
        leaked = others = 0.0
        for end, durations, draws in _intervals(*self._take_segments(), self.time_picoseconds, cuts):
            drawn, watts = self._with_loads(draws)
            others += watts * ((end - self.time_picoseconds) / PICOSECONDS_PER_SECOND)
            leaked += self._advance_interval(end, durations / PICOSECONDS_PER_SECOND, drawn, energies)
        seconds = span / PICOSECONDS_PER_SECOND
        self.co_running_watts = others / seconds
        self.leakage_watts = leaked / seconds
        self.mean_power_watts = energies / seconds

    def _cuts(self, end_picoseconds: int) -> list[int]:
        """Return when leakage, the ambient's slope or a power is to be renewed, and the end."""
        step = LEAKAGE_STEP_PICOSECONDS if len(self._durations) > 1 else end_picoseconds - self.time_picoseconds
        renewals = range(self.time_picoseconds + step, end_picoseconds, step)
        knots = self.parameters.ambient.knots_between(self.time_picoseconds, end_picoseconds)
        powers = [*(load.power for load in self.parameters.loads), *((self.supply.harvest,) if self.supply else ())]
        steps = (power.steps_between(self.time_picoseconds, end_picoseconds) for power in powers)
        return [*sorted({*renewals, *knots, *chain.from_iterable(steps)}), end_picoseconds]

    def _take_segments(self) -> tuple[NDArray[np.int64], FloatArray]:
        """Return and forget the recorded segments: durations [m] in picoseconds, and draws [m, n + 2].

        Draws are powers, and last the share of the leakage.
        """
        durations = np.array(self._durations, dtype=np.int64)
        energies = self._energy_rows[self._rows] * np.array(self._shares)[:, None]
        draws = self._draws[self._levels] if self.is_powered else np.zeros((len(durations), len(self._draws[0])))
        segments = len(durations)
        for segment, column, joules in self._extras:
            if segment < segments:
                energies[segment, column] += joules
        self._extras = [(0, column, joules) for segment, column, joules in self._extras if segment == segments]
        self._rows, self._durations, self._shares, self._levels = [], [], [], []
        draws[:, :-1] += energies / (durations / PICOSECONDS_PER_SECOND)[:, None]
        return durations, draws

    def _with_loads(self, draws: FloatArray) -> tuple[FloatArray, float]:
        """Return draws with those of other loads, up to their next step, and the sum of these in watts."""
        if not self.parameters.loads or not self.is_powered:
            return draws, 0.0
        watts = self.parameters.co_running_watts(self.time_picoseconds)
        return draws + np.append(watts, 0.0), float(watts.sum())

    def _leakage_at(self, celsius: float) -> float:
        return self.parameters.leakage.watts_at(celsius) if self.is_powered and not self.is_burnt else 0.0

    def _advance_interval(
        self, end_picoseconds: int, seconds: FloatArray, draws: FloatArray, energies: FloatArray
    ) -> float:
        """Integrate under one leakage and ambient slope; add to ``energies``; return the joules leaked."""
        network, ambient, node = self.parameters.network, self.parameters.ambient, self._leakage_node
        powers, leaking = draws[:, :-1], draws[:, -1]
        start = self.time_picoseconds
        span = (end_picoseconds - start) / PICOSECONDS_PER_SECOND
        start_celsius = ambient.temperature_celsius(start)
        slope = ambient.slope_kelvin_per_second(start)
        if len(seconds) == 1:
            rise, integral = network.advance_constant(self.rise_kelvin, span, powers[0, :-1], slope)
        else:
            rise, integral = network.advance(self.rise_kelvin, seconds, powers[:, :-1], slope)
        response, response_integral = self._leakage_response(seconds, leaking, span)

        watts = self._leakage_at(start_celsius + float(self.rise_kelvin[node]))
        mean_celsius = start_celsius + slope * span / 2 + float(integral[node]) / span
        mean_per_watt = float(response_integral[node]) / span
        is_fine = end_picoseconds - start <= FINEST_STEP_PICOSECONDS
        mean_watts = self.parameters.leakage.mean_watts(mean_celsius, mean_per_watt) if watts else 0.0
        first_watts, watts = watts, watts if mean_watts is None else mean_watts
        risen = rise + watts * response
        end_celsius = start_celsius + slope * span + float(risen[node])
        late_watts = self._leakage_at(min(end_celsius, BURNT_CELSIUS))
        late_kelvin = abs(late_watts - watts) * float(response[node])
        is_long = span > LEAKAGE_STEP_SECONDS
        is_coarse = late_kelvin > (LASTING_TOLERANCE_KELVIN if is_long else LEAKAGE_TOLERANCE_KELVIN) or (
            is_long and self._is_curved(watts, first_watts, late_watts)
        )
        if not is_fine and (mean_watts is None or is_coarse):
            return self._advance_halves(end_picoseconds, seconds, draws, energies)

        self.rise_kelvin = risen
        self.time_picoseconds = end_picoseconds
        self.runs_away = end_celsius >= self._critical_celsius and self._warms_at_rest(slope)
        self.is_burnt |= end_celsius >= self._burnt_celsius
        leaked = watts * float(leaking @ seconds)
        drawn = seconds @ powers
        drawn[node] += leaked
        energies += drawn
        lost = network.ambient_conductances_watts_per_kelvin @ (integral + watts * response_integral)
        self._ledger.drawn.add(float(drawn.sum()))
        self._ledger.elsewhere.add(float(drawn[-1]))
        self._ledger.to_ambient.add(float(lost))
        if self.supply is not None:
            self.supply.advance(start, seconds, powers.sum(axis=1) + watts * leaking)
        return leaked

    def _leakage_response(self, seconds: FloatArray, leaking: FloatArray, span: float) -> tuple[FloatArray, FloatArray]:
        """Return what a watt of leakage awake adds to the rise [n], and to its integral [n].

        Args:
            seconds: [m] lengths of the segments.
            leaking: [m] share of the leakage in each.
            span: Sum of the lengths.
        """
        network, node, share = self.parameters.network, self._leakage_node, leaking[0]
        if np.all(leaking == share):
            response, integral = network.step_response(node, span)
            return share * response, share * integral
        powers = np.zeros((len(seconds), len(network.nodes)))
        powers[:, node] = leaking
        return network.advance(np.zeros(len(network.nodes)), seconds, powers)

    def _is_curved(self, mean_watts: float, *watts: float) -> bool:
        """Return whether the mean leakage of an interval is far above the leakage at its mean temperature.

        Leakage is an exponential of temperature: spread by the factor 1 + d to both sides, its mean is above by
        d^2 / 2 of it, and in the end that power warms the node as far as all of its ways to ambient let it.
        """
        spread = max(abs(each - mean_watts) for each in watts)
        return spread**2 * self._kelvin_per_watt > 2 * mean_watts * LASTING_TOLERANCE_KELVIN

    def _advance_halves(
        self, end_picoseconds: int, seconds: FloatArray, draws: FloatArray, energies: FloatArray
    ) -> float:
        """Integrate as ``_advance_interval`` does, in two halves."""
        start = self.time_picoseconds
        durations = np.rint(seconds * PICOSECONDS_PER_SECOND).astype(np.int64)
        cuts = [(start + end_picoseconds) // 2, end_picoseconds]
        return sum(
            self._advance_interval(end, pieces / PICOSECONDS_PER_SECOND, drawn, energies)
            for end, pieces, drawn in _intervals(durations, draws, start, cuts)
        )

    def _warms_at_rest(self, slope_kelvin_per_second: float) -> bool:
        """Return whether every node would warm now with the device at rest, while ambient moves at this slope."""
        parameters, node = self.parameters, self._leakage_node
        warming = self._draws[-1, :-2] - parameters.network.outflow_watts(self.rise_kelvin)
        warming -= slope_kelvin_per_second * parameters.network.capacities_joules_per_kelvin
        if self.is_powered and not self.is_burnt:
            celsius = min(float(self.temperatures_celsius()[node]), BURNT_CELSIUS)
            warming[node] += self._resting_leakage.watts_at(celsius)
        return bool(np.all(warming >= 0))

    def temperatures_celsius(self) -> FloatArray:
        """Return the temperature of each node [n] now."""
        return self.rise_kelvin + self.parameters.ambient.temperature_celsius(self.time_picoseconds)

    @property
    def plant_energy_joules(self) -> float:
        """Energy drawn since the start: all power times time."""
        return self._ledger.drawn.value

    @property
    def elsewhere_joules(self) -> float:
        """Part of the energy drawn that heated no node."""
        return self._ledger.elsewhere.value

    @property
    def heat_to_ambient_joules(self) -> float:
        """Heat that left the nodes since the start, from the integral of their rise."""
        return self._ledger.to_ambient.value

    @property
    def heat_stored_joules(self) -> float:
        """Heat that the nodes hold more than at the start, from their temperatures."""
        capacities = self.parameters.network.capacities_joules_per_kelvin
        return float(capacities @ (self.temperatures_celsius() - self._initial_celsius))

    def check_heat_balance(self) -> None:
        """Check that the energy drawn equals heat stored + to ambient + elsewhere, and what the supply delivered.

        Raises:
            InvariantError: It differs by more than 1e-9 of the energy drawn.
        """
        if self.supply is not None:
            self.supply.check_balance()
        held = np.abs(self.temperatures_celsius()) + np.abs(self._initial_celsius)
        capacities = self.parameters.network.capacities_joules_per_kelvin
        self._ledger.check(self.heat_stored_joules, float(capacities @ held))


def _intervals(
    durations: NDArray[np.int64], draws: FloatArray, start_picoseconds: int, cuts: list[int]
) -> Iterator[tuple[int, NDArray[np.int64], FloatArray]]:
    """Yield (end, durations, draws) up to each cut; a segment across a cut keeps its draw."""
    if len(cuts) == 1:
        yield cuts[0], durations, draws
        return
    ends = start_picoseconds + durations.cumsum()
    boundaries = np.union1d(ends, cuts)
    owners = np.searchsorted(ends, boundaries)
    pieces = np.diff(boundaries, prepend=start_picoseconds)
    first = 0
    for cut, stop in zip(cuts, np.searchsorted(boundaries, cuts, side="right"), strict=True):
        yield cut, pieces[first:stop], draws[owners[first:stop]]
        first = stop
