"""Time and memory of a quantised GCN on a generated graph, of its pricing, and of aggregation at 1, 2, 4 and 8 bits.

Usage: python benchmarks/graph_networks.py [--nodes 1000000] [--edges 10000000]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from bitmixer.bitwidths import BitWidths
from bitmixer.data.block_model import BlockModel
from bitmixer.graphs.capturing import capture_graph_network
from bitmixer.graphs.network import GraphNetworkForm
from bitmixer.graphs.networks import create_graph_network
from bitmixer.graphs.topology import Topology
from bitmixer.kernels.gathering import PACKED_WIDTHS, gather_codes, pack_codes
from hwsim.config.profile import load_profile
from hwsim.device import build_device

Result = TypeVar("Result")
GATHERED_WIDTH = 64


def timed(what: str, work: Callable[[], Result]) -> Result:
    began = time.perf_counter()
    result = work()
    gibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what:32} {time.perf_counter() - began:8.2f} s   peak so far {gibibytes:5.2f} GiB", flush=True)
    return result


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--edges", type=int, default=10_000_000)
    arguments = parser.parse_args()
    graph = timed("generate", BlockModel(nodes=arguments.nodes, edges=arguments.edges).generate)
    topology = timed("classes and sparse patterns", lambda: Topology(graph))
    network = create_graph_network("gcn", GraphNetworkForm(features=graph.features, classes=graph.classes))
    network.calibrate_weights()
    widths = {site.name: BitWidths(4, 2 if site.degree_class == 3 else 4) for site in network.sites}
    timed("calibrate", lambda: network.calibrate(topology, [widths]))
    network.assign(widths)
    network.eval()
    timed("quantised GCN, one pass", lambda: network(topology))
    captured = timed("layer graph", lambda: capture_graph_network(network, topology, name="blocks"))
    timed("price on bismo_pynq_z1", lambda: build_device(load_profile("bismo_pynq_z1")).cost_table(captured, 1))
    aggregation(topology)


def aggregation(topology: Topology) -> None:
    """Print the time of one aggregation of 64 features at each width; random codes, as values do not matter to it."""
    pattern, generator = topology.with_loops, np.random.default_rng(0)
    starts = np.concatenate([[0], torch.bincount(pattern.rows, minlength=topology.graph.nodes).cumsum(0).numpy()])
    sources = pattern.columns.numpy().astype(np.int32)
    coefficients = generator.integers(16, size=len(sources), dtype=np.uint8)
    for bits in PACKED_WIDTHS:
        codes = generator.integers(2**bits, size=(topology.graph.nodes, GATHERED_WIDTH), dtype=np.uint8)
        packed = pack_codes(codes, bits)
        gather_codes(starts[:2], sources, coefficients, packed, bits=bits, width=GATHERED_WIDTH)  # compiles
        timed(
            f"aggregate {GATHERED_WIDTH} codes of {bits} bit, packed",
            lambda packed=packed, bits=bits: gather_codes(
                starts, sources, coefficients, packed, bits=bits, width=GATHERED_WIDTH
            ),
        )


if __name__ == "__main__":
    main()
