"""Queries of nodes, and trained graph networks on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import BitWidthError, CheckpointError, UnknownSiteError
from bitmixer.graphs.capturing import capture_graph_network
from bitmixer.graphs.checkpoint import load_graph_network, save_graph_network
from bitmixer.graphs.network import GraphNetworkForm
from bitmixer.graphs.networks import GRAPH_NETWORKS, create_graph_network
from bitmixer.graphs.queries import NodeQueries
from bitmixer.graphs.topology import Topology


def queries(topology: Topology, form: GraphNetworkForm) -> tuple[NodeQueries, BitAssignment]:
    network = create_graph_network("gat", form)
    graph = capture_graph_network(network, topology, name="blocks")
    network.calibrate_weights()
    network.calibrate(topology, [BitAssignment({site.name: BitWidths(4, 4) for site in network.sites})])
    return NodeQueries(network, topology, [layer.name for layer in graph.layers]), graph.uniform(4)


def test_queries_are_rows_of_one_pass(topology: Topology, form: GraphNetworkForm) -> None:
    asked, four = queries(topology, form)
    network = asked._network
    network.assign({site.name: BitWidths(4, 4) for site in network.sites})
    with torch.no_grad():
        judged = network(topology)[topology.graph.test_mask]
    assert torch.equal(asked.logits(four, [5, 0, 5]), judged[[5, 0, 5]])
    run = asked.run([5, 0, 5])
    for site, widths in four.items():
        run.commit(site, widths)
        run.advance(site)
    assert torch.equal(run.finish(), judged[[5, 0, 5]])


def test_what_is_not_committed_or_twice_is_refused(topology: Topology, form: GraphNetworkForm) -> None:
    asked, four = queries(topology, form)
    run, site = asked.run([0]), asked.sites[0]
    with pytest.raises(BitWidthError, match="not committed"):
        run.advance(site)
    run.commit(site, four[site])
    with pytest.raises(BitWidthError, match="cannot run at"):
        run.commit(site, BitWidths(8, 8))
    with pytest.raises(BitWidthError, match="not committed"):
        run.finish()
    with pytest.raises(UnknownSiteError, match="did you mean"):
        run.commit(site + "0", four[site])
    with pytest.raises(BitWidthError):
        asked.run([0]).commit(site, BitWidths(3, 3))


@pytest.mark.parametrize("name", GRAPH_NETWORKS)
def test_a_network_comes_back_from_disk_as_it_was(
    name: str, topology: Topology, form: GraphNetworkForm, tmp_path: Path
) -> None:
    network = create_graph_network(name, form)
    four = BitAssignment({site.name: BitWidths(4, 4) for site in network.sites})
    network.calibrate_weights()
    network.calibrate(topology, [four])
    saved = save_graph_network(tmp_path / name, network, topology, name=name, metrics={"data": "blocks"})
    again = load_graph_network(saved.path)
    for each in (network, again):
        each.eval()
        each.assign(four)
    with torch.no_grad():
        assert torch.equal(network(topology), again(topology))
    assert saved.graph.one_pass


def test_a_network_for_images_is_no_graph_network() -> None:
    with pytest.raises(CheckpointError, match="takes images"):
        load_graph_network("resnet8_digits")
