"""Graph networks: what they compute, how they learn, and what their sites are."""

from __future__ import annotations

import copy
import dataclasses
import statistics

import pytest
import torch

from bitmixer.bitwidths import BitWidths
from bitmixer.data.planetoid import load_planetoid
from bitmixer.data_folder import current_data_root
from bitmixer.errors import BitWidthError, TrainingError, UnknownSiteError, UnsupportedNetworkError
from bitmixer.graphs.network import GraphNetworkForm, Schedule
from bitmixer.graphs.networks import GRAPH_NETWORKS, create_graph_network
from bitmixer.graphs.node_graph import NodeGraph
from bitmixer.graphs.sites import GRANULARITIES, choices, chosen
from bitmixer.graphs.topology import Topology
from bitmixer.graphs.training import fine_tune, judge, logits, train

REAL = BitWidths(32, 32)


@pytest.mark.parametrize("name", sorted(GRAPH_NETWORKS))
def test_every_network_learns_and_stands_eight_bits(name: str, topology: Topology, form: GraphNetworkForm) -> None:
    network = create_graph_network(name, form)
    train(network, topology, dataclasses.replace(network.schedule, epochs=60), seed=0)
    learned = judge(network, topology).test
    assert learned > 0.6  # chance is 1/3
    sites = network.sites
    eight = chosen(sites, [(choice, 8) for choice in choices(sites, "combined")])
    network.calibrate(topology, [eight])
    network.assign(eight)
    assert judge(network, topology).test == pytest.approx(learned, abs=0.02)
    one = chosen(sites, [(choice, 1) for choice in choices(sites, "combined")])
    fine_tune(network, topology, one, seed=0, epochs=30)
    assert judge(network, topology).test > 0.4


def test_gcn_is_what_its_formula_says(blocks: NodeGraph, topology: Topology, form: GraphNetworkForm) -> None:
    network = create_graph_network("gcn", form).eval()
    dense = torch.zeros(blocks.nodes, blocks.nodes)
    dense[blocks.edge_index[1], blocks.edge_index[0]] = 1
    dense += torch.eye(blocks.nodes)
    scale = dense.sum(dim=1).rsqrt()
    adjacency = scale[:, None] * dense * scale
    weights = [network.get_parameter(f"layer{layer}.combination.weight") for layer in (1, 2)]
    hidden = (adjacency @ blocks.x @ weights[0]).relu()
    torch.testing.assert_close(network(topology), adjacency @ hidden @ weights[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(GRAPH_NETWORKS))
def test_logits_do_not_depend_on_the_order_of_edges(name: str, blocks: NodeGraph, form: GraphNetworkForm) -> None:
    network = create_graph_network(name, form).eval()
    shuffled = dataclasses.replace(blocks, edge_index=blocks.edge_index[:, torch.randperm(blocks.edges)])
    torch.testing.assert_close(network(Topology(blocks)), network(Topology(shuffled)), rtol=1e-4, atol=1e-5)


def test_sparse_features_give_what_dense_ones_give(form: GraphNetworkForm, blocks: NodeGraph) -> None:
    x = torch.where(torch.rand_like(blocks.x) < 0.05, blocks.x.abs(), 0.0)
    sparse = Topology(dataclasses.replace(blocks, x=x))
    assert sparse.features.pattern is not None
    dense = Topology(dataclasses.replace(blocks, x=x))
    dense.features = dense.dense(x)
    network = create_graph_network("gcn", form).eval()
    two = {site.name: BitWidths(32, 2) for site in network.sites}
    for widths in ({site.name: REAL for site in network.sites}, two):
        network.calibrate(dense, [widths])
        network.assign(widths)
        torch.testing.assert_close(network(sparse), network(dense), rtol=1e-4, atol=1e-5)


def test_choices_partition_what_is_stored(form: GraphNetworkForm) -> None:
    sites = create_graph_network("agnn", form).sites
    counts = {}
    for granularity in GRANULARITIES:
        parts = choices(sites, granularity)
        operands = [operand for choice in parts for operand in choice.operands]
        assert len(operands) == len(set(operands)) == sum(len(site.stores) for site in sites) == 24
        counts[granularity] = len(parts)
    assert counts == {"uniform": 1, "component": 2, "layer": 4, "topology": 4, "combined": 24}
    with pytest.raises(UnsupportedNetworkError, match="did you mean 'topology'"):
        choices(sites, "topologic")


def test_what_is_not_chosen_stays_real(form: GraphNetworkForm) -> None:
    sites = create_graph_network("gcn", form).sites
    assignment = chosen(sites, [(choice, 2) for choice in choices(sites, "uniform")])
    assert assignment["layer1.combination/degree0"] == (32, 2)  # real weights, features of two bits
    assert assignment["layer1.aggregation/degree3"] == (2, 32)  # coefficients of two bits, real messages


def test_wrong_names_and_widths_are_refused(form: GraphNetworkForm, topology: Topology) -> None:
    network = create_graph_network("gcn", form)
    whole = {site.name: REAL for site in network.sites}
    with pytest.raises(UnknownSiteError, match="did you mean 'layer1"):
        network.assign({**whole, "layer1.combination/degree9": REAL})
    with pytest.raises(BitWidthError, match="cannot run at w3a32"):
        network.assign({**whole, "layer1.combination/degree0": BitWidths(3, 32)})
    with pytest.raises(UnsupportedNetworkError, match="did you mean 'gcn'"):
        create_graph_network("gcnn", form)
    blind = Topology(dataclasses.replace(topology.graph, val_mask=torch.zeros_like(topology.graph.val_mask)))
    with pytest.raises(TrainingError, match="nodes to choose by"):
        train(network, blind, network.schedule, seed=0)


def test_labels_of_test_nodes_change_nothing(blocks: NodeGraph, form: GraphNetworkForm) -> None:
    garbled = dataclasses.replace(blocks, y=torch.where(blocks.test_mask, 2 - blocks.y, blocks.y))
    found = []
    for graph in (blocks, garbled):
        torch.manual_seed(1)
        network = create_graph_network("gcn", form)
        train(network, Topology(graph), Schedule(learning_rate=0.01, weight_decay=5e-4, epochs=5), seed=0)
        found.append(network(Topology(graph)))
    assert torch.equal(*found)


def test_a_distilled_network_answers_as_its_teacher_and_test_nodes_teach_nothing(
    blocks: NodeGraph, topology: Topology, form: GraphNetworkForm
) -> None:
    torch.manual_seed(1)
    network = create_graph_network("gcn", form)
    train(network, topology, Schedule(learning_rate=0.01, weight_decay=5e-4, epochs=60), seed=0)
    taught = logits(network, topology).softmax(dim=1)
    four = chosen(network.sites, [(choice, 4) for choice in choices(network.sites, "uniform")])
    distance = []
    for distilled in (False, True):
        other = copy.deepcopy(network)
        fine_tune(other, topology, four, seed=0, epochs=60, distilled=distilled)
        distance.append(float((logits(other, topology).softmax(dim=1) - taught).abs().mean()))
    assert distance[1] < 0.75 * distance[0]
    garbled = torch.where(blocks.test_mask[:, None], 100.0, logits(network, topology))
    after = []
    for teacher in (logits(network, topology), garbled):
        other = copy.deepcopy(network)
        train(other, topology, Schedule(learning_rate=0.01, weight_decay=0, epochs=3), seed=0, teacher=teacher)
        after.append(logits(other, topology))
    assert torch.equal(*after)


@pytest.mark.skipif(not (current_data_root() / "planetoid" / "cora.npz").is_file(), reason="needs Cora")
def test_gcn_on_cora_is_as_accurate_as_published() -> None:
    graph = load_planetoid("cora").row_normalized()
    topology, found = Topology(graph), []
    for seed in range(2):
        torch.manual_seed(seed)
        network = create_graph_network("gcn", GraphNetworkForm(features=graph.features, classes=graph.classes))
        train(network, topology, network.schedule, seed=seed)
        found.append(judge(network, topology).test)
    assert statistics.mean(found) == pytest.approx(0.815, abs=0.015)
