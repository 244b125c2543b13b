"""Time an interval of a HotSpot trace; arguments are folders of chip.flp, hotspot.config and power.ptrace."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from timeit import repeat

import numpy as np

from hwsim.hotspot.block_model import thermal_network
from hwsim.hotspot.configuration import Configuration, load_configuration
from hwsim.hotspot.floorplan import Floorplan, load_floorplan
from hwsim.hotspot.power_trace import load_power_trace
from hwsim.plant.thermal import Modes

HOTSPOT_MILLISECONDS = {"two_blocks": 170 / 200, "npu6": 12.7}
"""HotSpot 7 (commit f18831e, stock) per interval, on two cores of an AMD EPYC: run time over intervals."""


def modes(plan: Floorplan, settings: Configuration) -> Modes:
    """Return what is computed once per chip."""
    return thermal_network(plan, settings).modes


def main(folders: list[str]) -> None:
    for folder in map(Path, folders):
        plan, settings = load_floorplan(folder / "chip.flp"), load_configuration(folder / "hotspot.config")
        setup = min(repeat(partial(modes, plan, settings), number=1, repeat=5))
        network = thermal_network(plan, settings)
        trace = load_power_trace(folder / "power.ptrace", plan.blocks)
        watts = np.zeros((len(trace), len(network.nodes)))
        watts[:, : len(plan.blocks)] = trace
        rise, interval = np.zeros(len(network.nodes)), settings.sampling_intvl
        march = min(repeat(partial(network.march, rise, interval, watts), number=1, repeat=20))
        microseconds = march / len(trace) * 1e6
        recorded = HOTSPOT_MILLISECONDS.get(folder.name)
        ratio = f", HotSpot's {recorded:g} ms / ours = {recorded * 1e3 / microseconds:,.0f}" if recorded else ""
        print(f"{folder.name}: {microseconds:.2f} us per interval, once {setup * 1e3:.2f} ms{ratio}")


if __name__ == "__main__":
    main(sys.argv[1:])
