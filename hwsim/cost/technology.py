"""Energies at another process and voltage, and of a memory of another size.

The law is that of A. Stillmaker and B. Baas, Integration 58 (2017) 74-81, doi:10.1016/j.vlsi.2017.02.002: a gate's
energy goes as ``f(node, V) = a V^2 + b V + c`` with coefficients per node, so that
``E2 = E1 f(node2, V2) / f(node1, V1)``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwsim.errors import ConfigurationError

COEFFICIENTS: Mapping[int, tuple[float, float, float]] = {
    7: (0.1776, -0.09097, 0.02447),
    10: (0.2068, -0.09311, 0.02375),
    14: (0.2363, -0.09675, 0.02239),
    16: (0.2958, -0.1241, 0.03024),
    20: (0.373, -0.1582, 0.04104),
    32: (0.9559, -0.7823, 0.471),
    45: (1.103, -0.362, 0.2767),
    65: (3.755, -4.398, 1.975),
    90: (4.762, -4.781, 2.092),
    130: (7.171, -6.709, 2.904),
}
"""Node in nanometres -> a, b, c; as Accelergy-Project/accelergy-library-plug-in@ba4e9da (scaling.py) gives them."""

HIGHEST_VOLTS = 1.5
"""Above it nothing is scaled; ours, as the range of the paper's fits was not read at its source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledEnergy:
    """An energy at another process, with the range within which to believe it.

    Attributes:
        joules: By the law.
        low: ``joules`` over the ratio of the nodes.
        high: ``joules`` times that ratio. Ours: wide enough for the one comparison at hand, an 8-bit multiplication
            from 45 to 7 nm, where the law lies 5 to 6 times below a published table, and the ratio is 6.4.
    """

    joules: float
    low: float
    high: float


def gate_energy(node_nanometres: int, voltage_volts: float) -> float:
    """Return f(node, V), in arbitrary units; between two nodes of the table, f goes linearly with the node.

    Raises:
        ConfigurationError: The node lies outside of 7 to 130 nm, or the voltage above ``HIGHEST_VOLTS`` or below the
            lowest point of the node's parabola, where the law would give more energy for less voltage.
    """
    a, b, c = _coefficients(node_nanometres)
    lowest = -b / (2 * a)
    if not lowest <= voltage_volts <= HIGHEST_VOLTS:
        raise ConfigurationError(
            f"{voltage_volts} V at {node_nanometres} nm: the scaling law holds from {lowest:.3g} to {HIGHEST_VOLTS} V"
        )
    return a * voltage_volts**2 + b * voltage_volts + c


def scale(joules: float, *, from_node: int, from_voltage: float, to_node: int, to_voltage: float) -> ScaledEnergy:
    """Return an energy of logic, known at one node (in nanometres) and voltage, at another.

    It is for logic: small SRAM shrinks less, and DRAM and its interface not at all (docs/energy.md).

    Raises:
        ConfigurationError: A node or a voltage lies outside of the law's range, or the energy is not a number from 0.
    """
    if not (math.isfinite(joules) and joules >= 0):
        raise ConfigurationError(f"{joules!r} joules cannot be scaled: expected a finite number, 0 or more")
    factor = gate_energy(to_node, to_voltage) / gate_energy(from_node, from_voltage)
    doubt = max(from_node, to_node) / min(from_node, to_node)
    scaled = joules * factor
    return ScaledEnergy(joules=scaled, low=scaled / doubt, high=scaled * doubt)


def at_capacity(table: Mapping[int, float], capacity_bytes: int) -> float:
    """Return the energy of a memory of ``capacity_bytes``, interpolated in ``table`` (bytes -> joules) on log-log axes.

    Raises:
        ConfigurationError: The capacity lies outside of the table.
    """
    sizes = sorted(table)
    if not sizes[0] <= capacity_bytes <= sizes[-1]:
        raise ConfigurationError(
            f"a memory of {capacity_bytes} bytes: the table goes from {sizes[0]} to {sizes[-1]} bytes"
        )
    if capacity_bytes in table:
        return table[capacity_bytes]
    low, high = _around(sizes, capacity_bytes)
    share = math.log(capacity_bytes / low) / math.log(high / low)
    return table[low] * math.pow(table[high] / table[low], share)


def _around(rising: Sequence[int], value: int) -> tuple[int, int]:
    """Return the neighbours of a value that lies between them."""
    above = bisect_left(rising, value)
    return rising[above - 1], rising[above]


def _coefficients(node: int) -> tuple[float, float, float]:
    nodes = sorted(COEFFICIENTS)
    if not nodes[0] <= node <= nodes[-1]:
        raise ConfigurationError(
            f"a process of {node} nm: the scaling law goes from {nodes[0]} to {nodes[-1]} nm; take a figure from there"
        )
    if node in COEFFICIENTS:
        return COEFFICIENTS[node]
    low, high = _around(nodes, node)
    share = (node - low) / (high - low)
    a, b, c = (
        first + share * (last - first) for first, last in zip(COEFFICIENTS[low], COEFFICIENTS[high], strict=True)
    )
    return a, b, c
