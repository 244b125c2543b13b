"""Trained graph networks on disk, in the folders of ``bitmixer.networks.checkpoint``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from bitmixer.errors import CheckpointError
from bitmixer.graphs.capturing import capture_graph_network
from bitmixer.graphs.form import TrainedGraphForm
from bitmixer.graphs.network import GraphNetwork
from bitmixer.graphs.networks import create_graph_network, kind_of
from bitmixer.graphs.topology import Topology
from bitmixer.networks.checkpoint import Checkpoint, find_checkpoint, load_weights, require_weights, save_checkpoint


def save_graph_network(
    folder: Path, network: GraphNetwork, topology: Topology, *, name: str, metrics: dict[str, Any],
    recipe: str | None = None,
) -> Checkpoint:  # fmt: skip
    """Write a trained network with the layer graph of one pass over its graph, and return the checkpoint.

    Args:
        folder: Where to.
        network: The network, its ranges measured.
        topology: The graph.
        name: Name of the checkpoint.
        metrics: Accuracies and the name of the data, as ``Checkpoint.metrics`` holds them.
        recipe: How it was trained.
    """
    form = TrainedGraphForm(**dataclasses.asdict(network.form), graph_network=kind_of(network))
    graph = capture_graph_network(network, topology, name=name)
    return save_checkpoint(folder, network, graph, form, metrics, name=name, recipe=recipe)


def load_graph_network(name_or_path: str | Path | Checkpoint) -> GraphNetwork:
    """Return a trained graph network in evaluation mode; its widths are real numbers until it is assigned others.

    Raises:
        CheckpointError: Missing, damaged, or no graph network's.
    """
    checkpoint = name_or_path if isinstance(name_or_path, Checkpoint) else find_checkpoint(name_or_path)
    file = require_weights(checkpoint)
    if not isinstance(checkpoint.form, TrainedGraphForm):
        raise CheckpointError(f"{checkpoint.name} takes images, where a network for the nodes of a graph is wanted")
    network = create_graph_network(checkpoint.form.graph_network, checkpoint.form)
    load_weights(network, file)
    return network.eval()
