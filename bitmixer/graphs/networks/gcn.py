"""GCN (Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitmixer.graphs.network import GraphLayer, GraphNetworkForm
from bitmixer.graphs.networks.two_layers import TwoLayers
from bitmixer.graphs.topology import Features, Topology


class GCNLayer(GraphLayer):
    """Messages weighted by 1 / sqrt(d_target d_source), summed with the node's own."""

    def __init__(self, form: GraphNetworkForm, inputs: int, outputs: int, *, dropout: float, reads_graph: bool) -> None:
        super().__init__(form, dropout=dropout)
        self.combination = self.combination_of(inputs, outputs, reads_graph=reads_graph)
        self.aggregation = self.aggregation_of(outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Features, topology: Topology) -> Tensor:
        """Return (nodes, outputs)."""
        messages = self.combination(features, topology, dropout=self.dropout)
        coefficients = topology.symmetric_coefficients
        summed: Tensor = self.aggregation(topology.with_loops, coefficients, messages, topology)
        return summed + self.bias


class GCN(TwoLayers):
    """Two layers; dropout, sizes and penalty as in section 5 of the source."""

    layer = GCNLayer

    def decays(self, name: str) -> bool:
        """The penalty is on the first layer alone."""
        return name.startswith("layer1.")
