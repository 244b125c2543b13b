"""The array profile: a published array, its parameters, clock, process, memory and energies, and nothing of heat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from bitmixer.documents.section import Problem, Section, Text
from bitmixer.documents.source import Override, replace, validate
from hwsim.config.arrays import AnyArray
from hwsim.config.buffers import PublishedBuffers
from hwsim.config.energy import ArrayEnergy, Process, energy_problems, priced
from hwsim.config.extending import read_extended
from hwsim.config.packaged import find_profile
from hwsim.config.profile import DeviceProfile, Memory, VectorUnit, profile_at
from hwsim.config.quantity import Hertz, Nanometres, Quantity, Volts
from hwsim.errors import ConfigurationError

_ONLY_DEVICES = frozenset({"operating_points", "thermal", "throttling", "sensors"})


class ArrayProfile(Section):
    """One array, to price layers and networks on; a device profile adds what a simulation over time needs.

    Attributes:
        clock_hertz: Clock at which memory is compared with compute.
        process_node_nanometres: Process of the energies.
        nominal_voltage_volts: Their voltage.
        memory: DRAM beside the array; papers rarely have one, and it is then assumed.
        buffers: For the reader: arrays are priced without (docs/memory.md).
    """

    schema_version: Literal[1]
    name: Text
    description: str = ""
    array: AnyArray
    clock_hertz: Quantity[Hertz]
    process_node_nanometres: Quantity[Nanometres]
    nominal_voltage_volts: Quantity[Volts]
    memory: Memory
    vector_unit: VectorUnit
    energy: Mapping[Text, ArrayEnergy]
    buffers: PublishedBuffers | None = None

    def contradictions(self) -> Iterator[Problem]:
        """Yield actions without energy or never counted, and energies that cannot be scaled."""
        yield from energy_problems(self.array, self.energy, self.process)

    @property
    def process(self) -> Process:
        """The node and the voltage of the energies."""
        return Process(
            node_nanometres=self.process_node_nanometres.value, voltage_volts=self.nominal_voltage_volts.value
        )

    def joules(self) -> Mapping[str, float]:
        """Return the energy of each entry, scaled where it was given for another process."""
        return priced(self.energy, self.process)


def load_any_profile(name_or_path: str, overrides: Sequence[Override] = ()) -> DeviceProfile | ArrayProfile:
    """Read a device profile or an array profile, packaged by its name or any by its path.

    A document with operating points, thermal nodes, throttling or sensors is a device's, any other an array's.

    Raises:
        ConfigurationError: Unknown, unreadable or invalid.
    """
    path = find_profile(name_or_path)
    tree = read_extended(path)
    if {"entries", "trust"} <= set(tree.data):
        raise ConfigurationError(f"{path}: an energy table, not a profile: give the profile of a device or an array")
    if _ONLY_DEVICES & set(tree.data):
        return profile_at(path, overrides)
    for override in overrides:
        replace(tree, override)
    return validate(tree, ArrayProfile)
