"""GCN (Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitmixer.graphs.network import GraphLayer, GraphNetwork, GraphNetworkForm, Schedule
from bitmixer.graphs.topology import Features, Topology


class GCNLayer(GraphLayer):
    """Messages weighted by 1 / sqrt(d_target d_source), summed with the node's own."""

    def __init__(self, form: GraphNetworkForm, inputs: int, outputs: int, *, dropout: float, reads_graph: bool) -> None:
        super().__init__(form)
        self.combination = self.combination_of(inputs, outputs, reads_graph=reads_graph)
        self.aggregation = self.aggregation_of(outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.dropout = dropout

    def forward(self, features: Features, topology: Topology) -> Tensor:
        """Return (nodes, outputs)."""
        messages = self.combination(features, topology, dropout=self.dropout)
        coefficients = topology.symmetric_coefficients
        summed: Tensor = self.aggregation(topology.with_loops, coefficients, messages, topology)
        return summed + self.bias


class GCN(GraphNetwork):
    """Two layers; dropout, sizes and penalty as in section 5 of the source."""

    schedule = Schedule(learning_rate=0.01, weight_decay=5e-4, epochs=200)

    def __init__(self, form: GraphNetworkForm, *, hidden: int = 16, dropout: float = 0.5) -> None:
        super().__init__(form)
        self.layer1 = GCNLayer(form, form.features, hidden, dropout=dropout, reads_graph=True)
        self.layer2 = GCNLayer(form, hidden, form.classes, dropout=dropout, reads_graph=False)

    def forward(self, topology: Topology) -> Tensor:
        """Return the logits (nodes, classes)."""
        hidden = self.layer1(topology.features, topology).relu()
        logits: Tensor = self.layer2(topology.dense(hidden), topology)
        return logits

    def decays(self, name: str) -> bool:
        """The penalty is on the first layer alone."""
        return name.startswith("layer1.")
