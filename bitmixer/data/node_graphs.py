"""Graphs by name, as scenarios and checkpoints give it: ``cora``, or ``blocks:nodes=20000,edges=200000,seed=1``.

``pubmed``, ``amazon_computers``, ``amazon_photo`` and ``reddit`` come through PyG. Bags of words come with the words of
every node summing to one, as GCN and GAT take them.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitmixer.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from bitmixer.data.block_model import BlockModel
    from bitmixer.graphs.node_graph import NodeGraph

_PLANETOID = {"citeseer": (3327, 3703), "cora": (2708, 1433)}
_GEOMETRIC = {
    "amazon_computers": (13_752, 767), "amazon_photo": (7650, 745), "pubmed": (19_717, 500), "reddit": (232_965, 602)
}  # fmt: skip
_PUBLISHED = _PLANETOID | _GEOMETRIC
"""Nodes and features, known without loading them."""
GENERATED = "blocks"
NODE_GRAPHS = (GENERATED, *_PUBLISHED)


def is_node_graph(name: str) -> bool:
    """Return whether a data name is that of a graph."""
    return name.partition(":")[0].partition("+")[0] in NODE_GRAPHS


def node_graph_shape(name: str) -> tuple[int, int]:
    """Return nodes and features of a graph; loads nothing.

    Raises:
        DataError: The name is unknown or malformed.
    """
    base, model = _parsed(name)
    return _PUBLISHED[base] if model is None else (model.nodes, model.features)


@lru_cache(maxsize=1)
def load_node_graph(name: str) -> NodeGraph:
    """Return a graph.

    Raises:
        DataError: The name is unknown or malformed, or the data is missing or damaged, or cannot be fetched.
        MissingExtraError: It needs PyG, which is not installed.
    """
    base, model = _parsed(name)
    if model is not None:
        return model.generate()
    if base in _GEOMETRIC:
        from bitmixer.data.geometric import load_geometric

        return load_geometric(base)
    from bitmixer.data.planetoid import load_planetoid

    return load_planetoid(base).row_normalized()


def query_labels(name: str) -> NDArray[np.int64]:
    """Return the classes of the nodes that judge, in their order: an input of the data is a query of one of them.

    Raises:
        DataError: As in :func:`load_node_graph`.
    """
    graph = load_node_graph(name)
    labels: NDArray[np.int64] = graph.y[graph.test_mask].numpy()
    return labels


def _parsed(name: str) -> tuple[str, BlockModel | None]:
    if "+" in name:
        raise DataError(f"data {name!r}: corruptions are of images: leave out what follows the +")
    base, colon, rest = name.partition(":")
    if base not in NODE_GRAPHS:
        raise DataError(f"data {name!r}: unknown graph {base!r}: {did_you_mean(base, NODE_GRAPHS)}")
    if base != GENERATED:
        if colon:
            raise DataError(f"data {name!r}: {base} has no options: leave out what follows the colon")
        return base, None
    return base, _block_model(name, rest)


def _block_model(name: str, options: str) -> BlockModel:
    from bitmixer.data.block_model import BlockModel

    kinds = {field.name: float if field.type == "float" else int for field in dataclasses.fields(BlockModel)}
    values: dict[str, float] = {}
    for part in options.split(","):
        key, _, value = part.partition("=")
        if key not in kinds:
            raise DataError(f"data {name!r}: unknown option {key!r}: {did_you_mean(key, kinds)}")
        try:
            values[key] = kinds[key](value)
        except ValueError:
            raise DataError(f"data {name!r}: {key} = {value!r}: expected a {kinds[key].__name__}") from None
    missing = [key for key in ("nodes", "edges") if key not in values]
    if missing:
        raise DataError(f"data {name!r}: without {' and '.join(missing)}: write {GENERATED}:nodes=20000,edges=200000")
    return BlockModel(**values)  # type: ignore[arg-type]
