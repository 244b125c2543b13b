"""Model-predictive: looks ahead with the heat of the profile, and takes the plan that is worth most and stays cool.

A plan is a mode (a rung of the ladder at a clock) for the first part of the horizon and another for the rest: shooting
over all pairs, of which only the first mode is carried out before the next look (receding horizon). Temperatures are
those of the profile's RC network under each mode's mean power, stepped exactly with the matrix exponential. Where the
network stands nobody tells: an observer follows it with the modes that were in use, and moves all nodes by a share of
what the sensor's reading is off, and the ambient temperature by a smaller one (a Luenberger observer). So noise is
averaged, what the profile has wrong comes in as another ambient, and a margin below the trip takes what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from hwsim.controllers.actions import PICOSECONDS_PER_SECOND, FloatArray, LadderOptions, build_ladder
from hwsim.controllers.base import Decision, DeviceView, HeatView, NetworkView, Observation, Wake
from hwsim.controllers.modes import FULL, Mode, in_mode
from hwsim.controllers.rate import UNSEEN, Rate
from hwsim.errors import ConfigurationError

RATE_SECONDS = 2.0
"""Time constant of the average of frames per second."""


class MpcOptions(LadderOptions):
    """Options of the rule.

    Attributes:
        below_trip_kelvin: Predicted temperatures stay so much below the device's first trip.
        horizon_seconds: How far it looks ahead.
        first_share: The first mode of a plan is held for this share of the horizon.
        observer_gain: Share of the error of a predicted reading by which the observer moves the nodes.
        ambient_gain: Share of it by which it moves the ambient temperature.
        energy_weight: What all energy of a frame at the most bits is worth, in parts of a right answer.
        period_milliseconds: Time between looks.
    """

    below_trip_kelvin: float = Field(default=2.0, ge=0.0, allow_inf_nan=False)
    horizon_seconds: float = Field(default=20.0, gt=0.0, allow_inf_nan=False)
    first_share: float = Field(default=0.25, gt=0.0, lt=1.0)
    observer_gain: float = Field(default=0.3, gt=0.0, le=1.0)
    ambient_gain: float = Field(default=0.02, ge=0.0, le=1.0)
    energy_weight: float = Field(default=0.02, ge=0.0, allow_inf_nan=False)
    period_milliseconds: int = Field(default=500, ge=1)


@dataclass(frozen=True, slots=True, eq=False)
class MpcState:
    """Estimated temperatures (nodes: ``None`` before the first reading), the mode in use, how often frames come."""

    nodes_celsius: FloatArray | None = None
    ambient_celsius: float = 0.0
    mode: Mode = FULL
    rate: Rate = UNSEEN


class Mpc:
    """Plans over the cost table and the profile's heat."""

    wakes_on: frozenset[Wake] = frozenset({"tick"})
    needs_outputs = False

    def __init__(self, options: MpcOptions) -> None:
        self._options = options
        self.tick_picoseconds = options.period_milliseconds * PICOSECONDS_PER_SECOND // 1000

    def init(self, device: DeviceView, network: NetworkView) -> tuple[Decision, MpcState]:
        """Start at the most bits and the fastest clock."""
        if not device.trip_celsius or device.heat is None:
            raise ConfigurationError("controller mpc: needs a throttling trip to stay below, and the device's heat")
        options, self._heat = self._options, device.heat
        self._ladder = ladder = build_ladder(options, device, network)
        clocks = range(len(device.frequencies_hertz))
        self._modes = [Mode(rung, clock) for rung in range(len(ladder)) for clock in clocks]
        scales = np.array(device.energy_scales or [1.0] * len(clocks))
        nodes = network.costs.node_energy_joules[..., :-1]
        shares = nodes.reshape(-1, nodes.shape[-1]).sum(axis=0) / network.costs.energy_joules.sum()
        joules = np.array([ladder.joules[rung] * scales[clock] for rung, clock in self._modes])
        self._frame_joules = joules[:, None] * shares
        self._seconds = np.array([ladder.seconds[rung, clock] for rung, clock in self._modes])
        self._limit_celsius = device.trip_celsius[0] - options.below_trip_kelvin
        first = options.horizon_seconds * options.first_share
        self._step = _Step(device.heat, options.period_milliseconds / 1000)
        self._first, self._rest = _Step(device.heat, first), _Step(device.heat, options.horizon_seconds - first)
        return in_mode(ladder, FULL, "start"), MpcState()

    def decide(
        self, observation: Observation, state: MpcState, generator: np.random.Generator
    ) -> tuple[Decision | None, MpcState]:
        """Follow the device, then take the first mode of the best plan."""
        rate = state.rate.after(observation, time_constant_seconds=RATE_SECONDS)
        powers = self._powers(rate.per_second or 0.0)
        nodes, ambient = self._observed(observation, state, powers)
        if nodes is None:
            return None, MpcState(None, ambient, state.mode, rate)
        ahead = _Outlook(nodes, ambient, powers, self._worth(powers, rate.per_second or 0.0))
        mode, hottest = self._plan(ahead, observation.throttle_cap_hertz)
        after = MpcState(nodes, ambient, mode, rate)
        if mode == state.mode:
            return None, after
        return in_mode(self._ladder, mode, f"at most {hottest:.1f} degC ahead"), after

    def _powers(self, frames_per_second: float) -> FloatArray:
        """Return [modes, nodes] mean dynamic power; a mode cannot do more frames than there is time for."""
        done = np.minimum(frames_per_second, 1.0 / self._seconds)
        return np.asarray(done[:, None] * self._frame_joules)

    def _observed(
        self, observation: Observation, state: MpcState, powers: FloatArray
    ) -> tuple[FloatArray | None, float]:
        """Return where the nodes and the ambient temperature are taken to be."""
        reading, sensor = observation.die_celsius, self._heat.sensor_node
        if state.nodes_celsius is None:
            if reading is None:
                return None, state.ambient_celsius
            rise = self._step.settled_rise(np.full(len(self._heat.constant_watts), reading))
            return reading - rise[sensor] + rise, reading - float(rise[sensor])
        drawn = powers[self._modes.index(state.mode)]
        nodes = self._step.ahead(state.nodes_celsius, drawn, state.ambient_celsius)
        if reading is None:
            return nodes, state.ambient_celsius
        error = reading - float(nodes[sensor])
        return nodes + self._options.observer_gain * error, state.ambient_celsius + self._options.ambient_gain * error

    def _plan(self, now: _Outlook, cap_hertz: int) -> tuple[Mode, float]:
        """Return the first mode of the best plan, and the sensor's highest temperature under it."""
        sensor, count, share = self._heat.sensor_node, len(self._modes), self._options.first_share
        starts = np.broadcast_to(now.nodes_celsius, now.powers_watts.shape)
        middle = self._first.ahead(starts, now.powers_watts, now.ambient_celsius)
        then = np.broadcast_to(middle[:, None], (count, *middle.shape))
        end = self._rest.ahead(then, now.powers_watts[None], now.ambient_celsius)
        hottest = np.maximum(middle[:, None, sensor], end[..., sensor])
        value = share * now.worth[:, None] + (1.0 - share) * now.worth
        # Too hot is worse than anything that a plan can be worth; among plans that are, the coolest.
        value = np.where(hottest <= self._limit_celsius, value, -1e3 - hottest)
        allowed = np.array([self._ladder.frequencies_hertz[clock] <= cap_hertz for _, clock in self._modes])
        if allowed.any():
            value = np.where(allowed[:, None], value, -np.inf)
        first, rest = np.unravel_index(int(value.argmax()), value.shape)
        return self._modes[int(first)], float(hottest[first, rest])

    def _worth(self, powers: FloatArray, frames_per_second: float) -> FloatArray:
        """Return [modes] what a frame is worth: accuracy of those that there is time for, less energy."""
        busy = frames_per_second * self._seconds
        in_time = np.where(busy <= 1.0, 1.0, 1.0 / np.maximum(busy, 1.0))
        accuracies = np.array([self._ladder.accuracies[rung] for rung, _ in self._modes])
        energies = self._frame_joules.sum(axis=1) / self._frame_joules[0].sum()
        return np.asarray(in_time * accuracies - self._options.energy_weight * energies)


@dataclass(frozen=True, slots=True, eq=False)
class _Outlook:
    """What a plan starts from: temperatures, and each mode's mean power [modes, nodes] and worth [modes]."""

    nodes_celsius: FloatArray
    ambient_celsius: float
    powers_watts: FloatArray
    worth: FloatArray


class _Step:
    """The profile's network over a fixed time: exact for constant powers, leakage taken as it is at the beginning."""

    def __init__(self, heat: HeatView, seconds: float) -> None:
        from scipy.linalg import expm

        self._heat = heat
        conductances = heat.conductances_watts_per_kelvin
        self._kept = expm(-conductances / heat.capacities_joules_per_kelvin[:, None] * seconds)
        self._resistances = np.linalg.inv(conductances)
        self._gain = (np.eye(len(conductances)) - self._kept) @ self._resistances

    def ahead(self, nodes_celsius: FloatArray, powers_watts: FloatArray, ambient_celsius: float) -> FloatArray:
        """Return temperatures [..., nodes] after the time, from temperatures and mean powers [..., nodes]."""
        watts = powers_watts + self._idle_watts(nodes_celsius)
        return np.asarray(ambient_celsius + (nodes_celsius - ambient_celsius) @ self._kept.T + watts @ self._gain.T)

    def settled_rise(self, nodes_celsius: FloatArray) -> FloatArray:
        """Return the rise [nodes] over ambient of a device that does nothing, leaking as at these temperatures."""
        return np.asarray(self._resistances @ self._idle_watts(nodes_celsius))

    def _idle_watts(self, nodes_celsius: FloatArray) -> FloatArray:
        heat = self._heat
        watts = np.broadcast_to(heat.constant_watts, nodes_celsius.shape).copy()
        over = nodes_celsius[..., heat.leakage_node] - heat.leakage_reference_celsius
        watts[..., heat.leakage_node] += heat.leakage_watts * np.exp(heat.leakage_slope_per_kelvin * over)
        return watts
