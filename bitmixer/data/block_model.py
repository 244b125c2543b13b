"""Generated graphs: a stochastic block model whose degrees follow a power law, with features that tell the block.

The degree-corrected block model of Karrer and Newman, "Stochastic blockmodels and community structure in networks",
Physical Review E 83, 2011: each end of an edge is drawn within its block in proportion to a weight of the node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitmixer.errors import DataError

if TYPE_CHECKING:
    from bitmixer.graphs.node_graph import NodeGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockModel:
    """What is generated.

    Attributes:
        nodes: Number of nodes.
        edges: Number of directed edges drawn; every edge goes both ways, so half as many are independent. Repeated
            edges and self-loops are dropped, so slightly fewer come out.
        classes: Blocks, of about equal size.
        features: Features of a node: those of its block's centre, plus noise of standard deviation ``noise``.
        homophily: Share of edges that stay within a block.
        exponent: Of the power law of degrees; 2 to 3 in citation graphs.
        noise: Standard deviation of features around the centre, whose own features have one of 1.
        seed: Of everything that is drawn.

    Raises:
        DataError: A number is out of range.
    """

    nodes: int
    edges: int
    classes: int = 8
    features: int = 32
    homophily: float = 0.8
    exponent: float = 2.5
    noise: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.classes <= self.nodes or self.edges < 2 or self.features < 1:
            raise DataError(f"{self}: expected 2 <= classes <= nodes, 2 edges or more and a feature")
        if not 0 <= self.homophily <= 1 or self.exponent <= 2 or self.noise < 0:
            raise DataError(f"{self}: expected homophily in 0..1, an exponent above 2 (a finite mean), noise from 0")

    def generate(self) -> NodeGraph:
        """Return the graph; 20 nodes of each class train, 500 others choose, 1000 judge, where there are so many."""
        import torch

        from bitmixer.graphs.node_graph import NodeGraph

        generator = np.random.default_rng(self.seed)
        y = np.sort(generator.integers(self.classes, size=self.nodes))
        weights = (1 - generator.random(self.nodes)) ** (-1 / (self.exponent - 1))
        sources, targets = self._edges(y, weights, generator)
        centres = generator.standard_normal((self.classes, self.features), dtype=np.float32)
        x = centres[y] + np.float32(self.noise) * generator.standard_normal(
            (self.nodes, self.features), dtype=np.float32
        )
        train, val, test = _split(y, self.classes, generator)
        return NodeGraph(
            x=torch.from_numpy(x),
            edge_index=torch.from_numpy(np.stack([sources, targets])),
            y=torch.from_numpy(y.astype(np.int64)),
            train_mask=torch.from_numpy(train),
            val_mask=torch.from_numpy(val),
            test_mask=torch.from_numpy(test),
        )

    def _edges(
        self, y: NDArray[np.int64], weights: NDArray[np.float64], generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return source and target of both directions of every edge, sorted, each once."""
        reach = np.concatenate([[0.0], np.cumsum(weights)])
        begins = np.searchsorted(y, np.arange(self.classes + 1))
        count = self.edges // 2
        first = np.searchsorted(reach, generator.random(count) * reach[-1], side="right") - 1
        stays = generator.random(count) < self.homophily
        low = np.where(stays, reach[begins[y[first]]], 0.0)
        high = np.where(stays, reach[begins[y[first] + 1]], reach[-1])
        second = np.searchsorted(reach, low + generator.random(count) * (high - low), side="right") - 1
        first, second = np.minimum(first, self.nodes - 1), np.minimum(second, self.nodes - 1)
        others = first != second
        first, second = first[others], second[others]
        return _sorted_once(np.concatenate([first, second]), np.concatenate([second, first]), self.nodes)


def _sorted_once(
    sources: NDArray[np.int64], targets: NDArray[np.int64], nodes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return edges sorted by source and target, each once: by counting, forty times as fast as by comparing."""
    from scipy import sparse

    matrix = sparse.csr_matrix((np.ones(len(sources), dtype=np.bool_), (sources, targets)), shape=(nodes, nodes))
    matrix.sum_duplicates()
    return np.repeat(np.arange(nodes), np.diff(matrix.indptr)), matrix.indices.astype(np.int64)


def _split(
    y: NDArray[np.int64], classes: int, generator: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    drawn = generator.permutation(len(y))
    train = np.zeros(len(y), dtype=bool)
    for each in range(classes):
        train[drawn[y[drawn] == each][:20]] = True
    rest = drawn[~train[drawn]]
    val, test = np.zeros_like(train), np.zeros_like(train)
    val[rest[:500]] = True
    test[rest[500:1500]] = True
    return train, val, test
