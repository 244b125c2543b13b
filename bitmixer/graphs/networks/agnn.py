"""AGNN: attention by the cosine of features.

Source: Thekumparampil et al., "Attention-based Graph Neural Network for Semi-supervised Learning", arXiv 1803.03735.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer.graphs.network import GraphLayer, GraphNetwork, GraphNetworkForm, Schedule
from bitmixer.graphs.topology import Features, Topology


class LinearLayer(GraphLayer):
    """A combination alone."""

    def __init__(self, form: GraphNetworkForm, inputs: int, outputs: int, *, dropout: float, reads_graph: bool) -> None:
        super().__init__(form, dropout=dropout)
        self.combination = self.combination_of(inputs, outputs, reads_graph=reads_graph)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Features, topology: Topology) -> Tensor:
        """Return (nodes, outputs)."""
        combined: Tensor = self.combination(features, topology, dropout=self.dropout)
        return combined + self.bias


class PropagationLayer(GraphLayer):
    """Features weighted by attention: a softmax over neighbours of beta times the cosine of both ends (section 4)."""

    def __init__(self, form: GraphNetworkForm, width: int, *, learns_beta: bool) -> None:
        super().__init__(form)
        per_edge = width + 3  # a product of directions, a softmax
        self.aggregation = self.aggregation_of(width, stores_messages=True, score_operations=per_edge)
        self.beta = nn.Parameter(torch.ones(()), requires_grad=learns_beta)

    def forward(self, features: Tensor, topology: Topology) -> Tensor:
        """Return (nodes, width)."""
        edges = topology.with_loops
        directions = F.normalize(features, dim=1)
        cosines = (directions.index_select(0, edges.rows) * directions.index_select(0, edges.columns)).sum(
            1, keepdim=True
        )
        attention = edges.softmax(self.beta * cosines).squeeze(1)
        summed: Tensor = self.aggregation(edges, attention, features, topology)
        return summed


class AGNN(GraphNetwork):
    """An embedding, two propagations, a classifier; the first propagation's beta is 1 (section 5)."""

    schedule = Schedule(learning_rate=0.01, weight_decay=5e-4, epochs=200)

    def __init__(self, form: GraphNetworkForm, *, hidden: int = 16, dropout: float = 0.5) -> None:
        super().__init__(form)
        self.embedding = LinearLayer(form, form.features, hidden, dropout=dropout, reads_graph=True)
        self.propagation1 = PropagationLayer(form, hidden, learns_beta=False)
        self.propagation2 = PropagationLayer(form, hidden, learns_beta=True)
        self.classifier = LinearLayer(form, hidden, form.classes, dropout=dropout, reads_graph=False)

    def forward(self, topology: Topology) -> Tensor:
        """Return the logits (nodes, classes)."""
        hidden = self.embedding(topology.features, topology).relu()
        hidden = self.propagation2(self.propagation1(hidden, topology), topology)
        logits: Tensor = self.classifier(topology.dense(hidden), topology)
        return logits
