"""The ``energy:`` section of profiles: joules per action, and where needed the process for which they were given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bitmixer.documents.section import Problem, Section
from hwsim.config.arrays import AnyArray
from hwsim.config.quantity import Joules, Nanometres, Quantity, Volts
from hwsim.cost.energy import ACTIONS, DEVICE_ACTIONS
from hwsim.cost.technology import scale
from hwsim.errors import ConfigurationError

if TYPE_CHECKING:
    Action = str
else:
    Action = Literal[tuple(ACTIONS)]
    """What may be counted and cost energy."""


MOST_JOULES_OF_A_BIT = 1e-9
"""Of a bit moved, or a product: ours, above ten times DDR2's interface and background (profiles/energy/dram_system)."""
MOST_JOULES = {"array_cycle": 1e-6}
"""Of a whole array's cycle: ours, above a million 8-bit multipliers of 45 nm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process node and a supply voltage."""

    node_nanometres: int
    voltage_volts: float


class GivenFor(Section):
    """The process for which a source gives an energy.

    Attributes:
        node_nanometres: Its node.
        voltage_volts: Its supply.
    """

    node_nanometres: Nanometres
    voltage_volts: Volts


class ArrayEnergy(Quantity[Joules]):
    """Energy of one action at the nominal voltage, in joules; several entries may share an action.

    Attributes:
        per: The action.
        scaled_from: Process of ``value``, where it is not the profile's; the energy is then scaled to the profile's
            (``hwsim.cost.technology``).
    """

    per: Action
    scaled_from: GivenFor | None = None

    def joules(self, process: Process | None) -> float:
        """Return the energy at the profile's ``process``.

        Raises:
            ConfigurationError: It must be scaled, but no process is given, or one lies outside of the law's range.
        """
        given = self.scaled_from
        if given is None:
            return self.value
        if process is None:
            raise ConfigurationError("scaled to which process? Give the profile's 'process_node'")
        return scale(
            self.value,
            from_node=given.node_nanometres,
            from_voltage=given.voltage_volts,
            to_node=process.node_nanometres,
            to_voltage=process.voltage_volts,
        ).joules


def priced(energy: Mapping[str, ArrayEnergy], process: Process | None) -> dict[str, float]:
    """Return the joules of each entry at ``process``."""
    return {name: entry.joules(process) for name, entry in energy.items()}


def energy_problems(array: AnyArray, energy: Mapping[str, ArrayEnergy], process: Process | None) -> Iterator[Problem]:
    """Yield actions that no entry prices, entries for what is never counted, and those that cannot be scaled.

    Counted are the array's actions, and those of the vector unit and the DRAM.
    """
    counted = (*array.actions, *DEVICE_ACTIONS)
    for action in sorted(set(counted) - {entry.per for entry in energy.values()}):
        yield Problem(("energy",), f"no entry for the action {action!r}: add one with 'per: {action}'")
    for name, entry in energy.items():
        if entry.per not in counted:
            sentence = f"an array of kind {array.kind} never counts {entry.per!r}: expected one of {', '.join(counted)}"
            yield Problem(("energy", name, "per"), sentence)
        most = MOST_JOULES.get(entry.per, MOST_JOULES_OF_A_BIT)
        if entry.value > most:
            sentence = (
                f"{entry.text} for one {entry.per}: no more than {most:g} J is plausible; check the unit (pJ, fJ?)"
            )
            yield Problem(("energy", name, "value"), sentence)
        try:
            entry.joules(process)
        except ConfigurationError as error:
            yield Problem(("energy", name, "scaled_from"), str(error))
