"""Graph networks by name."""

from __future__ import annotations

from bitmixer.errors import UnsupportedNetworkError, did_you_mean
from bitmixer.graphs.network import GraphNetwork, GraphNetworkForm
from bitmixer.graphs.networks.agnn import AGNN
from bitmixer.graphs.networks.gat import GAT
from bitmixer.graphs.networks.gcn import GCN
from bitmixer.graphs.networks.graphsage import GraphSAGE

GRAPH_NETWORKS: dict[str, type[GraphNetwork]] = {"agnn": AGNN, "gat": GAT, "gcn": GCN, "graphsage": GraphSAGE}

__all__ = ["GRAPH_NETWORKS", "create_graph_network", "kind_of"]


def create_graph_network(name: str, form: GraphNetworkForm) -> GraphNetwork:
    """Return an untrained network.

    Raises:
        UnsupportedNetworkError: There is none of this name.
    """
    if name not in GRAPH_NETWORKS:
        raise UnsupportedNetworkError(f"unknown graph network {name!r}: {did_you_mean(name, GRAPH_NETWORKS)}")
    return GRAPH_NETWORKS[name](form)


def kind_of(network: GraphNetwork) -> str:
    """Return the name under which a network of this kind is created."""
    return next(name for name, kind in GRAPH_NETWORKS.items() if type(network) is kind)
