"""Citation graphs, generated graphs, and graphs of one's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bitmixer.data.block_model import BlockModel
from bitmixer.data.planetoid import load_planetoid
from bitmixer.data_folder import current_data_root
from bitmixer.errors import DataError
from bitmixer.graphs.node_graph import node_graph

ROOT = current_data_root() / "planetoid"


@pytest.mark.skipif(not (ROOT / "cora.npz").is_file(), reason=f"{ROOT} holds no Cora")
def test_cora_is_as_published() -> None:
    graph = load_planetoid("cora")
    assert (graph.nodes, graph.edges, graph.features, graph.classes) == (2708, 10556, 1433, 7)
    assert [int(mask.sum()) for mask in (graph.train_mask, graph.val_mask, graph.test_mask)] == [140, 500, 1000]
    assert int((graph.x != 0).sum()) == 49_216
    assert graph.row_normalized().x.sum(dim=1).allclose(torch.ones(graph.nodes))


@pytest.mark.skipif(not (ROOT / "citeseer.npz").is_file(), reason=f"{ROOT} holds no Citeseer")
def test_nodes_of_citeseer_without_words_stay_so() -> None:
    graph = load_planetoid("citeseer")
    assert (graph.nodes, graph.edges, graph.features, graph.classes) == (3327, 9104, 3703, 6)
    assert int((graph.y < 0).sum()) == 15
    assert bool(torch.isfinite(graph.row_normalized().x).all())


def test_what_is_missing_or_would_execute_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITMIXER_DATA", str(tmp_path))
    with pytest.raises(DataError, match="did you mean 'cora'"):
        load_planetoid("coral")
    with pytest.raises(DataError, match=r"cora\.npz is not there"):
        load_planetoid("cora")
    (tmp_path / "planetoid").mkdir()
    np.savez(tmp_path / "planetoid" / "cora.npz", data=np.array([{"code": 1}], dtype=object))
    with pytest.raises(DataError, match="damaged"):
        load_planetoid("cora")
    (tmp_path / "planetoid" / "cora.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DataError, match="damaged"):
        load_planetoid("cora")


def test_a_generated_graph_is_what_its_model_says() -> None:
    model = BlockModel(nodes=20_000, edges=200_000, classes=5, features=4, homophily=0.7, seed=1)
    graph = model.generate()
    source, target = graph.edge_index
    assert 0.9 * model.edges < graph.edges <= model.edges
    pairs = set(map(tuple, graph.edge_index.T.tolist()))
    assert len(pairs) == graph.edges
    assert all((second, first) in pairs for first, second in pairs)
    assert not bool((source == target).any())
    # A pair within a block comes of the share that stays, or of the rest by chance.
    within = float((graph.y[source] == graph.y[target]).double().mean())
    assert within == pytest.approx(0.7 + 0.3 / 5, abs=0.03)
    # A power law: the tail of the degrees falls as k^(1 - exponent).
    degrees = graph.in_degrees.double()
    low, high = float(degrees.mean()) * 2, float(degrees.mean()) * 8
    tail = [float((degrees > bound).double().mean()) for bound in (low, high)]
    assert np.log(tail[0] / tail[1]) / np.log(high / low) == pytest.approx(model.exponent - 1, abs=0.4)
    assert [int(mask.sum()) for mask in (graph.train_mask, graph.val_mask, graph.test_mask)] == [100, 500, 1000]
    assert not bool((graph.train_mask & graph.val_mask | graph.test_mask & graph.val_mask).any())


def test_the_same_seed_gives_the_same_graph() -> None:
    first, second, other = (BlockModel(nodes=100, edges=400, seed=seed).generate() for seed in (1, 1, 2))
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.edge_index, second.edge_index)
    assert not torch.equal(first.x, other.x)


@pytest.mark.parametrize("wrong", [{"classes": 1}, {"homophily": 1.5}, {"exponent": 2.0}, {"noise": -1.0}])
def test_models_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match="expected"):
        BlockModel(nodes=100, edges=400, **wrong)  # type: ignore[arg-type]


def test_any_object_with_x_edge_index_and_y_is_a_graph() -> None:
    data = SimpleNamespace(x=np.eye(3), edge_index=np.array([[0, 1], [1, 2]]), y=np.array([0, 1, 1]))
    graph = node_graph(data)
    assert (graph.nodes, graph.edges, graph.features, graph.classes) == (3, 2, 3, 2)
    assert graph.in_degrees.tolist() == [0, 1, 1]
    assert not bool(graph.test_mask.any())
    assert node_graph(graph) is graph


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"y": None}, "without y"),
        ({"y": [0, 1]}, r"expected \(nodes, features\)"),
        ({"edge_index": [[0, 5], [1, 2]]}, "outside of 0..2"),
        ({"train_mask": [True]}, r"expected \(3,\)"),
    ],
)
def test_what_is_no_graph_is_refused(changes: dict[str, object], said: str) -> None:
    fields = {"x": np.eye(3), "edge_index": [[0, 1], [1, 2]], "y": [0, 1, 1], **changes}
    with pytest.raises(DataError, match=said):
        node_graph(SimpleNamespace(**fields))


def test_a_drawn_split_is_as_large_as_asked_for_and_of_known_classes() -> None:
    graph = BlockModel(nodes=400, edges=2000, classes=4, features=3, seed=2).generate()
    y = graph.y.clone()
    y[:30] = -1
    graph = dataclasses.replace(graph, y=y)
    first, again, other = (graph.resplit(seed, per_class=5, validation=50, test=100) for seed in (1, 1, 2))
    masks = torch.stack([first.train_mask, first.val_mask, first.test_mask])
    assert masks.sum(dim=1).tolist() == [20, 50, 100]
    assert int(masks.sum(dim=0).max()) == 1
    assert torch.bincount(y[first.train_mask]).tolist() == [5] * 4
    assert not bool(masks[:, :30].any())
    assert torch.equal(first.test_mask, again.test_mask)
    assert not torch.equal(first.test_mask, other.test_mask)
    with pytest.raises(DataError, match="too few"):
        graph.resplit(1, validation=300)
