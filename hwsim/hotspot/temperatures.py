"""What ``hwsim thermal`` prints: temperatures of HotSpot's inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.hotspot.block_model import thermal_network
from hwsim.hotspot.configuration import load_configuration
from hwsim.hotspot.floorplan import load_floorplan
from hwsim.hotspot.power_trace import load_power_trace

DECIMALS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperatures:
    """Temperatures of a chip.

    Attributes:
        nodes: Names of the columns.
        kelvin: Intervals x nodes: at the end of each.
    """

    nodes: tuple[str, ...]
    kelvin: NDArray[np.float64]

    def to_csv(self) -> str:
        """Return a heading and a row per interval."""
        lines = [",".join(self.nodes)]
        lines += [",".join(f"{value:.{DECIMALS}f}" for value in row) for row in self.kelvin.tolist()]
        return "\n".join(lines) + "\n"


def temperatures(floorplan: Path, configuration: Path, power: Path, *, steady: bool, all_nodes: bool) -> Temperatures:
    """Return temperatures, a column per block in the floorplan's order.

    Args:
        floorplan: HotSpot's ``.flp``.
        configuration: HotSpot's ``.config``.
        power: HotSpot's ``.ptrace``; the power of an interval is constant.
        steady: One row, at which the trace's mean power leaves; otherwise a row for the end of each interval.
        all_nodes: Further columns for all nodes under and around the die.

    Raises:
        ConfigurationError: A file is unreadable or invalid; the message names file, line and column.
    """
    plan, settings = load_floorplan(floorplan), load_configuration(configuration)
    network = thermal_network(plan, settings)
    blocks = len(plan.blocks)
    trace = load_power_trace(power, plan.blocks)
    watts = np.zeros((len(trace), len(network.nodes)))
    watts[:, :blocks] = trace
    if steady:
        rises = network.steady(watts.mean(axis=0))[None]
    else:
        start = np.full(len(network.nodes), settings.init_temp - settings.ambient)
        rises = network.march(start, settings.sampling_intvl, watts)
    shown = len(network.nodes) if all_nodes else blocks
    return Temperatures(nodes=network.nodes[:shown], kelvin=rises[:, :shown] + settings.ambient)
