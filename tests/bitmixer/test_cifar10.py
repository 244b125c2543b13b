"""CIFAR-10 is read from where the user has it, in two forms; the real set only where it is at hand."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitmixer.data import cifar10, load_data, load_labels, require_shape
from bitmixer.errors import DataError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BITMIXER_DATA", str(tmp_path))
    return tmp_path


def write_batches(root: Path, pixels: np.ndarray, labels: np.ndarray) -> None:  # type: ignore[type-arg]
    """Write one official record per image into the test batch."""
    folder = root / "cifar-10-batches-bin"
    folder.mkdir()
    records = np.concatenate([labels[:, None], pixels.reshape(len(labels), -1)], axis=1).astype(np.uint8)
    (folder / "test_batch.bin").write_bytes(records.tobytes())


def write_pack(root: Path, greys: list[int]) -> None:
    """Pack flat grey images as JPEG streams with a shared header, as the packed form does."""
    streams = []
    for grey in greys:
        stream = io.BytesIO()
        Image.fromarray(np.full((32, 32, 3), grey, np.uint8)).save(stream, "JPEG", quality=95)
        streams.append(stream.getvalue())
    alike = np.cumprod([len(set(column)) == 1 for column in zip(*streams, strict=False)])
    shared = int(alike.sum())
    bodies = [stream[shared:] for stream in streams]
    folder = root / "cifar10"
    folder.mkdir()
    np.savez(
        folder / "test-10000.npz",
        prefix=np.frombuffer(streams[0][:shared], np.uint8),
        blob=np.frombuffer(b"".join(bodies), np.uint8),
        off=np.cumsum([0, *map(len, bodies)]).astype(np.uint32),
        y=np.arange(len(greys), dtype=np.uint8),
    )


def test_the_official_records_are_read_plane_by_plane(root: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32))
    write_batches(root, pixels, np.array([4, 0, 9]))
    inputs, labels = load_data("cifar10")
    assert np.array_equal(np.rint(inputs.numpy() * 255), pixels)
    assert labels.tolist() == load_labels("cifar10").tolist() == [4, 0, 9]


def test_packed_streams_are_decoded(root: Path) -> None:
    write_pack(root, [0, 128, 255])
    inputs, labels = load_data("cifar10")
    assert inputs.shape == (3, 3, 32, 32)
    assert np.rint(inputs.mean(dim=(1, 2, 3)).numpy() * 255).tolist() == [0, 128, 255]
    assert labels.tolist() == [0, 1, 2]


def test_what_is_missing_or_damaged_is_explained(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"neither .*test-10000\.npz nor .*test_batch\.bin is there: python -m bitm"):
        load_data("cifar10")
    write_batches(root, np.zeros((1, 3, 32, 32)), np.zeros(1))
    batch = root / "cifar-10-batches-bin" / "test_batch.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(DataError, match="3072 bytes, not a multiple of 3073"):
        load_data("cifar10")
    (root / "cifar10").mkdir()
    (root / "cifar10" / "test-10000.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"test-10000\.npz: damaged"):
        load_data("cifar10")
    monkeypatch.delenv("BITMIXER_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "cache"))
    with pytest.raises(DataError, match=r"does not ship with .*cache/bitmixer/.* BITMIXER_DATA"):
        load_data("cifar10")


def test_its_shape_is_known_without_the_files() -> None:
    require_shape("cifar10+fog0.5@1", (3, 32, 32), "a network")
    with pytest.raises(DataError, match=r"takes \(3, 64, 64\): choose other data"):
        require_shape("cifar10", (3, 64, 64), "a network")


@pytest.mark.skipif("BITMIXER_DATA" not in os.environ, reason="BITMIXER_DATA names no folder with CIFAR-10")
def test_the_real_test_split() -> None:
    inputs, labels = cifar10.load_split("test")
    assert inputs.shape == (10000, 3, 32, 32)
    assert np.bincount(labels).tolist() == [1000] * 10
    assert inputs.mean(axis=(0, 2, 3)) == pytest.approx([0.494, 0.485, 0.450], abs=0.001)
