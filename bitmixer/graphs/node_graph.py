"""Graphs whose nodes are to be classified."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from bitmixer.errors import DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class NodeGraph:
    """A graph with features and a class for every node.

    Attributes:
        x: (nodes, features) float features.
        edge_index: (2, edges) source and target of every directed edge; self-loops and repeated edges count as given.
        y: (nodes,) class, or -1 where none is known.
        train_mask: (nodes,) what training may see; ``val_mask``: what choices are made by; ``test_mask``: what judges.
    """

    x: Tensor
    edge_index: Tensor
    y: Tensor
    train_mask: Tensor
    val_mask: Tensor
    test_mask: Tensor

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.x.shape[0]

    @property
    def edges(self) -> int:
        """Number of directed edges."""
        return self.edge_index.shape[1]

    @property
    def features(self) -> int:
        """Number of features of a node."""
        return self.x.shape[1]

    @cached_property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.y.max()) + 1

    @cached_property
    def in_degrees(self) -> Tensor:
        """(nodes,) edges that end in each node."""
        return torch.bincount(self.edge_index[1], minlength=self.nodes)

    def row_normalized(self) -> NodeGraph:
        """Return the graph with the features of every node summing to one, as GCN takes them; empty rows stay empty."""
        sums = self.x.sum(dim=1, keepdim=True)
        return replace(self, x=torch.where(sums > 0, self.x / sums, self.x))

    def resplit(self, seed: int, *, per_class: int = 20, validation: int = 500, test: int = 1000) -> NodeGraph:
        """Return the graph with nodes drawn anew to train, to choose and to judge by.

        Split as Planetoid's own, at random among nodes whose class is known: one split may flatter (Shchur et al.,
        "Pitfalls of Graph Neural Network Evaluation", arXiv 1811.05868).

        Raises:
            DataError: There are too few nodes.
        """
        known = (self.y >= 0).nonzero().squeeze(1)
        drawn = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))]
        is_one = torch.nn.functional.one_hot(self.y[drawn], self.classes)
        trains = ((is_one.cumsum(0) <= per_class) & is_one.bool()).any(dim=1)
        rest = drawn[~trains]
        if len(rest) < validation + test or bool((is_one.sum(0) < per_class).any()):
            raise DataError(
                f"graph with {len(known)} nodes of known class: too few to draw {per_class} of each class to train by, "
                f"{validation} to choose by and {test} to judge by"
            )
        nodes = (drawn[trains], rest[:validation], rest[validation : validation + test])
        masks = [torch.zeros(self.nodes, dtype=torch.bool).index_fill(0, each, value=True) for each in nodes]
        return replace(self, train_mask=masks[0], val_mask=masks[1], test_mask=masks[2])


def node_graph(data: Any) -> NodeGraph:
    """Return the graph that any object with ``x``, ``edge_index`` and ``y`` describes, as those of PyG do.

    Masks that it lacks are empty.

    Raises:
        DataError: One of the three is missing, shapes contradict one another, or an edge names no node.
    """
    if isinstance(data, NodeGraph):
        return data
    missing = [name for name in ("x", "edge_index", "y") if getattr(data, name, None) is None]
    if missing:
        raise DataError(f"graph without {', '.join(missing)}: give an object with x, edge_index and y")
    x, edge_index, y = (torch.as_tensor(getattr(data, name)) for name in ("x", "edge_index", "y"))
    if x.dim() != 2 or edge_index.dim() != 2 or edge_index.shape[0] != 2 or y.shape != x.shape[:1]:
        raise DataError(
            f"graph with x {tuple(x.shape)}, edge_index {tuple(edge_index.shape)}, y {tuple(y.shape)}: "
            "expected (nodes, features), (2, edges), (nodes,)"
        )
    nodes = x.shape[0]
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < nodes:
        raise DataError(f"edge_index: names nodes outside of 0..{nodes - 1}")
    masks = {name: _mask(data, name, nodes) for name in ("train_mask", "val_mask", "test_mask")}
    return NodeGraph(x=x.float(), edge_index=edge_index.long(), y=y.long(), **masks)


def _mask(data: Any, name: str, nodes: int) -> Tensor:
    given = getattr(data, name, None)
    mask = torch.zeros(nodes, dtype=torch.bool) if given is None else torch.as_tensor(given).bool()
    if mask.shape != (nodes,):
        raise DataError(f"{name} {tuple(mask.shape)}: expected ({nodes},), one mask of all nodes")
    return mask
