"""A graph network as hardware sees it: work and traffic counted by hand."""

from __future__ import annotations

import pytest
import torch

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.graph import LayerGraph
from bitmixer.graphs.capturing import capture_graph_network
from bitmixer.graphs.network import GraphNetworkForm
from bitmixer.graphs.networks import GRAPH_NETWORKS, create_graph_network
from bitmixer.graphs.node_graph import NodeGraph
from bitmixer.graphs.topology import Topology


@pytest.mark.parametrize("name", sorted(GRAPH_NETWORKS))
def test_multiply_accumulates_are_those_of_the_formulas(
    name: str, blocks: NodeGraph, topology: Topology, form: GraphNetworkForm
) -> None:
    network = create_graph_network(name, form)
    graph = capture_graph_network(network, topology, name=name)
    nodes, edges, loops = blocks.nodes, blocks.edges, blocks.edges + blocks.nodes
    expected = {
        "gcn": nodes * (12 * 16 + 16 * 3) + loops * (16 + 3),
        "gat": nodes * (12 * 64 + 64 * 3) + loops * (64 + 3),
        "agnn": nodes * (12 * 16 + 16 * 3) + loops * 2 * 16,
        "graphsage": nodes * (12 * 32 + 16 * 6) + edges * (16 + 3),
    }
    assert graph.macs == expected[name]
    assert {layer.name for layer in graph.layers} == {site.name for site in network.sites}
    assert LayerGraph.from_json(graph.to_json()) == graph
    assert all(point <= at for at, point in enumerate(graph.commit_points))


def test_storage_follows_nodes_and_gathering_follows_edges(
    blocks: NodeGraph, topology: Topology, form: GraphNetworkForm
) -> None:
    graph = capture_graph_network(create_graph_network("gcn", form), topology, name="gcn")
    degree = torch.bincount(topology.with_loops.columns)
    for each in range(topology.classes):
        members = topology.degree_class == each
        combination, aggregation = (graph[f"layer1.{kind}/degree{each}"] for kind in ("combination", "aggregation"))
        assert combination.input_elements == 12 * int(members.sum())
        assert aggregation.input_elements == 16 * int(degree[members].sum())
        assert aggregation.weights == int(degree[members].sum())
        assert aggregation.stream_write_elements == 16 * int(members.sum())
    # The class of the highest degrees holds few nodes but many edges: its bits matter more to gathering.
    nodes = int((topology.degree_class == 3).sum()) / blocks.nodes
    edges = int(degree[topology.degree_class == 3].sum()) / int(degree.sum())
    assert edges > 2 * nodes


def test_a_node_s_own_half_waits_for_its_neighbours(topology: Topology, form: GraphNetworkForm) -> None:
    graph = capture_graph_network(create_graph_network("graphsage", form), topology, name="graphsage")
    combination, aggregation = (graph[f"layer1.{kind}/degree0"] for kind in ("combination", "aggregation"))
    assert combination.residual_write_elements == aggregation.residual_read_elements
    assert combination.stream_write_elements == combination.residual_write_elements


def test_assignments_of_the_layer_graph_run_the_network(topology: Topology, form: GraphNetworkForm) -> None:
    network = create_graph_network("gat", form).eval()
    network.calibrate_weights()
    graph = capture_graph_network(network, topology, name="gat")
    eight, two = graph.uniform(8), graph.uniform(2)
    mixed = BitAssignment({**eight, "layer2.aggregation/degree0": BitWidths(2, 4)})
    network.calibrate(topology, [eight, two, mixed])
    logits = []
    for assignment in (eight, two, mixed):
        network.assign(assignment)
        logits.append(network(topology))
    assert not torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])
