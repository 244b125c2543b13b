"""A graph made ready for networks: who reads whom, classes of nodes by degree, features that are mostly zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from bitmixer.errors import DataError
from bitmixer.graphs.form import DEGREE_CUTS
from bitmixer.graphs.node_graph import NodeGraph
from bitmixer.graphs.quantizers.base import Owners
from bitmixer.graphs.sparse_pattern import SparsePattern

SPARSE_BELOW = 0.1
"""Features with a smaller share of non-zeros are multiplied as sparse matrices."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Features of nodes: all values, or those that are not zero.

    Attributes:
        values: (nodes, width), or (entries,) where a pattern says which they are.
        pattern: The entries that are not zero; ``None`` for all.
        owners: Which node each entry belongs to.
    """

    values: Tensor
    pattern: SparsePattern | None
    owners: Owners

    def times(self, weight: Tensor) -> Tensor:
        """Return (nodes, outputs) the product with a matrix (width, outputs)."""
        return self.values @ weight if self.pattern is None else self.pattern.product(self.values, weight)

    def with_values(self, values: Tensor) -> Features:
        """Return other values in the same places."""
        return replace(self, values=values)

    def dropped(self, rate: float, *, training: bool) -> Features:
        """Return the features after dropout; zeros stay zeros, so those that have no entry need none."""
        return self.with_values(F.dropout(self.values, rate, training))


class Topology:
    """A graph as networks read it.

    Args:
        graph: The graph. Nodes of its ``test_mask`` never set ranges.
        cuts: Least in-degree of every class but the first, ascending.

    Raises:
        DataError: Cuts do not ascend from 1.

    Attributes:
        degree_class: (nodes,) class of each node.
        with_loops: Edges, and one from every node to itself. Rows are targets, columns are sources.
    """

    def __init__(self, graph: NodeGraph, cuts: tuple[int, ...] = DEGREE_CUTS) -> None:
        if list(cuts) != sorted({cut for cut in cuts if cut >= 1}):
            raise DataError(f"degree cuts {cuts}: expected ascending whole numbers from 1, for example {DEGREE_CUTS}")
        self.graph = graph
        self.cuts = cuts
        self.degree_class = torch.bucketize(graph.in_degrees, torch.tensor(cuts), right=True)
        source, target = graph.edge_index
        shape, nodes = (graph.nodes, graph.nodes), torch.arange(graph.nodes)
        others = source != target
        self.with_loops = SparsePattern(torch.cat([target[others], nodes]), torch.cat([source[others], nodes]), shape)

    @cached_property
    def without_loops(self) -> SparsePattern:
        """Edges alone."""
        source, target = self.graph.edge_index
        return SparsePattern(target, source, (self.graph.nodes, self.graph.nodes))

    @property
    def classes(self) -> int:
        """Number of classes of nodes."""
        return len(self.cuts) + 1

    @cached_property
    def owners(self) -> Owners:
        """Owners of values that every node has."""
        degrees = self.graph.in_degrees
        ascending = degrees.sort().values
        rank = torch.searchsorted(ascending, degrees, right=True) / max(self.graph.nodes, 1)
        return Owners(node=None, degree_class=self.degree_class, measured=~self.graph.test_mask, rank=rank)

    def edge_owners(self, pattern: SparsePattern) -> Owners:
        """Return the owners of values that every edge has: its source, whose message the value multiplies."""
        return replace(self.owners, node=pattern.columns)

    @cached_property
    def features(self) -> Features:
        """The graph's features; only those that are not zero where most are, and none is negative."""
        x = self.graph.x
        entries = x.nonzero()
        if len(entries) >= SPARSE_BELOW * x.numel() or bool((x < 0).any()):
            return self.dense(x)
        pattern = SparsePattern(entries[:, 0], entries[:, 1], (x.shape[0], x.shape[1]))
        owners = replace(self.owners, node=pattern.rows, omits_zeros=True)
        return Features(values=x[pattern.rows, pattern.columns], pattern=pattern, owners=owners)

    def dense(self, values: Tensor) -> Features:
        """Return features (nodes, width) of which every value is kept."""
        return Features(values=values, pattern=None, owners=self.owners)

    @cached_property
    def symmetric_coefficients(self) -> Tensor:
        """(entries of ``with_loops``,) 1 / sqrt(d_target d_source), degrees with loops (Kipf and Welling, eq. 2)."""
        degrees = torch.bincount(self.with_loops.rows, minlength=self.graph.nodes).float()
        return (degrees[self.with_loops.rows] * degrees[self.with_loops.columns]).rsqrt()

    @cached_property
    def mean_coefficients(self) -> Tensor:
        """(entries of ``without_loops``,) 1 / in-degree of the target."""
        degrees = torch.bincount(self.without_loops.rows, minlength=self.graph.nodes).float()
        return degrees[self.without_loops.rows].reciprocal()
