"""CPU time of ResNet-18's tiling: all 25 pairs of widths against 0.5 s, one assignment against 0.1 s."""

from __future__ import annotations

import dataclasses
import resource
import time

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import LayerGraph
from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.config.profile import load_profile
from hwsim.cost.memory import Execution, search
from hwsim.device import Device, build_device

ALL_PAIRS_SECONDS, ONE_ASSIGNMENT_SECONDS = 0.5, 0.1
REPETITIONS = 5


def main() -> None:
    graph = find_checkpoint("resnet18").graph
    device = build_device(load_profile("bismo_pynq_z1_buffered"))
    for overlap in ("ideal", "tiled"):
        tiled = dataclasses.replace(device, execution=Execution(overlap=overlap))  # type: ignore[arg-type]
        for what, asked, budget in (
            ("25 pairs", graph, ALL_PAIRS_SECONDS),
            ("one assignment", pinned(graph, 4), ONE_ASSIGNMENT_SECONDS),
        ):
            best = min(seconds(tiled, asked) for _ in range(REPETITIONS))
            print(f"overlap {overlap}, {what}: {best * 1e3:.0f} ms of CPU time, {best / budget:.2f} of the budget")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB, of 200 MB")


def pinned(graph: LayerGraph, bits: int) -> LayerGraph:
    """Return the graph at one assignment: ``bits`` everywhere."""
    layers = tuple(dataclasses.replace(layer, allowed=(BitWidths(bits, bits),)) for layer in graph.layers)
    return dataclasses.replace(graph, layers=layers)


def seconds(device: Device, graph: LayerGraph) -> float:
    """Return the CPU time of a cost table, nothing being known from before."""
    search._known.cache_clear()
    start = time.process_time()
    device.cost_table(graph, 1)
    return time.process_time() - start


if __name__ == "__main__":
    main()
