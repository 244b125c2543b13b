"""Replay recomputes predictions from the records alone, and notices when either was changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hwsim import pipeline
from hwsim.errors import RecordsError
from hwsim.replay import replay

FREE_SITE = "stages.0.0.conv1"


@pytest.fixture(scope="module")
def original(bursty: str, one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with frames whose bits changed in mid-frame, and with dropped frames."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    sets = ["outputs=lazy", "streams.0.data=digits+noise0.5@1", "queue.capacity=2"]
    pipeline.run(pipeline.plan(bursty, sets=sets), folder, figures=False)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy that may be tampered with."""
    return Path(shutil.copytree(original, tmp_path / "run"))


def tamper(folder: Path, table: str, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Change or, where ``change`` returns nothing, drop rows of a table."""
    path = folder / f"{table}.parquet"
    content = pq.read_table(path)
    rows = [changed for row in content.to_pylist() if (changed := change(row)) is not None]
    assert rows != content.to_pylist()
    pq.write_table(pa.Table.from_pylist(rows, schema=content.schema), path)


def some_frame(folder: Path, status: str) -> int:
    frames = pq.read_table(folder / "frames.parquet")
    return int(frames.filter(pc.equal(frames["status"], status))["frame"][0].as_py())


def test_predictions_hold_on_every_frame_mixed_bits_included(original: Path) -> None:
    summary = json.loads((original / "summary.json").read_text(encoding="utf-8"))
    result = replay(original)
    assert result.differing == ()
    assert (result.frames, result.inputs) == (summary["frames_completed"], summary["inputs_completed"])
    assert result.mixed_frames == summary["mixed_frames"] > 0
    assert result.assignments > 2
    assert summary["frames_dropped"] > 0


def test_nothing_is_taken_from_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "unused"))
    replay(folder)
    assert not (tmp_path / "unused").exists()


def test_one_frame(original: Path) -> None:
    result = replay(original, frame=3)
    assert (result.frames, result.inputs, result.assignments, result.differing) == (1, 100, 1, ())


def test_a_changed_prediction_is_found(folder: Path) -> None:
    frame = some_frame(folder, "on_time")

    def change(row: dict[str, Any]) -> dict[str, Any]:
        if row["frame"] == frame:
            row["predictions"] = [*row["predictions"][:-1], (row["predictions"][-1] + 1) % 10]
        return row

    tamper(folder, "frames", change)
    assert replay(folder).differing == (frame,)
    assert replay(folder, frame=frame).differing == (frame,)
    assert replay(folder, frame=frame + 1).differing == ()


def test_changed_bits_of_one_site_are_found(folder: Path) -> None:
    tamper(
        folder,
        "layers",
        lambda row: row | {"weight_bits": 2, "activation_bits": 2} if row["layer"] == FREE_SITE else row,
    )
    assert replay(folder).differing


def test_changed_inputs_are_found(folder: Path) -> None:
    tamper(folder, "frames", lambda row: row | {"input_indices": row["input_indices"][::-1]})
    assert replay(folder).differing


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda row: None if (row["frame"], row["layer"]) == (3, FREE_SITE) else row, "lost"),
        (lambda row: row | {"layer": "classifier"} if (row["frame"], row["layer"]) == (3, FREE_SITE) else row, "twice"),
    ],
)
def test_a_frame_that_lacks_a_layer_row_is_refused(folder: Path, change: Any, what: str) -> None:
    tamper(folder, "layers", change)
    with pytest.raises(RecordsError, match="frame 3 has predictions but not one row for every layer"):
        replay(folder)


def test_a_layer_of_another_network_is_refused(folder: Path) -> None:
    tamper(folder, "layers", lambda row: row | {"layer": "stages.9"} if row["frame"] == 3 else row)
    with pytest.raises(RecordsError, match=r"layer 'stages\.9' is not in graph\.json"):
        replay(folder)


def test_an_unknown_frame_is_refused(original: Path) -> None:
    with pytest.raises(RecordsError, match="no frame 4321; frames are numbered from 0"):
        replay(original, frame=4321)


def test_a_dropped_frame_has_nothing_to_replay(original: Path) -> None:
    frame = some_frame(original, "dropped_queue")
    with pytest.raises(RecordsError, match=f"frame {frame} was dropped"):
        replay(original, frame=frame)


@pytest.mark.parametrize("data", ["digits", "null"])
def test_a_run_without_outputs_has_nothing_to_replay(bursty: str, tmp_path: Path, data: str) -> None:
    planned = pipeline.plan(bursty, sets=["outputs=none", f"streams.0.data={data}"])
    pipeline.run(planned, tmp_path / "run", figures=False)
    with pytest.raises(RecordsError, match=r"no outputs|no predictions"):
        replay(tmp_path / "run")


def test_another_network_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps(manifest | {"network_sha256": "0" * 64}), encoding="utf-8")
    with pytest.raises(RecordsError, match="network resnet8_digits is not the one that ran"):
        replay(folder)
