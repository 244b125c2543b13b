"""The simulator: one device, executing a layer graph under a controller. Only this package knows SimPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

from hwsim.controllers.guard import Guard
from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND
from hwsim.plant.plant import Plant
from hwsim.plant.sensor_faults import FaultState, SensorName
from hwsim.plant.sensors import SensorChannel
from hwsim.plant.supply import Supply
from hwsim.simulation.accelerator import Accelerator
from hwsim.simulation.activity import Activity
from hwsim.simulation.bandwidth import Bandwidth, BandwidthCounter
from hwsim.simulation.clock import Clock
from hwsim.simulation.control import ControlLoop, device_view
from hwsim.simulation.events import Announcer, Observer, TelemetrySampled
from hwsim.simulation.idle_states import IdleStates
from hwsim.simulation.incoming import frames, source
from hwsim.simulation.lane import Lane
from hwsim.simulation.learning import PRIORITY, LearningSetup, ask_for_steps
from hwsim.simulation.power_meter import PowerMeter
from hwsim.simulation.power_supply import PowerSupply, most_watts
from hwsim.simulation.power_switch import PowerSwitch
from hwsim.simulation.probing import Probing
from hwsim.simulation.randomness import generator
from hwsim.simulation.schedule import build_schedule
from hwsim.simulation.setup import Setup, Values
from hwsim.simulation.spilled_tensors import SpilledTensors
from hwsim.simulation.throttle import Throttle
from hwsim.simulation.valued_rows import ValuedRows

Process = Generator[simpy.Event, Any, None]


class Simulator:
    """Wires the processes of one run together.

    Args:
        setup: What is simulated.
        observers: Who is told of what happens.
        values: Of each stream; nothing by default.

    Attributes:
        plant: The device's physics; its ledgers are checked at the end.
        controls: The loop around each stream's controller.
    """

    def __init__(self, setup: Setup, observers: Sequence[Observer], values: Sequence[Values] = ()) -> None:
        self._setup = setup
        values = values or [Values()] * len(setup.streams)
        device = setup.device
        self._environment = simpy.Environment(initial_time=0)
        self._announcer = Announcer(observers)
        parameters = device.plant_parameters(setup.cost_tables, setup.ambient, setup.loads)
        rise = parameters.steady_idle_rise() if setup.initial_state == "steady_idle" else None
        supply = None
        if device.battery is not None and setup.initial_state_of_charge is not None:
            supply = Supply(device.battery, state_of_charge=setup.initial_state_of_charge, harvest=setup.harvest)
        self.plant = Plant(parameters, initial_rise_kelvin=rise, supply=supply)
        self._activity = Activity(self.plant)
        self._lanes = _lanes(setup, self.plant, values)
        guards = [Guard(stream.controller, limit_seconds=stream.answer_limit_seconds) for stream in setup.streams]
        probed = [lane for lane, guard in zip(self._lanes, guards, strict=True) if guard.probes]
        self._idle_states = IdleStates(self._environment, device.idle_states, self._activity, self.plant)
        learner = None if setup.learning is None else _learner(setup, setup.learning, self.plant)
        self._accelerator = Accelerator(
            self._environment, self._lanes, self._activity, self._announcer, idle_states=self._idle_states,
            drop_expired=setup.drop_expired, shadows={lane.number: _shadow(lane) for lane in probed}, learner=learner,
        )  # fmt: skip
        self._clock = Clock(device, self._clock_changed)
        self._bandwidth = Bandwidth(self._environment, _free_shares(setup), self._accelerator.pace_changed)
        self._sensor = SensorChannel(device.sensor, self._faults("die_temperature", "device"))
        self._reported = SensorChannel(device.sensor, self._faults("die_temperature", "device", "controller"))
        self._interval = _Interval()
        counter = None if device.bandwidth_counter_picoseconds is None else BandwidthCounter(
            self._environment, self._bandwidth, device.bandwidth_counter_picoseconds,
            self._faults("memory_bandwidth", "device", "controller"),
        )  # fmt: skip
        self._meter = None if device.power_sensor is None else PowerMeter(
            self._environment, device.power_sensor, self._faults("power", "device", "controller"), self.plant,
            synchronise=self._synchronise, noise=generator(setup.seed, "power sensor"),
        )  # fmt: skip
        self._environment.process(self._sense(generator(setup.seed, "sensors")))
        self._power = PowerSwitch(
            self._environment, self.plant, device.shutdown, on_off=self._went_off, on_power=self._got_power,
            on_ready=self._came_up, record=self._sample_telemetry,
        )  # fmt: skip
        self._supply = None if supply is None else PowerSupply(
            self._environment, self._power, supply,
            most_watts=max(
                most_watts(
                    device, costs, values_save_cycles=each.array_cycles is not None,
                    moves_tensors=len(setup.cost_tables) > 1 or bool(probed),
                )
                for costs, each in zip(setup.cost_tables, [*values, Values()], strict=False)
            ) + sum(load.power.highest_watts for load in setup.loads),
            synchronise=self._synchronise, gauge_faults=self._faults("battery_gauge", "device", "controller"),
        )  # fmt: skip
        self._throttle = Throttle(
            self._environment, device.throttling, self._clock, self._activity,
            sample_picoseconds=device.sensor.period_picoseconds,
            read_die_celsius=lambda: self._sensor.read(int(self._environment.now)),
        )  # fmt: skip
        self._probing = [
            Probing(self._accelerator, lane.number, stream.graph, each.agreement)
            for stream, lane, each in zip(setup.streams, self._lanes, values, strict=True)
        ]
        self._accelerator.probe_ended = lambda stream, widths: self._probing[stream].end(widths)
        told = device_view(setup.told_device or device)
        self.controls = [
            ControlLoop(
                self._environment, guard, device, told, stream.view, lane, self._clock, self.plant, self._announcer,
                die_sensor=self._reported,
                read_free_bandwidth=lambda: None if counter is None else counter.reading,
                read_state_of_charge=lambda: None if self._supply is None else self._supply.reading,
                read_power_watts=lambda: None if self._meter is None else self._meter.reading,
                confidences=each.confidences,
                generator=source(setup.seed, "controller", setup.streams, lane.number), safe=stream.safe,
                probing=probing,
            )
            for stream, guard, lane, each, probing in zip(
                setup.streams, guards, self._lanes, values, self._probing, strict=True
            )
        ]  # fmt: skip
        self._accelerator.start(self._clock, self._bandwidth)
        self._arrived = self._environment.process(self._arrive())
        if setup.learning is not None and learner is not None:
            answered = self._lanes[setup.learning.stream]
            self._environment.process(
                ask_for_steps(self._environment, self._accelerator, learner, answered, setup.learning)
            )
        self._environment.process(self._report())

    def run(self, progress: Callable[[float], None] = lambda share: None) -> int:
        """Run to the end and return the simulated time in picoseconds.

        Args:
            progress: Told the share of the duration that is simulated, now and then.

        Raises:
            InvariantError: Energy or time does not add up, or the controller decided the impossible.
        """
        slices = 100
        for piece in range(1, slices + 1):
            until = self._setup.duration_picoseconds * piece // slices
            if until > self._environment.now:
                self._environment.run(until=until)
            progress(piece / slices)
        if not self._arrived.triggered:
            self._environment.run(until=self._arrived)
        while not self._accelerator.idle:
            self._environment.step()
        for control in self.controls:
            control.closed = True
        while self._accelerator.in_background:
            self._environment.step()
        # Idle on to a full period of telemetry, so that the last decision's energy has a time to be spent in.
        period = self._setup.telemetry_picoseconds
        end = (int(self._environment.now) // period + 1) * period
        self._environment.run(until=end)
        self._sample_telemetry()
        self.plant.check_heat_balance()
        return end

    def _arrive(self) -> Process:
        for frame in frames(self._setup.streams, self._setup.duration_picoseconds, self._setup.seed):
            yield self._environment.timeout(frame.arrival_picoseconds - self._environment.now)
            self._accelerator.arrive(frame)

    def _sense(self, noise: np.random.Generator) -> Process:
        while True:
            self._synchronise()
            node = self._setup.device.sensor_node
            now = int(self._environment.now)
            healthy = self._sensor.sample(now, float(self.plant.temperatures_celsius()[node]), noise)
            self._reported.take(now, healthy)
            reading = self._sensor.read(now)
            if reading is not None:
                self._power.watch(reading)
            self._power.watch_leakage()
            yield self._environment.timeout(self._setup.device.sensor.period_picoseconds)

    def _clock_changed(self) -> None:
        cost = self._setup.device.transition
        if cost.energy_joules:
            self._activity.settle(int(self._environment.now))
            self.plant.record_energy(cost.column, cost.energy_joules)
        self._accelerator.pace_changed()

    def _went_off(self) -> None:
        self._accelerator.power_off()
        self._clock.restart(int(self._environment.now))
        self._throttle.asleep = True
        for control in self.controls:
            control.asleep = True

    def _got_power(self) -> None:
        if self._supply is not None:
            self._supply.look_again()

    def _came_up(self) -> None:
        self._accelerator.power_on()
        self._throttle.start()
        for control in self.controls:
            control.start()

    def _faults(self, sensor: SensorName, *reached: str) -> list[FaultState]:
        """Return a sensor's faults that reach one of these; each draws the same times for all of its readers."""
        return [
            FaultState(fault, generator(self._setup.seed, f"sensor fault {number}"))
            for number, fault in enumerate(self._setup.faults)
            if fault.sensor == sensor and fault.reaches in reached
        ]

    def _report(self) -> Process:
        while True:
            self._sample_telemetry()
            yield self._environment.timeout(self._setup.telemetry_picoseconds)

    def _synchronise(self) -> None:
        """Bring the plant up to now."""
        now = int(self._environment.now)
        self._activity.settle(now)
        seconds = (now - self.plant.time_picoseconds) / PICOSECONDS_PER_SECOND
        if seconds:
            self.plant.advance_to(now)
            self._interval.seconds += seconds
            self._interval.energy_joules += float(self.plant.mean_power_watts.sum()) * seconds
            self._interval.leakage_joules += self.plant.leakage_watts * seconds
            self._interval.co_running_joules += self.plant.co_running_watts * seconds

    def _sample_telemetry(self) -> None:
        self._synchronise()
        now, interval, activity = int(self._environment.now), self._interval, self._activity
        asked = sum(control.asked for control in self.controls)
        seconds, share_seconds = interval.seconds, self._bandwidth.share_picoseconds / PICOSECONDS_PER_SECOND
        event = TelemetrySampled(
            time_picoseconds=now,
            ambient_celsius=self._setup.ambient.temperature_celsius(now),
            node_celsius=tuple(self.plant.temperatures_celsius().tolist()),
            die_reading_celsius=self._reported.read(now),
            throttle_reading_celsius=self._sensor.read(now),
            power_reading_watts=None if self._meter is None else self._meter.reading,
            frequency_hertz=self._clock.frequency_hertz if self._power.is_on else 0,
            throttle_cap_hertz=self._clock.cap_hertz,
            power_watts=interval.energy_joules / seconds if seconds else 0.0,
            leakage_watts=interval.leakage_joules / seconds if seconds else 0.0,
            co_running_watts=interval.co_running_joules / seconds if seconds else 0.0,
            clock_changes=self._clock.changes - interval.changes_before,
            decisions=asked - interval.asked_before,
            busy_share=(activity.busy_picoseconds - interval.busy_before) / PICOSECONDS_PER_SECOND / seconds
            if seconds
            else 0.0,
            queued=tuple(len(lane.queue) for lane in self._lanes),
            wanted=tuple(tuple(lane.wanted) for lane in self._lanes),
            power_state=self._power.state,
            free_bandwidth_share=(share_seconds - interval.share_seconds_before) / seconds
            if seconds
            else self._bandwidth.share,
            battery=None if self._supply is None else self._supply.sample(),
            idle_states=self._idle_states.sample(),
        )
        self._interval = _Interval(
            asked_before=asked,
            busy_before=activity.busy_picoseconds,
            changes_before=self._clock.changes,
            share_seconds_before=share_seconds,
        )
        for tell in self._announcer.telemetry_sampled:
            tell(event)


@dataclass(slots=True)
class _Interval:
    """Sums since the last row of telemetry."""

    seconds: float = 0.0
    energy_joules: float = 0.0
    leakage_joules: float = 0.0
    co_running_joules: float = 0.0
    asked_before: int = 0
    busy_before: int = 0
    changes_before: int = 0
    share_seconds_before: float = 0.0


def _lanes(setup: Setup, plant: Plant, values: Sequence[Values]) -> list[Lane]:
    """Return the streams at the array; the plant's rows are idle, then those of each stream's cost table."""
    lanes, first_row = [], 1
    for number, (stream, each) in enumerate(zip(setup.streams, values, strict=True)):
        costs, energy_table = stream.costs, setup.device.energy_table
        schedule = build_schedule(stream.graph, costs, first_plant_row=first_row)
        lane = Lane(
            schedule, SpilledTensors(costs, energy_table, schedule, plant), name=stream.name, number=number,
            priority=stream.priority, capacity=setup.queue_capacity, decisions=setup.decisions,
        )  # fmt: skip
        if each.array_cycles is not None:
            lane.valued_row = ValuedRows(costs, energy_table, schedule, plant, each.array_cycles).row
        lanes.append(lane)
        first_row += costs.rows
    return lanes


def _learner(setup: Setup, learning: LearningSetup, plant: Plant) -> Lane:
    """Return where training steps wait; their rows of the plant follow those of all streams."""
    first_row = 1 + sum(stream.costs.rows for stream in setup.streams)
    schedule = build_schedule(learning.costs.graph, learning.costs, first_plant_row=first_row)
    spilled = SpilledTensors(learning.costs, setup.device.energy_table, schedule, plant)
    return Lane(
        schedule, spilled, name=learning.name, number=len(setup.streams), priority=PRIORITY, capacity=1,
        decisions="frame_boundary",
    )  # fmt: skip


def _shadow(lane: Lane) -> Lane:
    """Return where a stream's probes wait."""
    return Lane(
        lane.schedule, lane.spilled, name=lane.name, number=lane.number, priority=-math.inf, capacity=1,
        decisions="frame_boundary",
    )  # fmt: skip


def _free_shares(setup: Setup) -> Iterator[tuple[int, float]]:
    """Return when how much of the DRAM's bandwidth is free."""
    if setup.shared_dram is None:
        return iter([(0, 1.0)])
    return setup.shared_dram.free_shares(generator(setup.seed, "memory_traffic"))
