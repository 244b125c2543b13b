"""The numbers of one device's physics, as its profile and a scenario give them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitmixer.errors import did_you_mean
from hwsim.errors import ConfigurationError
from hwsim.plant.ambient import Ambient
from hwsim.plant.power import Leakage
from hwsim.plant.power_series import PowerSeries
from hwsim.plant.thermal import FloatArray, ThermalNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class CoRunningLoad:
    """What else draws power while the device is on.

    Attributes:
        column: Where it goes: a node, or elsewhere.
        power: Over time.
    """

    column: int
    power: PowerSeries


@dataclass(frozen=True, kw_only=True, eq=False)
class RestingDraw:
    """What a device draws in an idle state, instead of what it draws awake.

    Attributes:
        constant_powers_watts: [n + 1], columns as in ``PlantParameters``.
        leakage_share: Part of the leakage that is left, 0 to 1.
    """

    constant_powers_watts: FloatArray
    leakage_share: float


@dataclass(frozen=True, kw_only=True, eq=False)
class PlantParameters:
    """The physics of one device. Columns are the network's n nodes, then heat that goes elsewhere.

    Attributes:
        network: Heat capacities and conductances.
        ambient: Temperature around the device.
        leakage: Static power of one node.
        constant_powers_watts: [n + 1], drawn at all times.
        energy_rows_joules: [rows, n + 1], dynamic energy of one execution of each kind; row 0 is idle, zeros.
        loads: What else draws power.
        resting: Draw in each idle state, from shallow to deep; each draws no more than the one before.

    Raises:
        ConfigurationError: A shape does not fit, a value is negative, row 0 is not zero, the leaking node does not
            exist, or an idle state draws more than a shallower one.
    """

    network: ThermalNetwork
    ambient: Ambient
    leakage: Leakage
    constant_powers_watts: FloatArray
    energy_rows_joules: FloatArray
    resting: tuple[RestingDraw, ...] = ()
    loads: tuple[CoRunningLoad, ...] = ()

    def __post_init__(self) -> None:
        columns = len(self.network.nodes) + 1
        powers, rows = self.constant_powers_watts, self.energy_rows_joules
        if powers.shape != (columns,) or rows.ndim != 2 or rows.shape[1] != columns or not len(rows):
            raise ConfigurationError(
                f"plant: expected {columns} constant powers and rows of {columns} energies (for "
                f"{', '.join(self.network.nodes)}, elsewhere); got shapes {powers.shape} and {rows.shape}"
            )
        if not (np.all(powers >= 0) and np.all(rows >= 0)) or np.any(rows[0] != 0):
            raise ConfigurationError("plant: powers and energies must be 0 or more, and row 0 (idle) all zeros")
        if self.leakage.node not in self.network.nodes:
            raise ConfigurationError(
                f"leakage of {self.leakage.node!r}: no such thermal node; "
                f"{did_you_mean(self.leakage.node, self.network.nodes)}"
            )
        shallow_to_deep = all(state.constant_powers_watts.shape == powers.shape for state in self.resting)
        if not shallow_to_deep or np.any(np.diff(self.draws, axis=0) > 0) or np.any(self.draws < 0):
            raise ConfigurationError(
                f"plant: expected idle states from shallow to deep, each drawing no more than the one before (awake: "
                f"{powers.tolist()}); got {[state.constant_powers_watts.tolist() for state in self.resting]}"
            )

    @property
    def draws(self) -> FloatArray:
        """Constant powers and the share of leakage that is left, awake and in each idle state: [1 + states, n + 2]."""
        rows = [(*self.constant_powers_watts, 1.0)]
        rows += [(*state.constant_powers_watts, state.leakage_share) for state in self.resting]
        return np.array(rows)

    def co_running_watts(self, time_picoseconds: int) -> FloatArray:
        """Return what else is drawn at a time, by column [n + 1], and until the next step of one of the loads."""
        watts = np.zeros(len(self.constant_powers_watts))
        for load in self.loads:
            watts[load.column] += load.power.watts_at(time_picoseconds)
        return watts

    @property
    def leakage_node(self) -> int:
        """Index of the node that leaks."""
        return self.network.nodes.index(self.leakage.node)

    def steady_idle_rise(self) -> FloatArray:
        """Return the rise [n] in kelvin of a device that has long idled, as deep as it can, in the ambient of time 0.

        Raises:
            ConfigurationError: The idle device has no steady state: its leakage runs away.
        """
        node, draw = self.leakage_node, self.draws[-1]
        idle = self.network.steady(draw[:-2] + self.co_running_watts(0)[:-1])
        per_watt = self.network.steady(np.eye(len(self.network.nodes))[node])
        base_celsius = self.ambient.temperature_celsius(0) + float(idle[node])
        leakage = self.leakage.scaled(float(draw[-1]))
        return idle + leakage.steady_watts(base_celsius, float(per_watt[node])) * per_watt
