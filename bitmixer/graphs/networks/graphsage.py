"""GraphSAGE (Hamilton, Ying and Leskovec, "Inductive Representation Learning on Large Graphs", NIPS 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitmixer.graphs.network import GraphLayer, GraphNetworkForm
from bitmixer.graphs.networks.two_layers import TwoLayers
from bitmixer.graphs.topology import Features, Topology


class SAGELayer(GraphLayer):
    """The mean of the neighbours' messages beside the node's own (the mean aggregator, section 3.3)."""

    def __init__(self, form: GraphNetworkForm, inputs: int, outputs: int, *, dropout: float, reads_graph: bool) -> None:
        super().__init__(form, dropout=dropout)
        self.combination = self.combination_of(inputs, 2 * outputs, reads_graph=reads_graph)
        self.aggregation = self.aggregation_of(outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Features, topology: Topology) -> Tensor:
        """Return (nodes, outputs)."""
        both = self.combination(features, topology, dropout=self.dropout)
        own, messages = both.chunk(2, dim=1)
        coefficients = topology.mean_coefficients
        summed: Tensor = self.aggregation(topology.without_loops, coefficients, messages.contiguous(), topology)
        result: Tensor = summed + own + self.bias
        return result


class GraphSAGE(TwoLayers):
    """Two layers over the whole graph, with GCN's sizes: the graphs are small enough to sample no neighbours."""

    reads_itself = False
    layer = SAGELayer
