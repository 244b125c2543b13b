"""Downloads, from a server of the test's own: what comes is checked, and what is whole is not fetched again."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bitmixer.data import cifar10, download, load_labels
from bitmixer.errors import DataError

LABELS = [3, 1, 4, 1, 5]


def archive() -> bytes:
    """Return an archive of the official form with five black images."""
    records = np.zeros((len(LABELS), cifar10.RECORD_BYTES), np.uint8)
    records[:, 0] = LABELS
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        entry = tarfile.TarInfo(cifar10.BATCHES["test"][0])
        entry.size = records.nbytes
        tar.addfile(entry, io.BytesIO(records.tobytes()))
    return content.getvalue()


class _Handler(http.server.SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 (the server makes a handler per request)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("pooch", reason="the extra 'download' is not installed")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "archive.tar.gz").write_bytes(archive())
    _Handler.asked.clear()
    handler = functools.partial(_Handler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/archive.tar.gz"
        server.shutdown()


def test_what_was_downloaded_is_read(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITMIXER_DATA", str(tmp_path / "data"))
    monkeypatch.setitem(download.SOURCES, "cifar10", (address, hashlib.md5(archive_of(tmp_path)).hexdigest()))
    for _ in range(2):
        assert download.download("cifar10", tmp_path / "data") == tmp_path / "data"
    assert load_labels("cifar10").tolist() == LABELS
    assert _Handler.asked == ["/archive.tar.gz"]


def archive_of(tmp_path: Path) -> bytes:
    return (tmp_path / "served" / "archive.tar.gz").read_bytes()


def test_another_content_is_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(download.SOURCES, "cifar10", (address, "0" * 32))
    with pytest.raises(DataError, match=r"archive\.tar\.gz: cannot be downloaded: .*hash"):
        download.download("cifar10", tmp_path / "data")
    assert not list((tmp_path / "data").glob("*batches*"))


def test_no_network_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pooch", reason="the extra 'download' is not installed")
    monkeypatch.setitem(download.SOURCES, "cifar10", ("http://127.0.0.1:9/archive.tar.gz", "0" * 32))
    with pytest.raises(DataError, match="cannot be downloaded: "):
        download.download("cifar10", tmp_path)


def test_an_unknown_set_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data 'cifar' cannot be downloaded: did you mean 'cifar10'"):
        download.download("cifar", tmp_path)
