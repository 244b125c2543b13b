"""Graphs of PyG: objects of its shape, its own objects, and what is said without it or without a network."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bitmixer.data import load_labels, require_shape
from bitmixer.data.geometric import SOURCES, load_geometric
from bitmixer.data.node_graphs import load_node_graph, node_graph_shape
from bitmixer.errors import DataError, MissingExtraError
from bitmixer.graphs.form import GraphNetworkForm
from bitmixer.graphs.network import Schedule
from bitmixer.graphs.networks import create_graph_network
from bitmixer.graphs.node_graph import node_graph
from bitmixer.graphs.topology import Topology
from bitmixer.graphs.training import judge, train

NODES, FEATURES, CLASSES = 1800, 6, 3


def parts(*, masks: bool) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(CLASSES, (NODES,), generator=generator)
    words = (torch.rand(NODES, FEATURES, generator=generator) < 0.3).long()
    found = {
        "x": torch.maximum(words, torch.nn.functional.one_hot(y, FEATURES)).float(),
        "edge_index": torch.randint(NODES, (2, 6000), generator=generator),
        "y": y,
    }
    if masks:
        order = torch.randperm(NODES, generator=generator)
        for name, nodes in (("train_mask", order[:90]), ("val_mask", order[90:400]), ("test_mask", order[400:])):
            found[name] = torch.zeros(NODES, dtype=torch.bool).index_fill(0, nodes, value=True)
    return found


class Fetched:
    """A data set as PyG's are: made of a folder and options, it holds its graph at position 0."""

    asked: tuple[str, dict[str, Any]]

    def __init__(self, root: str, **options: Any) -> None:
        type(self).asked = (root, options)

    def __getitem__(self, position: int) -> SimpleNamespace:
        assert position == 0
        return SimpleNamespace(**parts(masks="name" not in self.asked[1] or self.asked[1]["name"] == "PubMed"))


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of data, where PyG fetches without a network."""
    kinds = {source.dataset: Fetched for source in SOURCES.values()}
    monkeypatch.setitem(sys.modules, "torch_geometric.datasets", SimpleNamespace(**kinds))
    monkeypatch.setenv("BITMIXER_DATA", str(tmp_path))
    load_node_graph.cache_clear()
    return tmp_path


@pytest.mark.parametrize("name", SOURCES)
def test_each_graph_comes_from_its_data_set_into_the_folder_of_data(name: str, fetched: Path) -> None:
    graph = load_node_graph(name)
    assert Fetched.asked == (str(fetched / "pyg" / name), SOURCES[name].options)
    assert (graph.nodes, graph.features, graph.classes) == (NODES, FEATURES, CLASSES)
    assert all(bool(mask.any()) for mask in (graph.train_mask, graph.val_mask, graph.test_mask))
    assert graph.x.sum(dim=1).allclose(torch.ones(NODES)) == SOURCES[name].normalized
    assert load_labels(name).tolist() == graph.y[graph.test_mask].tolist()
    load_node_graph.cache_clear()


def test_a_network_learns_on_such_a_graph(fetched: Path) -> None:
    graph = load_geometric("reddit")
    topology = Topology(graph)
    network = create_graph_network("graphsage", GraphNetworkForm(features=graph.features, classes=graph.classes))
    train(network, topology, Schedule(learning_rate=0.05, weight_decay=0.0, epochs=60), seed=0)
    assert judge(network, topology).test > 0.5


def test_shapes_are_known_without_anything() -> None:
    assert node_graph_shape("reddit") == (232_965, 602)
    require_shape("pubmed", (19_717, 500), "a network")
    with pytest.raises(DataError, match="has inputs of shape"):
        require_shape("pubmed", (2708, 1433), "gat_cora")
    with pytest.raises(DataError, match="did you mean 'pubmed'"):
        load_geometric("pubmet")


def test_without_pyg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_geometric.datasets", None)
    with pytest.raises(MissingExtraError, match=r"bitmixer-hwsim\[graphs\]"):
        load_geometric("pubmed")


def test_without_a_network_what_to_do_is_said(fetched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(root: str, **options: Any) -> None:
        raise ConnectionError("cannot connect\n to host")

    monkeypatch.setattr(sys.modules["torch_geometric.datasets"], "Planetoid", unreachable, raising=True)
    with pytest.raises(DataError, match=r"cannot connect to host: check the network, or copy .*pyg"):
        load_geometric("pubmed")


@pytest.fixture(scope="module")
def geometric() -> Any:
    """PyG itself, whose import warns of what torch deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip("torch_geometric")


def test_pyg_s_own_objects_are_graphs(geometric: Any) -> None:
    data = geometric.data.Data(**parts(masks=True))
    graph = node_graph(data)
    assert torch.equal(graph.edge_index, data.edge_index)
    assert torch.equal(graph.test_mask, data.test_mask)
    assert torch.equal(graph.in_degrees, geometric.utils.degree(data.edge_index[1], NODES, dtype=torch.int64))
    bare = node_graph(geometric.data.Data(**parts(masks=False)))
    assert not bool(bare.train_mask.any())
    with pytest.raises(DataError, match="without x"):
        node_graph(geometric.data.Data(edge_index=data.edge_index, y=data.y))


def test_what_pyg_has_on_disk_is_read_by_its_own_reader(
    geometric: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from scipy import sparse

    monkeypatch.setenv("BITMIXER_DATA", str(tmp_path))
    raw, made = tmp_path / "pyg" / "amazon_photo" / "Photo" / "raw", parts(masks=False)
    raw.mkdir(parents=True)
    words = sparse.csr_matrix(made["x"].numpy())
    edges = sparse.csr_matrix((np.ones(6000), made["edge_index"].numpy()), shape=(NODES, NODES))
    arrays = {
        f"{kind}_{part}": getattr(matrix, part)
        for kind, matrix in (("attr", words), ("adj", edges)) for part in ("data", "indices", "indptr", "shape")
    }  # fmt: skip
    np.savez(raw / "amazon_electronics_photo.npz", labels=made["y"].numpy(), **arrays)
    graph = load_geometric("amazon_photo")
    assert torch.equal(graph.y, made["y"])
    assert graph.x.allclose(made["x"] / made["x"].sum(dim=1, keepdim=True))
    pairs = {tuple(pair) for pair in graph.edge_index.T.tolist()}
    wanted = {tuple(pair) for pair in made["edge_index"].T.tolist() if pair[0] != pair[1]}
    assert pairs == wanted | {(second, first) for first, second in wanted}  # PyG makes edges go both ways
