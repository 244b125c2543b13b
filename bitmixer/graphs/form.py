"""What graph networks are built of: plain data, read without torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

NODE_WIDTHS = (1, 2, 4, 8, 16)
DEGREE_CUTS = (4, 8, 16)
"""Least in-degree of every class but the first. On Cora the classes hold 60, 33, 6 and 2 % of the nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNetworkForm:
    """What a graph network is built of, beside its kind.

    Attributes:
        features: Features of a node of the graph.
        classes: Classes of nodes to tell apart.
        widths: Bit-widths below 32 of features, coefficients and messages.
        degree_cuts: Least in-degree of every degree class but the first.
        quantizer: Name of the quantiser of features, coefficients and messages.
        input_quantizer: Name of that of the graph's own features.
    """

    features: int
    classes: int
    widths: tuple[int, ...] = NODE_WIDTHS
    degree_cuts: tuple[int, ...] = DEGREE_CUTS
    quantizer: str = "least_error"
    input_quantizer: str = "least_error"

    @property
    def degree_classes(self) -> int:
        """Number of degree classes."""
        return len(self.degree_cuts) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedGraphForm(GraphNetworkForm):
    """What a checkpoint says of a graph network.

    Attributes:
        graph_network: Its kind, a name in ``bitmixer.graphs.networks.GRAPH_NETWORKS``.
    """

    graph_network: str

    def as_dict(self) -> dict[str, Any]:
        """Return the form as JSON holds it."""
        return dataclasses.asdict(self)
