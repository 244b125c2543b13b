"""Train the graph network that ships with the package: GAT on Cora, every operand at 1, 2, 4 or 8 bits.

Usage: python docs/examples/graph_network.py [--out FOLDER]; half a minute. Needs BITMIXER_DATA.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from bitmixer.data.node_graphs import load_node_graph
from bitmixer.graphs.checkpoint import save_graph_network
from bitmixer.graphs.network import GraphNetworkForm
from bitmixer.graphs.networks import create_graph_network
from bitmixer.graphs.on_device import device_metrics, train_for_device
from bitmixer.graphs.topology import Topology
from bitmixer.graphs.training import train
from bitmixer.networks.checkpoint import SHIPPED

NAME, DATA, WIDTHS, SEED = "gat_cora", "cora", (1, 2, 4, 8), 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SHIPPED / NAME)
    torch.set_num_threads(1)
    folder = parser.parse_args().out
    graph = load_node_graph(DATA)
    topology = Topology(graph)
    torch.manual_seed(SEED)
    network = create_graph_network(
        "gat", GraphNetworkForm(features=graph.features, classes=graph.classes, widths=WIDTHS)
    )
    train(network, topology, network.schedule, seed=SEED)
    train_for_device(network, topology, WIDTHS, seed=SEED, epochs=400)
    metrics = device_metrics(network, topology, WIDTHS, data=DATA, seed=SEED)
    save_graph_network(folder, network, topology, name=NAME, metrics=metrics)
    print(metrics)


if __name__ == "__main__":
    main()
