"""A quantised GCN on a generated graph of a million nodes: time and memory of a pass, and of a simulation with outputs.

The simulated device answers queries of the graph's nodes 20 times (a minute), under a controller; predictions come from
the real network, a pass for each assignment. The network is untrained: what it answers takes as long to compute.

Usage: python benchmarks/graph_networks.py [--nodes 1000000] [--edges 10000000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.data.node_graphs import load_node_graph
from bitmixer.graphs.checkpoint import save_graph_network
from bitmixer.graphs.network import GraphNetworkForm
from bitmixer.graphs.networks import create_graph_network
from bitmixer.graphs.topology import Topology
from hwsim import pipeline
from hwsim.replay import replay

Result = TypeVar("Result")
WIDTHS = (1, 2, 4, 8)
SCENARIO = """\
schema_version: 1
name: graph_million
profile: bismo_pynq_z1_buffered
duration: {duration} ms
seed: 1
outputs: lazy
telemetry_period: 100 ms
queue: {{capacity: 2, drop_expired: true}}
streams:
  - name: queries
    network: {network}
    data: "{data}"
    inputs_per_frame: 100
    deadline: {deadline} ms
    arrivals: {{kind: periodic, period: {deadline} ms}}
environment:
  ambient: {{kind: constant, temperature: 30 degC}}
  memory_traffic: {{kind: on_off, rate: 1.4 GB/s, mean_on: 8 s, mean_off: 12 s, accelerator_share: 0.15}}
controller: {{name: bandwidth_greedy, options: {{rungs: [8, 4, 2], steps: 3, operands: apart}}}}
"""


class Measured:
    """Times and the highest memory so far, by name; printed as they come."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, what: str, work: Callable[[], Result]) -> Result:
        began = time.perf_counter()
        result = work()
        self.seconds[what] = time.perf_counter() - began
        print(f"{what:36} {self.seconds[what]:8.2f} s   peak so far {peak_gibibytes():5.2f} GiB", flush=True)
        return result


def peak_gibibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(nodes: int, edges: int) -> dict[str, Any]:
    """Return what was measured."""
    measured, data = Measured(), f"blocks:nodes={nodes},edges={edges}"
    with tempfile.TemporaryDirectory() as folder:
        found = infer(measured, data, Path(folder) / "network")
        load_node_graph.cache_clear()
        found |= simulate(measured, data, Path(folder), deadline_milliseconds=max(round(3000 * edges / 10_000_000), 1))
    machine = f"{platform.machine()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"
    return {**found, "seconds": measured.seconds, "peak_gibibytes": peak_gibibytes(), "machine": machine}


@torch.no_grad()
def infer(measured: Measured, data: str, checkpoint: Path) -> dict[str, Any]:
    """Generate the graph, run a network on it at every width, and keep that."""
    graph = measured.timed("generate the graph", lambda: load_node_graph(data))
    topology = measured.timed("classes and sparse patterns", lambda: Topology(graph))
    torch.manual_seed(0)
    form = GraphNetworkForm(features=graph.features, classes=graph.classes, widths=WIDTHS)
    network = create_graph_network("gcn", form).eval()
    measured.timed("a pass in float32", lambda: network(topology))
    network.calibrate_weights()
    uniform = [BitAssignment({site.name: BitWidths(bits, bits) for site in network.sites}) for bits in WIDTHS]
    measured.timed("measure the ranges of four widths", lambda: network.calibrate(topology, uniform))
    for bits, assignment in zip(WIDTHS, uniform, strict=True):
        network.assign(assignment)
        measured.timed(f"a pass at {bits} bit", lambda: network(topology))
    peak = peak_gibibytes()
    measured.timed(
        "layer graph and checkpoint",
        lambda: save_graph_network(checkpoint, network, topology, name="million", metrics={"data": data}),
    )
    return {"nodes": graph.nodes, "edges": graph.edges, "inference_peak_gibibytes": peak}


def simulate(measured: Measured, data: str, folder: Path, *, deadline_milliseconds: int) -> dict[str, Any]:
    """Simulate a device that answers queries on the graph, and replay its predictions."""
    text = SCENARIO.format(
        network=folder / "network",
        data=data,
        deadline=deadline_milliseconds,
        duration=20 * deadline_milliseconds,
    )
    file = folder / "scenario.yaml"
    file.write_text(text, encoding="utf-8")
    planned = measured.timed("read, check and price the scenario", lambda: pipeline.plan(str(file)))
    summary = measured.timed(
        "simulate it, outputs included", lambda: pipeline.run(planned, folder / "run", figures=False)
    )
    replayed = measured.timed("replay it", lambda: replay(folder / "run"))
    kept = ("frames_arrived", "inputs_completed", "deadline_miss_rate", "bit_switches", "mid_frame_switches")
    return {
        "simulation": {key: summary[key] for key in kept},
        "assignments": replayed.assignments,
        "differing_frames": len(replayed.differing),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--edges", type=int, default=10_000_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = measure(given.nodes, given.edges)
    print(json.dumps(found["simulation"]), f"{found['assignments']} assignments, {found['differing_frames']} differ")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
