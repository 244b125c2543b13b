"""The simulator: one device, executing a layer graph under a controller. Only this package knows SimPy."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import simpy

from bitmixer.graph import LayerGraph
from hwsim.controllers.base import Controller, NetworkView
from hwsim.cost import CostTable
from hwsim.device import Device
from hwsim.plant.ambient import Ambient
from hwsim.plant.bandwidth import SharedDram
from hwsim.plant.harvest import Harvest
from hwsim.plant.operating_points import PICOSECONDS_PER_SECOND
from hwsim.plant.plant import Plant
from hwsim.plant.sensor_faults import FailureTimes, FaultState, SensorFault
from hwsim.plant.sensors import SensorChannel
from hwsim.plant.supply import Supply
from hwsim.simulation.accelerator import Accelerator, Frame
from hwsim.simulation.activity import Activity
from hwsim.simulation.arrivals import Arrivals, over_link
from hwsim.simulation.bandwidth import Bandwidth, BandwidthCounter
from hwsim.simulation.clock import Clock
from hwsim.simulation.control import ControlLoop
from hwsim.simulation.events import Announcer, LayerIssued, Observer, TelemetrySampled
from hwsim.simulation.power_supply import PowerSupply, most_watts
from hwsim.simulation.power_switch import PowerSwitch
from hwsim.simulation.randomness import generator
from hwsim.simulation.schedule import build_schedule
from hwsim.simulation.throttle import Throttle
from hwsim.simulation.valued_rows import ValuedRows

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """All that a simulation needs.

    Attributes:
        device: The device.
        graph: The network.
        costs: Its cost table on this device, for ``inputs_per_frame``.
        controller: Who decides.
        ambient: Temperature around the device.
        shared_dram: What others take of the DRAM; ``None``: nothing.
        arrivals: When frames come, or are sent.
        link_outages: When the network between is down; ``None``: nothing lies between.
        inputs_per_frame: Inputs in each frame.
        available_inputs: Size of the test split that inputs are drawn from.
        deadline_picoseconds: From arrival.
        queue_capacity: Most frames that wait.
        drop_expired: Whether waiting frames past their deadline are dropped.
        decisions: Whether decisions bind layers of the running frame.
        duration_picoseconds: Frames arrive for this long; then the run drains.
        telemetry_picoseconds: Time between rows of telemetry.
        initial_state: Whether the device starts at ambient temperature or settled while idle.
        seed: Root of every random stream.
        faults: What goes wrong with the die's temperature sensor.
        initial_state_of_charge: Of the battery, of 1; only where the device has one.
        harvest: What charges the battery.
    """

    device: Device
    graph: LayerGraph
    costs: CostTable
    controller: Controller
    ambient: Ambient
    shared_dram: SharedDram | None = None
    arrivals: Arrivals
    link_outages: FailureTimes | None = None
    inputs_per_frame: int
    available_inputs: int
    deadline_picoseconds: int
    queue_capacity: int
    drop_expired: bool
    decisions: Literal["mid_frame", "frame_boundary"]
    duration_picoseconds: int
    telemetry_picoseconds: int
    initial_state: Literal["ambient", "steady_idle"]
    seed: int
    faults: tuple[SensorFault, ...] = ()
    initial_state_of_charge: float | None = None
    harvest: Harvest = Harvest.constant(0.0)  # noqa: RUF009 (frozen)


class Simulator:
    """Wires the processes of one run together.

    Args:
        setup: What is simulated.
        observers: Who is told of what happens.
        confidences: Those of the frames that finished since the last call.
        array_cycles: What the array takes for an issued layer of the frame that started last, over all its inputs,
            where that depends on values that only flow in the run. The cost table holds its bound.

    Attributes:
        plant: The device's physics; its ledgers are checked at the end.
    """

    def __init__(
        self, setup: Setup, observers: Sequence[Observer], *,
        confidences: Callable[[], tuple[float, ...]] = tuple,
        array_cycles: Callable[[LayerIssued], int] | None = None,
    ) -> None:  # fmt: skip
        self._setup = setup
        device = setup.device
        self._environment = simpy.Environment(initial_time=0)
        self._announcer = Announcer(observers)
        parameters = device.plant_parameters(setup.costs, setup.ambient)
        rise = parameters.steady_idle_rise() if setup.initial_state == "steady_idle" else None
        supply = None
        if device.battery is not None and setup.initial_state_of_charge is not None:
            supply = Supply(device.battery, state_of_charge=setup.initial_state_of_charge, harvest=setup.harvest)
        self.plant = Plant(parameters, initial_rise_kelvin=rise, supply=supply)
        self._activity = Activity(self.plant)
        schedule = build_schedule(setup.graph, setup.costs)
        self._accelerator = Accelerator(
            self._environment, schedule, self._activity, self._announcer,
            capacity=setup.queue_capacity, drop_expired=setup.drop_expired, decisions=setup.decisions,
        )  # fmt: skip
        if array_cycles is not None:
            valued = ValuedRows(setup.costs, device.energy_table, schedule, self.plant, array_cycles)
            self._accelerator.valued_row = valued.row
        self._clock = Clock(device, self._clock_changed)
        self._bandwidth = Bandwidth(self._environment, _free_shares(setup), self._accelerator.pace_changed)
        self._sensor = SensorChannel(device.sensor, self._faults("device"))
        self._reported = SensorChannel(device.sensor, self._faults("device", "controller"))
        self._interval = _Interval()
        counter = None if device.bandwidth_counter_picoseconds is None else BandwidthCounter(
            self._environment, self._bandwidth, device.bandwidth_counter_picoseconds
        )  # fmt: skip
        self._environment.process(self._sense(generator(setup.seed, "sensors")))
        self._power = PowerSwitch(
            self._environment, self.plant, device.shutdown, on_off=self._went_off, on_power=self._got_power,
            on_ready=self._came_up, record=self._sample_telemetry,
        )  # fmt: skip
        self._supply = None if supply is None else PowerSupply(
            self._environment, self._power, supply,
            most_watts=most_watts(device, setup.costs, values_save_cycles=array_cycles is not None),
            synchronise=self._synchronise,
        )  # fmt: skip
        self._throttle = Throttle(
            self._environment, device.throttling, self._clock, self._activity,
            sample_picoseconds=device.sensor.period_picoseconds,
            read_die_celsius=lambda: self._sensor.read(int(self._environment.now)),
        )  # fmt: skip
        self._control = ControlLoop(
            self._environment, setup.controller, device, NetworkView(graph=setup.graph, costs=setup.costs),
            self._accelerator, self._clock, self.plant, self._announcer,
            die_sensor=self._reported,
            read_free_bandwidth=lambda: None if counter is None else counter.reading,
            read_state_of_charge=lambda: None if self._supply is None else self._supply.reading,
            confidences=confidences,
            generator=generator(setup.seed, "controller"),
        )  # fmt: skip
        self._accelerator.start(self._clock, self._bandwidth)
        self._arrived = self._environment.process(self._arrive())
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
        self._control.closed = True
        # Idle on to a full period of telemetry, so that the last decision's energy has a time to be spent in.
        period = self._setup.telemetry_picoseconds
        end = (int(self._environment.now) // period + 1) * period
        self._environment.run(until=end)
        self._sample_telemetry()
        self.plant.check_heat_balance()
        return end

    def _arrive(self) -> Process:
        setup = self._setup
        inputs = _shuffled_inputs(setup.available_inputs, generator(setup.seed, "inputs"))
        times = setup.arrivals.times(setup.duration_picoseconds, generator(setup.seed, "arrivals"))
        if setup.link_outages is not None:
            times = over_link(times, setup.link_outages.failures(generator(setup.seed, "link")))
        for number, time in enumerate(times):
            yield self._environment.timeout(time - self._environment.now)
            self._accelerator.arrive(
                Frame(
                    number=number,
                    arrival_picoseconds=time,
                    deadline_picoseconds=time + setup.deadline_picoseconds,
                    inputs=tuple(next(inputs) for _ in range(setup.inputs_per_frame)),
                )
            )

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
        self._throttle.asleep = self._control.asleep = True

    def _got_power(self) -> None:
        if self._supply is not None:
            self._supply.look_again()

    def _came_up(self) -> None:
        self._accelerator.power_on()
        self._throttle.start()
        self._control.start()

    def _faults(self, *reached: str) -> list[FaultState]:
        """Return the faults that reach one of these; each fault draws the same times for all of its readers."""
        return [
            FaultState(fault, generator(self._setup.seed, f"sensor fault {number}"))
            for number, fault in enumerate(self._setup.faults)
            if fault.reaches in reached
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

    def _sample_telemetry(self) -> None:
        self._synchronise()
        now, interval, activity = int(self._environment.now), self._interval, self._activity
        seconds, share_seconds = interval.seconds, self._bandwidth.share_picoseconds / PICOSECONDS_PER_SECOND
        event = TelemetrySampled(
            time_picoseconds=now,
            ambient_celsius=self._setup.ambient.temperature_celsius(now),
            node_celsius=tuple(self.plant.temperatures_celsius().tolist()),
            die_reading_celsius=self._reported.read(now),
            throttle_reading_celsius=self._sensor.read(now),
            frequency_hertz=self._clock.frequency_hertz if self._power.is_on else 0,
            throttle_cap_hertz=self._clock.cap_hertz,
            power_watts=interval.energy_joules / seconds if seconds else 0.0,
            leakage_watts=interval.leakage_joules / seconds if seconds else 0.0,
            clock_changes=self._clock.changes - interval.changes_before,
            decisions=self._control.asked - interval.asked_before,
            busy_share=(activity.busy_picoseconds - interval.busy_before) / PICOSECONDS_PER_SECOND / seconds
            if seconds
            else 0.0,
            queued_frames=len(self._accelerator.queue),
            wanted=tuple(self._accelerator.wanted),
            power_state=self._power.state,
            free_bandwidth_share=(share_seconds - interval.share_seconds_before) / seconds
            if seconds
            else self._bandwidth.share,
            battery=None if self._supply is None else self._supply.sample(),
        )
        self._interval = _Interval(
            asked_before=self._control.asked,
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
    asked_before: int = 0
    busy_before: int = 0
    changes_before: int = 0
    share_seconds_before: float = 0.0


def _free_shares(setup: Setup) -> Iterator[tuple[int, float]]:
    """Return when how much of the DRAM's bandwidth is free."""
    if setup.shared_dram is None:
        return iter([(0, 1.0)])
    return setup.shared_dram.free_shares(generator(setup.seed, "memory_traffic"))


def _shuffled_inputs(available: int, shuffle: np.random.Generator) -> Iterator[int]:
    """Yield positions in the test split for ever: each once per round, in a new order each round."""
    while True:
        yield from shuffle.permutation(available).tolist()
