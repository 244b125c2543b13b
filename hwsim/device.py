"""A device as the simulation uses it: the profile's numbers in the terms of the plant and of the costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bitmixer.graph import LayerGraph
from hwsim.accelerator import build_energy_table, build_memory
from hwsim.config.battery import Battery
from hwsim.config.profile import DeviceProfile
from hwsim.config.thermal import AMBIENT, Limits
from hwsim.cost import CostTable, EnergyTable, Memory, cost_table
from hwsim.cost.arrays import ArrayModel
from hwsim.cost.arrays.base import Int64Array
from hwsim.cost.full_load import full_load_joules_per_cycle
from hwsim.cost.memory import Buffers, Execution, GatheredRows, ShortTransfers
from hwsim.cost.training import FORMATS, Learned, require_significands
from hwsim.cost.training_table import training_table
from hwsim.hotspot.block_model import thermal_network
from hwsim.plant.ambient import Ambient
from hwsim.plant.battery import KineticBattery
from hwsim.plant.operating_points import OperatingPoint, OperatingPoints
from hwsim.plant.parameters import CoRunningLoad, PlantParameters, RestingDraw
from hwsim.plant.power import ELSEWHERE, Leakage, columns_watts
from hwsim.plant.sensors import Sensor
from hwsim.plant.shutdown import Restart, Shutdown
from hwsim.plant.supply import BatteryPack, Gauge
from hwsim.plant.thermal import ThermalNetwork
from hwsim.plant.throttling import ThrottlingLaw
from hwsim.throttling import build_throttling


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionCost:
    """What one decision of a controller costs.

    Attributes:
        time_picoseconds: From the observation to the effect.
        energy_joules: Energy drawn.
        column: Plant column that it heats.
    """

    time_picoseconds: int
    energy_joules: float
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionCost:
    """What one change of operating point costs, or one way into an idle state or out of it.

    Attributes:
        time_picoseconds: How long it takes; the array pauses.
        energy_joules: Energy drawn.
        column: Plant column that it heats.
    """

    time_picoseconds: int
    energy_joules: float
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleState:
    """What the device switches off while it has nothing to do.

    Attributes:
        name: Name in the records.
        constant_powers_watts: Power that is still drawn, by plant column.
        leakage_share: Part of the leakage that is left.
        min_residency_picoseconds: It is entered after being idle for so long.
        entry: Cost of the way in.
        exit: Cost of the way out.
    """

    name: str
    constant_powers_watts: tuple[float, ...]
    leakage_share: float
    min_residency_picoseconds: int
    entry: TransitionCost
    exit: TransitionCost


@dataclass(frozen=True, kw_only=True)
class Device:
    """One device, built from its profile.

    Attributes:
        name: The profile's name.
        array: Cycles and action counts of a layer.
        memory: The way to DRAM.
        buffers: On-chip buffers; ``None``: everything passes through the chip once per execution.
        execution: How work and traffic overlap, and where results are requantised.
        vector_lanes: Elements per cycle of the vector unit.
        energy_table: Joules per action at the nominal voltage.
        operating_points: Clocks and voltages, fastest first.
        nominal_voltage_volts: Voltage of the energy table.
        transition: Cost of a change of operating point.
        constant_powers_watts: Power always drawn, by plant column.
        leakage: Static power that grows with temperature.
        thermal_network: Heat capacities and conductances.
        sensor_node: Index of the node that the throttle and the die's sensor look at.
        throttling: The law by which it caps its own clock.
        shutdown: When it switches itself off, and on again.
        sensor: The die's temperature sensor.
        bandwidth_counter_picoseconds: Period of the counter of the DRAM's traffic; ``None``: it has none.
        decision: Cost of a decision.
        maximum_junction_celsius: Rated limit.
        battery: What feeds it; ``None`` on the mains.
        idle_states: What it rests in, from shallow to deep.
        power_sensor: What it reads of its own power; ``None``: nothing.
    """

    name: str
    array: ArrayModel
    memory: Memory
    buffers: Buffers | None
    execution: Execution
    vector_lanes: int
    energy_table: EnergyTable
    operating_points: OperatingPoints
    nominal_voltage_volts: float
    transition: TransitionCost
    constant_powers_watts: tuple[float, ...]
    leakage: Leakage
    thermal_network: ThermalNetwork
    sensor_node: int
    throttling: ThrottlingLaw
    shutdown: Shutdown
    sensor: Sensor
    bandwidth_counter_picoseconds: int | None
    decision: DecisionCost
    maximum_junction_celsius: float
    battery: BatteryPack | None = None
    idle_states: tuple[IdleState, ...] = ()
    power_sensor: Sensor | None = None

    @cached_property
    def frequencies_hertz(self) -> tuple[int, ...]:
        """Clocks, fastest first."""
        return tuple(point.frequency_hertz for point in self.operating_points.points)

    def cost_table(
        self, graph: LayerGraph, inputs_per_frame: int, *, weight_cycles: Int64Array | None = None
    ) -> CostTable:
        """Return what each site costs at each width, on this device.

        Args:
            graph: The network.
            inputs_per_frame: Inputs of a frame.
            weight_cycles: [site, width], the array's cycles for one input where weights alone decide on them.
        """
        return cost_table(
            graph,
            widths=graph.widths,
            inputs_per_frame=inputs_per_frame,
            array=self.array,
            memory=self.memory,
            vector_lanes=self.vector_lanes,
            energy_table=self.energy_table,
            nodes=self.thermal_network.nodes,
            frequencies_hertz=self.frequencies_hertz,
            weight_cycles=weight_cycles,
            buffers=self.buffers,
            execution=self.execution,
        )

    def training_table(self, graph: LayerGraph, inputs: int, form: str, learned: Learned) -> CostTable:
        """Return what the parts of a training step cost.

        Args:
            graph: The network that learns.
            inputs: Inputs of the step.
            form: What its layers multiply, one of ``hwsim.cost.training.FORMATS``.
            learned: What the step changes.

        Raises:
            ConfigurationError: The array does not multiply significands.
        """
        require_significands(self.array)
        return training_table(
            graph, inputs=inputs, formats=FORMATS[form], learned=learned, array=self.array, memory=self.memory,
            vector_lanes=self.vector_lanes, energy_table=self.energy_table, nodes=self.thermal_network.nodes,
            frequencies_hertz=self.frequencies_hertz,
        )  # fmt: skip

    def plant_parameters(
        self, costs: Sequence[CostTable], ambient: Ambient, loads: tuple[CoRunningLoad, ...] = ()
    ) -> PlantParameters:
        """Return the physics; row 0 is idle, and those of the cost tables follow, one table after the other."""
        energies = np.vstack([table.node_energy_joules.reshape(table.rows, -1) for table in costs])
        return PlantParameters(
            network=self.thermal_network,
            ambient=ambient,
            leakage=self.leakage,
            constant_powers_watts=np.array(self.constant_powers_watts),
            energy_rows_joules=np.vstack([np.zeros(energies.shape[1]), energies]),
            resting=tuple(
                RestingDraw(
                    constant_powers_watts=np.array(state.constant_powers_watts), leakage_share=state.leakage_share
                )
                for state in self.idle_states
            ),
            loads=loads,
        )


def build_device(profile: DeviceProfile) -> Device:
    """Return the device of a valid profile."""
    network = _thermal_network(profile)
    columns = (*network.nodes, ELSEWHERE)
    points = _operating_points(profile)
    transition = profile.operating_points
    array = profile.array.build()
    energy_table = build_energy_table(
        profile.energy, profile.process, {name: entry.heats for name, entry in profile.energy.items()}
    )
    nominal_volts = transition.nominal_voltage_volts.value
    sensors = profile.sensors
    sensor, counter, power = sensors.die_temperature, sensors.memory_bandwidth, sensors.power
    return Device(
        name=profile.name,
        array=array,
        memory=build_memory(profile.memory),
        buffers=_buffers(profile),
        execution=Execution(overlap=profile.execution.overlap, requantise=profile.execution.requantise),
        vector_lanes=profile.vector_unit.lanes_elements_per_cycle.value,
        energy_table=energy_table,
        operating_points=points,
        nominal_voltage_volts=nominal_volts,
        transition=TransitionCost(
            time_picoseconds=transition.transition_latency_picoseconds.value,
            energy_joules=transition.transition_energy_joules.value,
            column=columns.index(transition.transition_energy_joules.heats),
        ),
        constant_powers_watts=_constant_powers(profile, network.nodes),
        leakage=Leakage(
            power_watts=profile.leakage.power_watts.value,
            reference_celsius=profile.leakage.at_celsius.value,
            slope_per_kelvin=profile.leakage.slope_per_kelvin.value,
            node=profile.leakage.heats,
        ),
        thermal_network=network,
        sensor_node=network.nodes.index(profile.thermal.sensor_node),
        throttling=build_throttling(
            profile.throttling, points, nominal_volts, lambda: full_load_joules_per_cycle(array, energy_table)
        ),
        shutdown=_shutdown(profile.limits),
        sensor=Sensor(
            period_picoseconds=sensor.period_picoseconds.value,
            step=sensor.step_kelvin.value,
            noise=sensor.noise_kelvin.value,
            delay_picoseconds=sensor.delay_picoseconds.value,
        ),
        power_sensor=None
        if power is None
        else Sensor(
            period_picoseconds=power.period_picoseconds.value,
            step=power.step_watts.value,
            noise=power.noise_watts.value,
            delay_picoseconds=power.delay_picoseconds.value,
        ),
        bandwidth_counter_picoseconds=None if counter is None else counter.period_picoseconds.value,
        decision=DecisionCost(
            time_picoseconds=profile.decision.time_picoseconds.value,
            energy_joules=profile.decision.energy_joules.value,
            column=columns.index(profile.decision.heats),
        ),
        maximum_junction_celsius=profile.limits.maximum_junction_temperature_celsius.value,
        battery=None if profile.battery is None else _battery_pack(profile.battery),
        idle_states=tuple(_idle_state(name, profile, network.nodes) for name in profile.idle_states),
    )


def _constant_powers(
    profile: DeviceProfile, nodes: tuple[str, ...], resting: Mapping[str, float] | None = None
) -> tuple[float, ...]:
    """Return what is always drawn by plant column, some of it perhaps other than awake."""
    watts = {name: power.value for name, power in profile.power.items()} | dict(resting or {})
    heating: dict[str, float] = defaultdict(float)
    for name, power in profile.power.items():
        heating[power.heats] += watts[name]
    return tuple(columns_watts(nodes, heating))


def _idle_state(name: str, profile: DeviceProfile, nodes: tuple[str, ...]) -> IdleState:
    state = profile.idle_states[name]
    column = (*nodes, ELSEWHERE).index(state.heats)
    entry, out = (
        TransitionCost(
            time_picoseconds=way.latency_picoseconds.value, energy_joules=way.energy_joules.value, column=column
        )
        for way in (state.entry, state.exit)
    )
    return IdleState(
        name=name,
        constant_powers_watts=_constant_powers(
            profile, nodes, {power: watts.value for power, watts in state.power.items()}
        ),
        leakage_share=state.leakage_share.value,
        min_residency_picoseconds=state.min_residency_picoseconds.value,
        entry=entry,
        exit=out,
    )


def _battery_pack(battery: Battery) -> BatteryPack:
    return BatteryPack(
        battery=KineticBattery(
            capacity_joules=battery.capacity_coulombs.value * battery.nominal_voltage_volts.value,
            available_share=battery.available_share.value,
            valve_per_second=battery.valve_rate_per_second.value,
            charging_efficiency=battery.charging_efficiency.value,
        ),
        cut_off=battery.cut_off.value,
        restart=battery.restart.value,
        gauge=Gauge(period_picoseconds=battery.gauge.period_picoseconds.value, step=battery.gauge.step.value),
    )


def _operating_points(profile: DeviceProfile) -> OperatingPoints:
    return OperatingPoints(
        points=tuple(
            OperatingPoint(frequency_hertz=point.frequency_hertz.value, voltage_volts=point.voltage_volts.value)
            for point in profile.operating_points.points
        )
    )


def _shutdown(limits: Limits) -> Shutdown:
    again = limits.restart
    return Shutdown(
        temperature_celsius=limits.shutdown_temperature_celsius.value,
        restart=None
        if again is None
        else Restart(
            temperature_celsius=again.temperature_celsius.value, boot_picoseconds=again.boot_time_picoseconds.value
        ),
    )


def _buffers(profile: DeviceProfile) -> Buffers | None:
    given = profile.buffers
    if given is None:
        return None
    short, rows, usual = given.short_transfers, given.gathered_rows, profile.memory.dram_efficiency.value
    return Buffers(
        weight_bits=8 * given.weight_bytes.value,
        activation_bits=8 * given.activation_bytes.value,
        output_bits=8 * given.output_bytes.value,
        halves=given.halves.value,
        burst_bits=given.burst_bits.value,
        short_transfers=None
        if short is None
        else ShortTransfers(
            below_bits=short.below_bits.value,
            slowdown=usual / short.efficiency.value,
        ),
        gathered_rows=None
        if rows is None
        else GatheredRows(least_bits=rows.least_bits.value, slowdown=usual / rows.efficiency.value),
    )


def _thermal_network(profile: DeviceProfile) -> ThermalNetwork:
    plan, package = profile.thermal.floorplan, profile.thermal.configuration
    if plan is not None and package is not None:
        return thermal_network(plan.plan, package.settings)
    nodes = tuple(profile.thermal.nodes)
    conductances = np.zeros((len(nodes), len(nodes)))
    to_ambient = np.zeros(len(nodes))
    for link in profile.thermal.links:
        conductance = 1.0 / link.resistance_kelvin_per_watt.value
        inner = [nodes.index(end) for end in link.between if end != AMBIENT]
        if len(inner) == 1:
            to_ambient[inner[0]] += conductance
        else:
            first, second = inner
            conductances[first, second] += conductance
            conductances[second, first] += conductance
    return ThermalNetwork(
        nodes=nodes,
        capacities_joules_per_kelvin=np.array([capacity.value for capacity in profile.thermal.nodes.values()]),
        conductances_watts_per_kelvin=conductances,
        ambient_conductances_watts_per_kelvin=to_ambient,
    )
