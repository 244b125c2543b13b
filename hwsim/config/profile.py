"""The device profile: what a device can do and what it costs; every number is published or openly assumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

from bitmixer.documents.section import KeyPath, Problem, Section, Text
from bitmixer.documents.source import Override, replace, validate
from bitmixer.errors import did_you_mean
from hwsim.config.arrays import AnyArray
from hwsim.config.battery import Battery
from hwsim.config.buffers import Buffers, Execution
from hwsim.config.energy import ArrayEnergy, Process, energy_problems, priced
from hwsim.config.extending import read_extended
from hwsim.config.idle_states import IdleState, idle_state_problems
from hwsim.config.packaged import find
from hwsim.config.quantity import (
    BitsPerCycle,
    BitsPerSecond,
    Celsius,
    ElementsPerCycle,
    Hertz,
    Joules,
    Kelvin,
    Nanometres,
    PerKelvin,
    Picoseconds,
    PositiveFraction,
    PositivePicoseconds,
    Quantity,
    Volts,
    Watts,
)
from hwsim.config.thermal import ELSEWHERE, Limits, Thermal
from hwsim.config.throttling import Throttling


class Memory(Section):
    """The way to DRAM: the slower of the DRAM (peak times efficiency) and the port at the array's clock.

    Attributes:
        dram_peak_bandwidth_bits_per_second: Width of the bus times transfers per second; in the manual of the board or
            the datasheet of the DRAM.
        dram_efficiency: Share of it that long transfers achieve; in the memory controller's manual, or a measured
            copy (STREAM) over the peak.
        port_width_bits_per_cycle: What the accelerator's own interface moves in a cycle of the array, each way; in
            the description of its bus (an AXI port of 64 bits: 64 bit/cycle).
    """

    dram_peak_bandwidth_bits_per_second: Quantity[BitsPerSecond]
    dram_efficiency: Quantity[PositiveFraction]
    port_width_bits_per_cycle: Quantity[BitsPerCycle]


class VectorUnit(Section):
    """The unit that does norms, activations, pools and additions.

    Attributes:
        lanes_elements_per_cycle: Elements that it takes in a cycle of the array; in the accelerator's description,
            else the number of its multipliers.
    """

    lanes_elements_per_cycle: Quantity[ElementsPerCycle]


class ActionEnergy(ArrayEnergy):
    """Energy of one action, and the thermal node that it heats.

    Attributes:
        heats: A thermal node, or elsewhere.
    """

    heats: Text


class ConstantPower(Quantity[Watts]):
    """Power that is always drawn, in watts.

    Attributes:
        heats: A thermal node, or elsewhere.
    """

    heats: Text


class Leakage(Section):
    """Leakage at a temperature; elsewhere it is ``power * exp(slope * (temperature - at))``.

    Attributes:
        power_watts: Static power of the die; in the report of the vendor's power tool.
        at_celsius: Junction temperature for which it is given; in the same report.
        slope_per_kelvin: ln(P2 / P1) / (T2 - T1) of two reports; 0.01 to 0.04 1/K is usual.
        heats: A thermal node: the die.
    """

    power_watts: Quantity[Watts]
    at_celsius: Quantity[Celsius]
    slope_per_kelvin: Quantity[PerKelvin]
    heats: Text


class OperatingPoint(Section):
    """A clock and the core voltage that it needs.

    Attributes:
        frequency_hertz: Clock of the array, a whole number of hertz; in the datasheet, the device tree (opp-hz), or
            what the clock's dividers give.
        voltage_volts: Supply of the array at this clock; in the same places (opp-microvolt).
    """

    frequency_hertz: Quantity[Hertz]
    voltage_volts: Quantity[Volts]


class TransitionEnergy(Quantity[Joules]):
    """Energy of one change of operating point, in joules.

    Attributes:
        heats: A thermal node, or elsewhere.
    """

    heats: Text


class OperatingPoints(Section):
    """The clocks that a controller may ask for, in order of frequency.

    Attributes:
        nominal_voltage_volts: Voltage for which the profile gives its energies; what the energies' source says.
        transition_latency_picoseconds: Pause of the array at a change of point; the driver's or regulator's settling
            time (regulator-ramp-delay), 0 s for a mere divider.
        transition_energy_joules: Drawn at each change; charge of the rail's capacitors, 0 J where the voltage stays.
        points: In ascending or descending order of frequency.
    """

    nominal_voltage_volts: Quantity[Volts]
    transition_latency_picoseconds: Quantity[Picoseconds]
    transition_energy_joules: TransitionEnergy
    points: tuple[OperatingPoint, ...]

    def contradictions(self) -> Iterator[Problem]:
        """Yield an empty list and points out of order."""
        if not self.points:
            yield Problem(
                ("points",), "a device needs at least one operating point: add {frequency: ..., voltage: ...}"
            )
        frequencies = [point.frequency_hertz for point in self.points]
        rises = [after.value > before.value for before, after in pairwise(frequencies)]
        for position, (before, after) in enumerate(pairwise(frequencies), start=1):
            if after.value == before.value:
                yield Problem(("points", position, "frequency"), f"{after.text} is given twice: keep one")
            elif rises[position - 1] != rises[0]:
                order = "ascending" if rises[0] else "descending"
                yield Problem(
                    ("points", position, "frequency"),
                    f"{after.text} after {before.text} breaks the {order} order before it: sort the points",
                )


class DieTemperatureSensor(Section):
    """What controllers see of the die's temperature.

    Attributes:
        period_picoseconds: Time between samples; how often the driver or the program reads it.
        step_kelvin: Size of one code; in the sensor's datasheet: range over codes.
        noise_kelvin: Standard deviation before quantisation; of readings at rest.
        delay_picoseconds: Age of a sample when it can first be read; conversion time in the datasheet.
    """

    period_picoseconds: Quantity[PositivePicoseconds]
    step_kelvin: Quantity[Kelvin]
    noise_kelvin: Quantity[Kelvin]
    delay_picoseconds: Quantity[Picoseconds]


class BandwidthCounter(Section):
    """What controllers see of the DRAM's load: the share that others left free, in the mean over each period.

    Attributes:
        period_picoseconds: Time between readings.
    """

    period_picoseconds: Quantity[PositivePicoseconds]


class PowerSensor(Section):
    """What controllers see of the power that the whole device draws: its mean since the sample before.

    Attributes:
        period_picoseconds: Time between samples.
        step_watts: Size of one code.
        noise_watts: Standard deviation before quantisation.
        delay_picoseconds: Age of a sample when it can first be read.
    """

    period_picoseconds: Quantity[PositivePicoseconds]
    step_watts: Quantity[Watts]
    noise_watts: Quantity[Watts]
    delay_picoseconds: Quantity[Picoseconds]


class Sensors(Section):
    """The device's sensors.

    Attributes:
        die_temperature: At the thermal part's sensor_node.
        power: Of the whole device; none if not given.
        memory_bandwidth: Counter of the DRAM's load; none if not given.
    """

    die_temperature: DieTemperatureSensor
    power: PowerSensor | None = None
    memory_bandwidth: BandwidthCounter | None = None


class Decision(Section):
    """What one decision of a controller costs the device.

    Attributes:
        time_picoseconds: From the question to the decision; instructions of the rule over the processor's rate.
        energy_joules: Power of that processor, above its rest, times that time.
        heats: A thermal node, or elsewhere.
    """

    time_picoseconds: Quantity[Picoseconds]
    energy_joules: Quantity[Joules]
    heats: Text


class DeviceProfile(Section):
    """One device.

    Attributes:
        schema_version: Of this format.
        name: As runs and reports call it.
        description: What it is, and what is known of it and what is not.
        process_node_nanometres: Needed where an energy was given for another process; in the chip's datasheet.
        array: The accelerator's array; in the paper or the repository of its design.
        memory: The way to DRAM.
        buffers: On-chip buffers; without them everything is streamed.
        execution: How layers are executed.
        vector_unit: For what is no product.
        energy: Joules per action, by a name of your own; at least one for each action that the array, the vector unit
            and the DRAM count. From power reports of the placed design, published energies (profiles/energy has some),
            or a measured power over the actions in a second.
        power: What is always drawn, by a name of your own: chip and board at rest, measured at the supply.
        idle_states: What the device switches off while it has nothing to do, from shallow to deep.
        leakage: Of the die.
        operating_points: Clocks and voltages.
        thermal: How heat is stored, and how it leaves.
        throttling: The device's own protection against heat; in its device tree (thermal-zones) or manual.
        sensors: What controllers see.
        decision: What a controller's decision costs.
        limits: Temperatures.
        battery: Without it the device hangs on the mains.
    """

    schema_version: Literal[1]
    name: Text
    description: str = ""
    process_node_nanometres: Quantity[Nanometres] | None = None
    array: AnyArray
    memory: Memory
    buffers: Buffers | None = None
    execution: Execution = Execution()
    vector_unit: VectorUnit
    energy: Mapping[Text, ActionEnergy]
    power: Mapping[Text, ConstantPower]
    idle_states: Mapping[Text, IdleState] = {}
    leakage: Leakage
    operating_points: OperatingPoints
    thermal: Thermal
    throttling: Throttling
    sensors: Sensors
    decision: Decision
    limits: Limits
    battery: Battery | None = None

    def contradictions(self) -> Iterator[Problem]:
        """Yield unknown heated nodes, actions without energy or never counted, and caps that are no operating point."""
        known = [*self.thermal.heatable, ELSEWHERE]
        for path, node in self._heated():
            if node not in known:
                yield Problem((*path, "heats"), f"unknown node {node!r}: {did_you_mean(node, known)}")
        yield from energy_problems(self.array, self.energy, self.process)
        if self.buffers is None and self.execution.overlap == "tiled":
            yield Problem(("execution", "overlap"), "tiles go through buffers: give the device buffers, or say ideal")
        for name in ("short_transfers", "gathered_rows"):
            slower = getattr(self.buffers, name, None)
            if slower is not None and slower.efficiency.value > self.memory.dram_efficiency.value:
                place = ("buffers", name, "efficiency", "value")
                yield Problem(place, f"is above dram_efficiency {self.memory.dram_efficiency.text}: these are slower")
        for problem in idle_state_problems(self.idle_states, self.power):
            yield dataclasses.replace(problem, path=("idle_states", *problem.path))
        clocks = {point.frequency_hertz.value: point.frequency_hertz.text for point in self.operating_points.points}
        for problem in self.throttling.misfits(clocks):
            yield dataclasses.replace(problem, path=("throttling", *problem.path))

    @property
    def process(self) -> Process | None:
        """The node and the nominal voltage, if the node is given."""
        if self.process_node_nanometres is None:
            return None
        return Process(
            node_nanometres=self.process_node_nanometres.value,
            voltage_volts=self.operating_points.nominal_voltage_volts.value,
        )

    def joules(self) -> Mapping[str, float]:
        """Return the energy of each entry at the nominal voltage, scaled where it was given for another process."""
        return priced(self.energy, self.process)

    def _heated(self) -> Iterator[tuple[KeyPath, str]]:
        for name, entry in self.energy.items():
            yield ("energy", name), entry.heats
        for name, power in self.power.items():
            yield ("power", name), power.heats
        yield ("leakage",), self.leakage.heats
        yield ("operating_points", "transition_energy"), self.operating_points.transition_energy_joules.heats
        yield ("decision",), self.decision.heats
        for name, state in self.idle_states.items():
            yield ("idle_states", name), state.heats


def load_profile(name_or_path: str, overrides: Sequence[Override] = ()) -> DeviceProfile:
    """Read a packaged profile by its name, or any by its path.

    Raises:
        ConfigurationError: Unknown, unreadable or invalid.
    """
    return profile_at(find("profiles", name_or_path), overrides)


def profile_at(path: Path, overrides: Sequence[Override] = ()) -> DeviceProfile:
    """Read the profile in a file, with what it extends.

    Raises:
        ConfigurationError: Unreadable or invalid.
    """
    tree = read_extended(path)
    for override in overrides:
        replace(tree, override)
    return validate(tree, DeviceProfile)
