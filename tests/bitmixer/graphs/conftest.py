"""Shared by the tests of graph networks: a small generated graph."""

from __future__ import annotations

import pytest

from bitmixer.data.block_model import BlockModel
from bitmixer.graphs.network import GraphNetworkForm
from bitmixer.graphs.node_graph import NodeGraph
from bitmixer.graphs.topology import Topology

BLOCKS = BlockModel(nodes=1500, edges=7500, classes=3, features=12, noise=1.5, seed=3)


@pytest.fixture(scope="session")
def blocks() -> NodeGraph:
    return BLOCKS.generate()


@pytest.fixture(scope="session")
def topology(blocks: NodeGraph) -> Topology:
    return Topology(blocks)


@pytest.fixture(scope="session")
def form(blocks: NodeGraph) -> GraphNetworkForm:
    return GraphNetworkForm(features=blocks.features, classes=blocks.classes)
