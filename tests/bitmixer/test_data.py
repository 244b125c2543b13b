"""Data: names, splits, and corruptions that are a function of the name alone."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitmixer import load_data
from bitmixer.data import DataName, ImageSet, corruption, load_image_set, mnist5k
from bitmixer.data.images import split_by_class
from bitmixer.errors import DataError

SHIPPED = ("digits", "mnist5k")


@pytest.fixture(scope="module")
def sets() -> dict[str, ImageSet]:
    return {name: load_image_set(name) for name in SHIPPED}


@given(st.sampled_from(corruption.KINDS), st.integers(0, 99), st.integers(0, 10**6))
def test_a_name_carries_its_corruption(kind: str, tenths: int, seed: int) -> None:
    severity = f"{tenths // 10}.{tenths % 10}"
    assert DataName.parse(f"mnist5k+{kind}{severity}@{seed}") == DataName("mnist5k", kind, float(severity), seed)
    assert DataName.parse(f"digits+{kind}{severity}") == DataName("digits", kind, float(severity), 0)


def test_a_plain_name_is_clean() -> None:
    assert DataName.parse("digits") == DataName("digits")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist", "unknown set 'mnist': did you mean 'mnist5k'"),
        ("", "unknown set ''"),
        ("digits+", "expected kindSEVERITY@SEED"),
        ("digits+noise", "expected kindSEVERITY@SEED"),
        ("digits+noise-1", "expected kindSEVERITY@SEED"),
        ("digits+noise0.4@x", "expected kindSEVERITY@SEED"),
        ("digits+noise0.4@-1", "expected kindSEVERITY@SEED"),
        ("digits+nose0.4", "unknown corruption 'nose': did you mean 'noise'"),
    ],
)
def test_a_wrong_name_is_explained(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(name)


def test_an_unknown_set_is_explained() -> None:
    with pytest.raises(DataError, match="did you mean 'digits'"):
        load_image_set("digit")


def test_the_same_name_gives_the_same_pixels_and_another_seed_others() -> None:
    first, labels = load_data("digits+noise0.4@7")
    assert torch.equal(first, load_data("digits+noise0.4@7")[0])
    assert not torch.equal(first, load_data("digits+noise0.4@8")[0])
    clean, clean_labels = load_data("digits")
    assert torch.equal(labels, clean_labels)
    assert not torch.equal(first, clean)


@pytest.mark.parametrize("kind", corruption.KINDS)
def test_corruption_grows_with_severity_and_stays_in_range(kind: str, sets: dict[str, ImageSet]) -> None:
    clean = sets["digits"].test_inputs
    distances = []
    for severity in (0.0, 0.2, 0.6):
        corrupted = corruption.apply(clean, kind, severity, 3)
        assert corrupted.dtype == np.float32
        assert corrupted.min() >= 0.0
        assert corrupted.max() <= 1.0
        distances.append(float(np.abs(corrupted - clean).mean()))
    assert distances[0] == pytest.approx(0.0, abs=1e-7)
    assert distances[0] < distances[1] < distances[2]


def test_noise_has_the_deviation_it_names() -> None:
    grey = np.full((50, 1, 28, 28), 0.5, np.float32)
    assert corruption.apply(grey, "noise", 0.1, 0).std() == pytest.approx(0.1, rel=0.02)


def test_blur_keeps_images_apart() -> None:
    inputs = np.zeros((3, 1, 8, 8), np.float32)
    inputs[1] = 1.0
    blurred = corruption.apply(inputs, "blur", 2.0, 0)
    assert blurred[0].max() == blurred[2].max() == 0.0
    assert blurred[1].min() == pytest.approx(1.0)


def test_loaded_tensors_are_as_the_network_takes_them() -> None:
    inputs, labels = load_data("digits+blur0.5")
    assert inputs.shape == (359, 1, 8, 8)
    assert (inputs.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert inputs.is_contiguous()


@pytest.mark.parametrize(
    ("name", "train", "test", "shape"),
    [("digits", 1438, 359, (1, 8, 8)), ("mnist5k", 3500, 1500, (1, 28, 28))],
)
def test_sizes_and_ranges(sets: dict[str, ImageSet], name: str, train: int, test: int, shape: tuple[int, ...]) -> None:
    images = sets[name]
    assert images.train_inputs.shape == (train, *shape)
    assert images.test_inputs.shape == (test, *shape)
    assert len(images.train_labels) == train
    assert (images.train_inputs.min(), images.train_inputs.max()) == (0.0, 1.0)
    assert sorted(set(images.test_labels)) == list(range(10))


@pytest.mark.parametrize("name", SHIPPED)
def test_splits_are_balanced_and_share_no_image(sets: dict[str, ImageSet], name: str) -> None:
    images = sets[name]
    shares = np.bincount(images.test_labels) / np.bincount(np.concatenate([images.train_labels, images.test_labels]))
    assert shares.max() - shares.min() < 0.006  # every class gives the same share, to an image
    train = {image.tobytes() for image in images.train_inputs}
    assert not any(image.tobytes() in train for image in images.test_inputs)


@given(st.integers(10, 60), st.integers(0, 1000))
def test_a_split_keeps_every_image_with_its_label_once(count: int, seed: int) -> None:
    inputs = np.arange(count, dtype=np.float32)
    labels = np.arange(count) % 3
    images = split_by_class(inputs, labels, test_share=0.3, seed=seed)
    together = np.concatenate([images.train_inputs, images.test_inputs])
    assert sorted(together) == list(range(count))
    assert np.array_equal(np.concatenate([images.train_labels, images.test_labels]), together.astype(int) % 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no gzip", "cannot be read"),
        (gzip.compress(b"1,2,3\n4,5,6\n", mtime=0), "6 numbers, expected 5000 rows of 785"),
        (gzip.compress(b"\xff", mtime=0), "cannot be read"),
        (gzip.compress(b"1,2,3\n", mtime=0)[:-6], "cannot be read"),
        (gzip.compress(b"1,two,3\n", mtime=0), "cannot be read"),
        (gzip.compress(bytes(range(99)) * 9, mtime=0)[:12] + b"\xff" * 40, "cannot be read"),
    ],
)
def test_a_damaged_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    file = tmp_path / "mnist_5k.csv.gz"
    file.write_bytes(content)
    monkeypatch.setattr(mnist5k, "_path", lambda: file)
    with pytest.raises(DataError, match=message):
        mnist5k.load()
