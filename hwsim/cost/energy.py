"""Energy is action counts times an energy table (Accelergy's terms: Wu, Emer, Sze, ICCAD 2019)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bitmixer.errors import did_you_mean
from hwsim.cost.arrays.base import Float64Array, Int64Array
from hwsim.errors import ConfigurationError

ACTIONS: Mapping[str, str] = {
    "array_cycle": "one cycle of the array, occupied or padded (clock tree, control)",
    "binary_mac": "one 1-bit by 1-bit multiply-accumulate in an occupied lane",
    "buffer_bit": "one bit read from an on-chip operand buffer",
    "dram_bit": "one bit moved between chip and DRAM, in either direction",
    "mac_at_1_bit": "one multiply-accumulate in the binary mode of an array with modes",
    "mac_at_2_bits": "one in its ternary mode, whose operands take two bits",
    "mac_at_8_bits": "one in its 8-bit mode",
    "vector_operation": "one element operation of the vector unit",
}
"""Every action that models may count -> what it is."""

DEVICE_ACTIONS = ("vector_operation", "dram_bit")
"""What is counted beside every array; its own actions are its model's ``actions``."""

ELSEWHERE = "elsewhere"
"""The node of energy that heats nothing which the thermal network models (a DRAM chip beside it, say)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyEntry:
    """Joules of one action, by one part of the chip; several parts may answer for one action.

    Attributes:
        name: The part, unique in its table.
        action: One of ``ACTIONS``.
        joules: Energy per action at the nominal voltage.
        node: Thermal node that this energy heats, or ``elsewhere``.

    Raises:
        ConfigurationError: The action is unknown, or the energy is not a finite number from 0.
    """

    name: str
    action: str
    joules: float
    node: str

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            hint = did_you_mean(self.action, ACTIONS)
            raise ConfigurationError(f"energy entry {self.name!r}: unknown action {self.action!r}: {hint}")
        if not (math.isfinite(self.joules) and self.joules >= 0):
            raise ConfigurationError(
                f"energy entry {self.name!r}: {self.joules!r} joules: expected a finite number, 0 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyTable:
    """Joules per action of one device. An action without an entry is free.

    Raises:
        ConfigurationError: Two entries have one name.
    """

    entries: tuple[EnergyEntry, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for entry in self.entries:
            if entry.name in seen:
                raise ConfigurationError(f"energy table: two entries named {entry.name!r}: give each its own")
            seen.add(entry.name)

    def joules_per_action(self, action: str) -> float:
        """Return the energy of one ``action``, over all parts."""
        return math.fsum(entry.joules for entry in self.entries if entry.action == action)

    def energy_joules(self, counts: Mapping[str, Int64Array]) -> Float64Array:
        """Return counts times table, in the common shape of ``counts``."""
        shape = np.broadcast_shapes(*(count.shape for count in counts.values()))
        total = np.zeros(shape)
        for joules in self.joules_by_action(counts).values():
            total += joules
        return total

    def joules_by_action(self, counts: Mapping[str, Int64Array]) -> dict[str, Float64Array]:
        """Return the energy of each action."""
        return {
            action: np.asarray(self.joules_per_action(action) * count, dtype=np.float64)
            for action, count in counts.items()
        }

    def node_energy_joules(self, counts: Mapping[str, Int64Array], nodes: Sequence[str]) -> Float64Array:
        """Return counts times table by thermal node, in the common shape of ``counts`` + [node + 1].

        The last column is what goes ``elsewhere``.

        Raises:
            ConfigurationError: An entry heats a node that is not among ``nodes``.
        """
        columns = (*nodes, ELSEWHERE)
        joules = np.zeros((len(counts), len(columns)))
        positions = {action: position for position, action in enumerate(counts)}
        for entry in self.entries:
            if entry.node not in columns:
                hint = did_you_mean(entry.node, columns)
                raise ConfigurationError(f"energy entry {entry.name!r}: no thermal node {entry.node!r}: {hint}")
            if entry.action in positions:
                joules[positions[entry.action], columns.index(entry.node)] += entry.joules
        return np.stack(np.broadcast_arrays(*counts.values()), axis=-1) @ joules
