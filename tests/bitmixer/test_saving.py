"""A network and data of one's own become files, which are networks and data like any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import bitmixer
from bitmixer.data import data_identity, load_image_set, require_shape
from bitmixer.errors import CheckpointError, DataError, QuantizerError
from bitmixer.evaluation import evaluate
from bitmixer.networks import find_checkpoint, load_network
from bitmixer.networks.checkpoint import Checkpoint


class Mine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.body, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        return self.head(torch.relu(self.body(x) + x).mean((2, 3)))


@pytest.fixture(scope="module")
def images() -> bitmixer.ImageSet:
    digits = load_image_set("digits")
    train, test = (
        DataLoader(TensorDataset(torch.from_numpy(inputs), torch.from_numpy(labels)), batch_size=100)
        for inputs, labels in (
            (digits.train_inputs, digits.train_labels), (digits.test_inputs[:150], digits.test_labels[:150]),
        )
    )  # fmt: skip
    return bitmixer.ImageSet.from_batches(train, test)


def calibrated(images: bitmixer.ImageSet, model: nn.Module | None = None) -> bitmixer.network.MetaQuantizedNetwork:
    network = bitmixer.convert(model or Mine(), (2, 4, 8), signed_input=False).eval()
    network.calibrate_activations(torch.from_numpy(images.train_inputs[:64]))
    network.calibrate_weights()
    return network


@pytest.fixture
def saved(images: bitmixer.ImageSet, tmp_path: Path) -> Checkpoint:
    images.save(tmp_path / "mine.npz")
    network = calibrated(images)
    example = torch.from_numpy(images.test_inputs[:8])
    return bitmixer.save_network(network, tmp_path / "mine", example=example, data=str(tmp_path / "mine.npz"))


def test_batches_are_the_set(images: bitmixer.ImageSet) -> None:
    digits = load_image_set("digits")
    np.testing.assert_array_equal(images.train_inputs, digits.train_inputs)
    np.testing.assert_array_equal(images.test_labels, digits.test_labels[:150])


def test_a_saved_network_computes_the_same_and_knows_its_accuracies(
    images: bitmixer.ImageSet, saved: Checkpoint, tmp_path: Path
) -> None:
    network, again = calibrated(images), load_network(tmp_path / "mine")
    network.load_state_dict(again.state_dict())
    network.quantize()
    x = torch.from_numpy(images.test_inputs)
    for bits in (8, 4, 2):
        network.assign(network.uniform(bits))
        again.assign(again.uniform(bits))
        assert torch.equal(again(x), network(x))
    data = str(tmp_path / "mine.npz")
    measured = evaluate(again, saved.graph, data).uniform
    assert saved.accuracies == measured
    assert saved.graph.network == saved.name == "mine"
    assert set(measured) == {2, 4, 8}


def test_saving_leaves_the_widths_as_they_were(images: bitmixer.ImageSet, tmp_path: Path) -> None:
    network = calibrated(images)
    network.assign({**network.uniform(8), "body": 2})
    before = network.assignment
    bitmixer.save_network(network, tmp_path / "mine", example=torch.from_numpy(images.test_inputs[:2]))
    assert network.assignment == before
    assert find_checkpoint(tmp_path / "mine").metrics is None


def test_files_are_data_like_any_other(saved: Checkpoint, tmp_path: Path) -> None:
    file = str(tmp_path / "mine.npz")
    clean, labels = bitmixer.load_data(file)
    noisy, _ = bitmixer.load_data(f"{file}+noise0.4@7")
    assert clean.shape == noisy.shape == (150, 1, 8, 8)
    assert len(labels) == 150
    assert not torch.equal(clean, noisy)
    require_shape(file, (1, 8, 8), "mine")
    with pytest.raises(DataError, match=r"has inputs of shape \(1, 8, 8\); other takes \(3, 32, 32\)"):
        require_shape(file, (3, 32, 32), "other")


def test_a_file_is_what_it_holds(images: bitmixer.ImageSet, tmp_path: Path) -> None:
    for folder in ("here", "there"):
        images.save(tmp_path / folder / "mine.npz")
    names = [f"{tmp_path / folder / 'mine.npz'}+noise0.4@7" for folder in ("here", "there")]
    assert data_identity(names[0]) == data_identity(names[1])
    assert data_identity(names[0]) != data_identity(names[0].partition("+")[0])
    assert data_identity("digits+noise0.4@7") == "digits+noise0.4@7"


def test_files_that_are_none_are_refused(images: bitmixer.ImageSet, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        bitmixer.load_data(str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("no archive", encoding="utf-8")
    with pytest.raises(DataError, match="not a file of images"):
        bitmixer.load_data(str(tmp_path / "text.npz"))
    np.savez(tmp_path / "half.npz", train_inputs=images.train_inputs)
    with pytest.raises(DataError, match="has no train_labels, test_inputs, test_labels"):
        bitmixer.load_data(str(tmp_path / "half.npz"))
    pickled = np.array([print], dtype=object)
    np.savez(
        tmp_path / "code.npz", train_inputs=pickled, train_labels=pickled, test_inputs=pickled, test_labels=pickled
    )
    with pytest.raises(DataError, match="not a file of images"):
        bitmixer.load_data(str(tmp_path / "code.npz"))
    with pytest.raises(DataError, match=r"ends in \.npz"):
        images.save(tmp_path / "mine.bin")
    with pytest.raises(DataError, match="inputs of several shapes"):
        bitmixer.ImageSet.from_batches([(np.zeros((2, 3)), [0, 1]), (np.zeros((2, 4)), [0, 1])], [])


def test_a_network_that_was_never_fitted_is_refused(images: bitmixer.ImageSet, tmp_path: Path) -> None:
    network = bitmixer.convert(Mine(), (2, 8))
    with pytest.raises(QuantizerError, match="calibrate_weights"):
        bitmixer.save_network(network, tmp_path / "mine", example=torch.from_numpy(images.test_inputs[:2]))
    assert not (tmp_path / "mine").exists()


class Doubled(nn.ReLU):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def test_a_layer_that_no_file_can_tell_is_refused_by_name(images: bitmixer.ImageSet, tmp_path: Path) -> None:
    class Odd(Mine):
        def __init__(self) -> None:
            super().__init__()
            self.doubled = Doubled()

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.doubled(x))

    example = torch.from_numpy(images.test_inputs[:2])
    with pytest.raises(CheckpointError, match="layer 'doubled' is a Doubled, which cannot be built again"):
        bitmixer.save_network(calibrated(images, Odd()), tmp_path / "odd", example=example)
    Doubled.__name__ = "ReLU"  # as a class of one's own may be called
    with pytest.raises(CheckpointError, match="computes otherwise"):
        bitmixer.save_network(calibrated(images, Odd()), tmp_path / "odd", example=example)


def test_a_package_can_register_a_network(saved: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    (site / "their_package-1.0.dist-info").mkdir(parents=True)
    (site / "their_package.py").write_text(f"CHECKPOINT = {str(saved.path)!r}\nNOTHING = 3\n", encoding="utf-8")
    entries = "[bitmixer.networks]\ntheirs = their_package:CHECKPOINT\nbroken = their_package:NOTHING\n"
    (site / "their_package-1.0.dist-info" / "entry_points.txt").write_text(entries, encoding="utf-8")
    (site / "their_package-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(site))
    assert find_checkpoint("theirs").sha256 == saved.sha256
    with pytest.raises(CheckpointError, match="did you mean 'theirs'"):
        find_checkpoint("their")
    with pytest.raises(CheckpointError, match="is no path of a checkpoint"):
        find_checkpoint("broken")


def test_a_checkpoint_is_plain_data(saved: Checkpoint) -> None:
    content = json.loads((saved.path / "checkpoint.json").read_text(encoding="utf-8"))
    assert {layer["kind"] for layer in content["form"]["module"]["layers"].values()} == {
        "Conv2d",
        "BatchNorm2d",
        "Linear",
    }
    assert sorted(path.name for path in saved.path.iterdir()) == [
        "checkpoint.json",
        "graph.json",
        "weights.safetensors",
    ]
