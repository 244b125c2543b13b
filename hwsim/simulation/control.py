"""The loop around the controller of one stream: when it is asked, what it sees, when its decision takes effect."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import simpy

from hwsim.controllers.base import BatteryView, Decision, DeviceView, HeatView, NetworkView, Observation, Wake
from hwsim.controllers.guard import Guard
from hwsim.device import Device
from hwsim.errors import ControllerError
from hwsim.plant.plant import Plant
from hwsim.plant.power import dynamic_energy_scale
from hwsim.plant.sensors import SensorChannel
from hwsim.simulation.clock import Clock
from hwsim.simulation.events import Announcer, ControllerAsked, DecisionTaken, Widths
from hwsim.simulation.lane import Lane
from hwsim.simulation.probing import Probing


def device_view(device: Device) -> DeviceView:
    """Return what a controller may know of a device."""
    network, leakage, pack = device.thermal_network, device.leakage, device.battery
    conductances = network.conductances_watts_per_kelvin
    to_ambient = network.ambient_conductances_watts_per_kelvin
    return DeviceView(
        frequencies_hertz=device.frequencies_hertz,
        trip_celsius=tuple(mark.temperature_celsius for mark in device.throttling.marks),
        maximum_junction_celsius=device.maximum_junction_celsius,
        decision_picoseconds=device.decision.time_picoseconds,
        energy_scales=tuple(
            dynamic_energy_scale(point.voltage_volts, device.nominal_voltage_volts)
            for point in device.operating_points.points
        ),
        heat=HeatView(
            capacities_joules_per_kelvin=network.capacities_joules_per_kelvin,
            conductances_watts_per_kelvin=np.diag(conductances.sum(axis=1) + to_ambient) - conductances,
            sensor_node=device.sensor_node,
            constant_watts=np.array(device.constant_powers_watts[:-1]),
            leakage_node=network.nodes.index(leakage.node),
            leakage_watts=leakage.power_watts,
            leakage_reference_celsius=leakage.reference_celsius,
            leakage_slope_per_kelvin=leakage.slope_per_kelvin,
        ),
        battery=None
        if pack is None
        else BatteryView(
            capacity_joules=pack.battery.capacity_joules,
            available_share=pack.battery.available_share,
            valve_per_second=pack.battery.valve_per_second,
            cut_off=pack.cut_off,
            resting_watts=sum(device.constant_powers_watts) + leakage.power_watts,
        ),
    )


class ControlLoop:
    """Asks a controller and carries out what it decides, charged in time and energy.

    Attributes:
        asked: Times that the controller was asked.
        failures: What it did wrong, where the safe widths took its place.
        closed: Set when no more work comes: the controller is not asked any more.
        asleep: Set while the device is off: nobody is there to be asked, and no decision takes effect.
    """

    def __init__(
        self, environment: simpy.Environment, controller: Guard, device: Device, told: DeviceView,
        network: NetworkView, lane: Lane, clock: Clock, plant: Plant, announcer: Announcer, *,
        die_sensor: SensorChannel, read_free_bandwidth: Callable[[], float | None],
        read_state_of_charge: Callable[[], float | None], read_power_watts: Callable[[], float | None],
        confidences: Callable[[bool], tuple[float, ...]],
        generator: np.random.Generator, safe: Decision | None, probing: Probing,
    ) -> None:  # fmt: skip
        self._environment = environment
        self._controller = controller
        self._device = device
        self._told = told
        self._network = network
        self._lane = lane
        self._clock = clock
        self._plant = plant
        self._announcer = announcer
        self._die_sensor = die_sensor
        self._read_free_bandwidth = read_free_bandwidth
        self._read_state_of_charge = read_state_of_charge
        self._read_power_watts = read_power_watts
        self._confidences = confidences
        self._generator = generator
        self._safe = safe
        self._probing = probing
        lane.finished = [] if controller.wakes_on else None
        self._starts = 0
        self.asked = 0
        self.failures: list[str] = []
        self.closed = False
        self.start()
        if "frame" in controller.wakes_on:
            lane.before_frame = lambda: self._ask("frame")
        if "layer" in controller.wakes_on:
            lane.before_layer = lambda: self._ask("layer")
        if "finish" in controller.wakes_on:
            lane.before_answer = self._rerun
            lane.holding_picoseconds = device.decision.time_picoseconds
        if "tick" in controller.wakes_on:
            environment.process(self._ticks())

    def start(self) -> None:
        """Begin anew: with the run, and with the device after it was off; decisions on their way are lost."""
        self._starts += 1
        self.asleep = self._failed = False
        try:
            first, self._state = self._controller.init(self._told, self._network)
        except ControllerError as error:
            first = self._fall_back(error, None)
        else:
            self._tell_answer(None, first)
        now = int(self._environment.now)
        self._lane.wanted = [first.widths[layer.name] for layer in self._network.graph.layers]
        if first.frequency_hertz is not None:
            self._clock.request(first.frequency_hertz, now, stream=self._lane.number)
        self._announce(first, now, ())

    def _ticks(self) -> Generator[simpy.Event, Any, None]:
        while True:
            yield self._environment.timeout(self._controller.tick_picoseconds)
            if not (self.closed or self.asleep):
                self._ask("tick")

    def _rerun(self) -> Sequence[Widths] | None:
        """Ask about the answer that is held, and return the widths at which the frame is to run again."""
        decision = self._ask("finish")
        if decision is None or decision.rerun is None:
            return None
        highest = {layer.name: max(layer.allowed) for layer in self._network.graph.layers}
        return [*(highest | dict(decision.rerun)).values()]

    def _ask(self, wake: Wake) -> Decision | None:
        if self._failed:
            return None
        now = int(self._environment.now)
        lane = self._lane
        observation = Observation(
            time_picoseconds=now,
            wake=wake,
            die_celsius=self._die_sensor.read(now),
            die_age_picoseconds=self._die_sensor.age_picoseconds(now),
            free_bandwidth_share=self._read_free_bandwidth(),
            frequency_hertz=self._clock.frequency_hertz,
            throttle_cap_hertz=self._clock.cap_hertz,
            queued_deadlines_picoseconds=tuple(frame.deadline_picoseconds for frame in lane.queue),
            frame=None if lane.frame is None else lane.frame.number,
            frame_deadline_picoseconds=None if lane.frame is None else lane.frame.deadline_picoseconds,
            first_uncommitted=lane.first_uncommitted,
            wanted=tuple(lane.wanted),
            confidences=self._confidences(wake == "finish"),
            state_of_charge=self._read_state_of_charge(),
            power_watts=self._read_power_watts(),
            stream=lane.name,
            finished=tuple(lane.finished or ()),
            probes=self._probing.take(),
        )
        if lane.finished:
            lane.finished.clear()
        try:
            decision, self._state = self._controller.decide(
                observation, self._state, self._generator, self._network.graph
            )
        except ControllerError as error:
            decision = self._fall_back(error, observation)
        else:
            self._tell_answer(observation, decision)
        self.asked += 1
        self._plant.record_energy(self._device.decision.column, self._device.decision.energy_joules)
        if decision is not None:
            effect = self._environment.timeout(self._device.decision.time_picoseconds)
            starts = self._starts
            effect.callbacks.append(lambda _: self._carry_out(decision, now, starts))
        return decision

    def _fall_back(self, error: ControllerError, observation: Observation | None) -> Decision:
        """Return the safe widths, which hold until the device starts anew.

        Raises:
            ControllerError: There are none.
        """
        self._tell_answer(observation, self._safe, failed=True)
        if self._safe is None:
            raise error
        self._failed = True
        self.failures.append(str(error))
        return dataclasses.replace(self._safe, reason=f"safe widths: {error}")

    def _carry_out(self, decision: Decision, asked_picoseconds: int, starts: int) -> None:
        if self.asleep or starts != self._starts:
            return
        lane, graph = self._lane, self._network.graph
        before = tuple(lane.wanted)
        for site, widths in decision.widths.items():
            lane.wanted[graph.index[site]] = widths
        if decision.frequency_hertz is not None:
            self._clock.request(decision.frequency_hertz, int(self._environment.now), stream=lane.number)
        self._announce(decision, asked_picoseconds, before)
        if decision.probe is not None:
            self._probing.start(decision.probe)

    def _tell_answer(self, observation: Observation | None, decision: Decision | None, *, failed: bool = False) -> None:
        event = ControllerAsked(int(self._environment.now), observation, decision, failed, self._lane.number)
        for tell in self._announcer.controller_asked:
            tell(event)

    def _announce(self, decision: Decision, asked_picoseconds: int, before: tuple[Widths, ...]) -> None:
        lane = self._lane
        event = DecisionTaken(
            asked_picoseconds,
            int(self._environment.now),
            -1 if lane.frame is None else lane.frame.number,
            lane.first_uncommitted,
            before,
            tuple(lane.wanted),
            decision.frequency_hertz or 0,
            decision.reason,
            lane.number,
        )
        for tell in self._announcer.decision_taken:
            tell(event)
