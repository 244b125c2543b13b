"""Bounds on how a device warms and throttles, whoever decides: what ``hwsim.oracle`` needs to know of its heat."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, Ladder
from hwsim.device import Device
from hwsim.oracle import Heat, Trip
from hwsim.planning import Plan
from hwsim.plant.parameters import PlantParameters
from hwsim.plant.plant import Plant
from hwsim.plant.power import dynamic_energy_scale
from hwsim.plant.throttling import BangBang
from hwsim.setting_up import simulation_setup

FloatArray = NDArray[np.float64]
BLOCKS_SECONDS = (2.0, 1.0, 0.5, 0.2, 0.1)
"""Lengths of a block: the longest is taken in which a device that is capped cannot cool so far that the cap ends."""
UNBOUNDED_SECONDS = 1.0
"""Length of a block where heat is left out."""
NOISE_DEVIATIONS = 4.0
"""A sensor errs by no more than so many standard deviations (in 6 of 100 000 readings it does)."""
MOST_ROUNDS = 200
"""In which the hottest temperature must be found: where leakage runs away, there is none."""
PLANT_KELVIN = 0.01
"""The plant's own temperatures err by less."""


def bounded_heat(
    planned: Plan, ladder: Ladder, joules: FloatArray, clocks: NDArray[np.intp], end_seconds: float
) -> tuple[float, Heat | None]:
    """Return the length of a block, and how the device warms and throttles.

    That is ``None`` where it is not bounded: several streams or a network that learns, another law than trips with
    fixed caps, a battery (a device that is off cools), or a throttle whose sensor may fail. A device that switches
    itself off for heat is taken to stay on.

    Args:
        planned: The plan.
        ladder: What its stream chooses among, on the device as it is.
        joules: [K, nodes] that a frame at each rung spends where it warms the device, at the nominal voltage.
        clocks: [M] position of the clock of each mode.
        end_seconds: The last deadline.
    """
    device, law = planned.device, planned.device.throttling
    broken = any(fault.sensor == "die_temperature" and fault.reaches == "device" for fault in planned.scenario.faults)
    alone = len(planned.streams) == 1 and planned.learning is None
    if not isinstance(law, BangBang) or not law.trips or device.battery is not None or broken or not alone:
        return UNBOUNDED_SECONDS, None
    bounds = _Bounds.of(planned, ladder, joules)
    least_drop = min(trip.temperature_millicelsius - trip.resume_millicelsius for trip in law.trips) / 1000
    allowed = planned.streams[0].stream.deadline_picoseconds / PICOSECONDS_PER_SECOND
    for block in BLOCKS_SECONDS:
        resting, warmest_air = bounds.at_rest(planned, block, end_seconds)
        fall = bounds.most_cooling(block) + max(float(-np.diff(resting).min(initial=0.0)), 0.0)
        if fall <= least_drop and block >= allowed:
            break
    else:
        return UNBOUNDED_SECONDS, None
    margin = NOISE_DEVIATIONS * device.sensor.noise + device.sensor.step + PLANT_KELVIN
    hertz = np.array(device.frequencies_hertz)
    trips = [(trip.temperature_millicelsius / 1000 + margin, trip.frequency_cap_hertz) for trip in law.trips]
    caps = [int(np.flatnonzero(hertz <= cap)[0]) for _, cap in trips]
    poll = law.poll_picoseconds + device.sensor.period_picoseconds + device.sensor.delay_picoseconds
    grace = poll / PICOSECONDS_PER_SECOND
    hottest = [
        bounds.hottest(celsius + bounds.most_rise(grace), cap, warmest_air)
        for (celsius, _), cap in zip(trips, caps, strict=True)
    ]
    return block, Heat(
        resting_celsius=resting,
        hottest_celsius=np.min(hottest, axis=0),
        rates_per_second=bounds.rates,
        responses_kelvin_per_joule=bounds.responses,
        trips=tuple(Trip(celsius=celsius, slower=hertz[clocks] <= cap) for celsius, cap in trips),
        grace_seconds=grace,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Bounds:
    """What the device's physics can do at the least and at the most.

    Attributes:
        device: The device.
        resting: Its physics with the least that is drawn without any work: that of the deepest idle state.
        awake_watts: [nodes] what is drawn awake without any work, other loads at their highest.
        watts: [clocks, nodes] mean power of frames one after the other, with a decision before each layer.
        frame_joules: [nodes] the most that one frame spends: what more than the mean can be spent in some time.
    """

    device: Device
    resting: PlantParameters
    awake_watts: FloatArray
    watts: FloatArray
    frame_joules: FloatArray

    @classmethod
    def of(cls, planned: Plan, ladder: Ladder, joules: FloatArray) -> _Bounds:
        """Return the bounds of a plan's device, working for its only stream."""
        device = planned.device
        setup = simulation_setup(planned, 1)
        awake = device.plant_parameters(setup.cost_tables, setup.ambient, setup.loads)
        least = awake.draws[-1]
        constant = awake.constant_powers_watts.copy()
        for load in setup.loads:
            constant[load.column] += load.power.highest_watts
        decided = np.zeros(len(constant))
        decided[device.decision.column] = device.decision.energy_joules * (
            len(planned.streams[0].costs.graph.layers) + 1
        )
        scales = np.array([
            dynamic_energy_scale(point.voltage_volts, device.nominal_voltage_volts)
            for point in device.operating_points.points
        ])  # fmt: skip
        spent = scales[:, None, None] * joules + decided[:-1]
        return cls(
            device=device,
            resting=dataclasses.replace(
                awake, constant_powers_watts=least[:-1], leakage=awake.leakage.scaled(float(least[-1])), resting=()
            ),
            awake_watts=constant[:-1],
            watts=np.asarray((spent / ladder.seconds.T[..., None]).max(axis=1)),
            frame_joules=np.asarray(spent.max(axis=(0, 1))),
        )

    @property
    def rates(self) -> FloatArray:
        """[modes] of the thermal network."""
        return self.resting.network.modes.rates_per_second

    @property
    def responses(self) -> FloatArray:
        """[modes, nodes] kelvin at the sensor's node at once after a joule in a node, by mode."""
        shapes = self.resting.network.modes.shapes
        return np.asarray(shapes[self.device.sensor_node][:, None] * shapes.T)

    def at_rest(self, planned: Plan, block: float, end_seconds: float) -> tuple[FloatArray, FloatArray]:
        """Return [B] the sensor's node without any work, and the warmest air until then, as each block begins."""
        rise = self.resting.steady_idle_rise() if planned.scenario.initial_state == "steady_idle" else None
        plant, node = Plant(self.resting, initial_rise_kelvin=rise), self.device.sensor_node
        celsius = [float(plant.temperatures_celsius()[node])]
        air = [self.resting.ambient.temperature_celsius(0)]
        for at in range(1, math.ceil(end_seconds / block) + 1):
            now = round(at * block * PICOSECONDS_PER_SECOND)
            air += [
                max(self.resting.ambient.temperature_celsius(time) for time in self._turns(plant.time_picoseconds, now))
            ]
            plant.record(0, now - plant.time_picoseconds)
            plant.advance_to(now)
            celsius.append(float(plant.temperatures_celsius()[node]))
        return np.array(celsius), np.maximum.accumulate(air)

    def most_rise(self, seconds: float) -> float:
        """Return by how much frames at the fastest clock can warm the sensor's node within a time."""
        taken = (-np.expm1(-self.rates * seconds) / self.rates) @ np.maximum(self.responses, 0.0)
        at_once = np.maximum(self.responses, 0.0).sum(axis=0)
        return float(taken @ (self.watts[0] + self._leaking(self.device.shutdown.temperature_celsius))
                     + at_once @ self.frame_joules)  # fmt: skip

    def most_cooling(self, seconds: float) -> float:
        """Return by how much the sensor's node can cool within a time as work ends.

        With r(a) what a joule of age a still warms it, that is the integral over a of r(a) - r(a + seconds), where that
        is above 0, times the most that is drawn, and once more for the energy of one frame at one moment.
        """
        ages = np.concatenate([[0.0], np.geomspace(1e-3 / self.rates.max(), 30.0 / self.rates.min(), 4000)])
        falls = np.maximum(np.exp(-np.outer(ages, self.rates)) * -np.expm1(-self.rates * seconds) @ self.responses, 0.0)
        watts = self.watts[0] + self._leaking(self.device.shutdown.temperature_celsius)
        return float(np.trapezoid(falls, ages, axis=0) @ watts + falls.max(axis=0) @ self.frame_joules)

    def hottest(self, begins_celsius: float, cap: int, warmest_air: FloatArray) -> FloatArray:
        """Return [B] a temperature H that the sensor's node does not exceed, capped above ``begins_celsius``.

        Heat flows from warm to cool, so temperatures are monotonic in powers and in each other: with the sensor's node
        held at H, and all other nodes drawing the most, they settle no cooler than they ever were. With those and the
        most that the node draws under the cap, it would settle at f(H). Where f(H) <= H, no decision takes it above H.
        """
        network, node = self.resting.network, self.device.sensor_node
        others = np.arange(len(network.nodes)) != node
        to_air = network.ambient_conductances_watts_per_kelvin
        between = network.conductances_watts_per_kelvin
        matrix = np.diag(between.sum(axis=1) + to_air) - between
        celsius = np.full(len(warmest_air), begins_celsius)
        for _ in range(MOST_ROUNDS):
            leaking = np.array([self._leaking(each) for each in celsius])
            drawn = self.awake_watts + leaking
            rest = np.linalg.solve(
                matrix[np.ix_(others, others)],
                ((drawn + self.watts[0])[:, others] + to_air[others] * warmest_air[:, None]
                 + np.outer(celsius, between[others, node])).T,
            ).T  # fmt: skip
            settled = drawn[:, node] + self.watts[cap, node] + to_air[node] * warmest_air + rest @ between[others, node]
            after = np.maximum(begins_celsius, settled / matrix[node, node] + self._frame_kelvin)
            if np.all(after <= celsius + PLANT_KELVIN):
                return np.asarray(celsius + PLANT_KELVIN)
            celsius = np.maximum(celsius, after)
        return np.full(len(warmest_air), np.inf)

    @property
    def _frame_kelvin(self) -> float:
        """What one frame, all of it at once, warms the sensor's node."""
        return float(np.maximum(self.responses, 0.0).sum(axis=0) @ self.frame_joules)

    def _leaking(self, celsius: float) -> FloatArray:
        """Return [nodes] what leaks at the most while the sensor's node is no warmer than this."""
        leakage, node = self.device.leakage, self.resting.leakage_node
        watts = np.zeros(len(self.resting.network.nodes))
        watts[node] = leakage.watts_at(
            celsius if node == self.device.sensor_node else self.device.shutdown.temperature_celsius
        )
        return watts

    def _turns(self, start: int, end: int) -> tuple[int, ...]:
        return (start, *self.resting.ambient.knots_between(start, end), end)
