"""Two graph layers of one kind over the whole graph, as GCN has them and GraphSAGE with its sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from bitmixer.graphs.network import GraphLayer, GraphNetwork, GraphNetworkForm, Schedule
from bitmixer.graphs.topology import Topology


class TwoLayers(GraphNetwork):
    """Layers with a ReLU between them.

    Attributes:
        layer: Makes a layer.
    """

    layer: ClassVar[Callable[..., GraphLayer]]
    schedule = Schedule(learning_rate=0.01, weight_decay=5e-4, epochs=200)

    def __init__(self, form: GraphNetworkForm, *, hidden: int = 16, dropout: float = 0.5) -> None:
        super().__init__(form)
        self.layer1 = type(self).layer(form, form.features, hidden, dropout=dropout, reads_graph=True)
        self.layer2 = type(self).layer(form, hidden, form.classes, dropout=dropout, reads_graph=False)

    def forward(self, topology: Topology) -> Tensor:
        """Return the logits (nodes, classes)."""
        hidden = self.layer1(topology.features, topology).relu()
        logits: Tensor = self.layer2(topology.dense(hidden), topology)
        return logits
