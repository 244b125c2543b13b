"""GAT (Veličković et al., "Graph Attention Networks", ICLR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer.graphs.network import GraphLayer, GraphNetwork, GraphNetworkForm, Schedule
from bitmixer.graphs.topology import Features, Topology

SLOPE = 0.2
"""Of the leaky ReLU on attention scores (section 3.3 of the source)."""


class GATLayer(GraphLayer):
    """Messages weighted by attention: a softmax over a node's neighbours of scores of both ends (eq. 3)."""

    def __init__(
        self, form: GraphNetworkForm, inputs: int, outputs: int, *, heads: int, dropout: float, reads_graph: bool
    ) -> None:
        super().__init__(form, dropout=dropout)
        self.combination = self.combination_of(inputs, heads * outputs, reads_graph=reads_graph)
        self.aggregation = self.aggregation_of(outputs, heads=heads, score_operations=5 * heads)  # sum, slope, softmax
        self.score_source = nn.Parameter(torch.empty(heads, outputs))
        self.score_target = nn.Parameter(torch.empty(heads, outputs))
        nn.init.xavier_uniform_(self.score_source)
        nn.init.xavier_uniform_(self.score_target)
        self.bias = nn.Parameter(torch.zeros(heads * outputs))
        self.heads = heads

    def forward(self, features: Features, topology: Topology) -> Tensor:
        """Return (nodes, heads x outputs)."""
        flat = self.combination(features, topology, dropout=self.dropout)
        messages = flat.reshape(len(flat), self.heads, -1)
        edges = topology.with_loops
        of_source, of_target = ((messages * score).sum(-1) for score in (self.score_source, self.score_target))
        scores = F.leaky_relu(of_source.index_select(0, edges.columns) + of_target.index_select(0, edges.rows), SLOPE)
        attention = edges.softmax(scores)
        summed = self.aggregation(edges, attention, messages, topology, dropout=self.dropout)
        result: Tensor = summed.reshape(len(flat), -1) + self.bias
        return result


class GAT(GraphNetwork):
    """Two layers, eight heads in the first, one in the second; sizes and dropout as in section 3.3 of the source.

    The rate and the penalty are twice the source's, which trains far longer: with these, 300 epochs suffice.
    """

    schedule = Schedule(learning_rate=0.01, weight_decay=1e-3, epochs=300)

    def __init__(self, form: GraphNetworkForm, *, hidden: int = 8, heads: int = 8, dropout: float = 0.6) -> None:
        super().__init__(form)
        self.layer1 = GATLayer(form, form.features, hidden, heads=heads, dropout=dropout, reads_graph=True)
        self.layer2 = GATLayer(form, hidden * heads, form.classes, heads=1, dropout=dropout, reads_graph=False)

    def forward(self, topology: Topology) -> Tensor:
        """Return the logits (nodes, classes)."""
        hidden = F.elu(self.layer1(topology.features, topology))
        logits: Tensor = self.layer2(topology.dense(hidden), topology)
        return logits
