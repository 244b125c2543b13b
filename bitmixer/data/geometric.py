"""Pubmed, Amazon and Reddit through PyG's own downloaders; needs the extra ``graphs`` and, once, a network.

Sources: Planetoid's Pubmed (Yang et al., ICML 2016); Amazon Computers and Photo (Shchur et al., "Pitfalls of Graph
Neural Network Evaluation", arXiv 1811.05868); Reddit (Hamilton et al., NIPS 2017).
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitmixer.data_folder import current_data_root
from bitmixer.errors import DataError, MissingExtraError, did_you_mean
from bitmixer.graphs.node_graph import NodeGraph, node_graph


@dataclass(frozen=True, slots=True, kw_only=True)
class GeometricSource:
    """A graph that PyG can fetch.

    Attributes:
        dataset: Name of the class in ``torch_geometric.datasets``.
        options: What it takes beside the folder.
        normalized: Whether features are words to be divided by their sum, as GCN takes them.
        split: Whether it comes with nodes to train, to choose and to judge by; else they are drawn, from seed 0.
    """

    dataset: str
    options: dict[str, Any]
    normalized: bool
    split: bool


SOURCES = {
    "pubmed": GeometricSource(dataset="Planetoid", options={"name": "PubMed"}, normalized=True, split=True),
    "amazon_computers": GeometricSource(dataset="Amazon", options={"name": "Computers"}, normalized=True, split=False),
    "amazon_photo": GeometricSource(dataset="Amazon", options={"name": "Photo"}, normalized=True, split=False),
    "reddit": GeometricSource(dataset="Reddit", options={}, normalized=False, split=True),
}


def load_geometric(name: str) -> NodeGraph:
    """Return a graph, fetched into ``pyg/NAME`` of the folder that ``BITMIXER_DATA`` names where it is not there yet.

    Raises:
        DataError: The name is unknown, or PyG can neither find nor fetch the graph, or it is not as expected.
        MissingExtraError: PyG is not installed.
    """
    if name not in SOURCES:
        raise DataError(f"unknown graph {name!r}: {did_you_mean(name, SOURCES)}")
    source, folder = SOURCES[name], current_data_root() / "pyg" / name
    graph = node_graph(_fetched(source, name, folder))
    if not source.split:
        graph = graph.resplit(0)
    return graph.row_normalized() if source.normalized else graph


def _fetched(source: GeometricSource, name: str, folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyG's own, of what torch deprecates
        try:
            datasets = importlib.import_module("torch_geometric.datasets")
        except ImportError as error:
            raise MissingExtraError(
                f"graph {name!r} needs PyG ({error}): pip install 'bitmixer-hwsim[graphs]'"
            ) from None
        try:
            return getattr(datasets, source.dataset)(str(folder), **source.options)[0]
        except Exception as error:  # whatever PyG's transport and its files' readers raise
            what = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"graph {name!r} could not be had by PyG's {source.dataset}: {what}: check the network, or copy "
                f"{folder} from a machine that has one"
            ) from None
