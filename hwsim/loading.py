"""A stream's network with its data: images, or a graph whose nodes are queried."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitmixer.graphs.form import TrainedGraphForm
from bitmixer.networks.checkpoint import Checkpoint
from hwsim.outputs import LoadedNetwork
from hwsim.simulation.events import Widths

if TYPE_CHECKING:
    from bitmixer.graphs.queries import NodeQueries, QueryRun


def loaded_network(checkpoint: Checkpoint, data: str) -> LoadedNetwork:
    """Return a network with its test split, or with the graph whose nodes are queried.

    Raises:
        CheckpointError: The weights are missing or damaged.
        DataError: The data is unknown, missing or damaged.
    """
    queried = isinstance(checkpoint.form, TrainedGraphForm)
    return LoadedGraphNetwork(checkpoint, data) if queried else LoadedNetwork(checkpoint, data)


class LoadedGraphNetwork(LoadedNetwork):
    """A graph network and its graph; input i is a query of the i-th node that judges."""

    @cached_property
    def queries(self) -> NodeQueries:
        """The network on its graph, ready to answer."""
        from bitmixer.data.node_graphs import load_node_graph
        from bitmixer.graphs.checkpoint import load_graph_network
        from bitmixer.graphs.queries import NodeQueries
        from bitmixer.graphs.topology import Topology

        network = load_graph_network(self.checkpoint)
        topology = Topology(load_node_graph(self.data), network.form.degree_cuts)
        return NodeQueries(network, topology, [layer.name for layer in self.graph.layers])

    def require_ready(self) -> None:
        """Load the network and its graph."""
        _ = self.queries

    def sharing(self, data: str) -> LoadedNetwork:
        """Return this very network: a graph has no corruptions that its data could change to."""
        return self

    def predict(self, widths: Sequence[Widths], indices: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the predicted classes of some queries under one assignment, by one pass over the graph."""
        logits = self.queries.logits(self.assignment(widths), indices.tolist())
        return logits.argmax(dim=1).numpy().astype(np.int32)

    def begin(self, indices: Sequence[int]) -> QueryRun:
        """Begin a pass for some queries."""
        return self.queries.run(indices)
