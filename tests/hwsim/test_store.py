"""Run folders: what they hold, what is said of broken ones, and the digest."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bitmixer.graph import LayerGraph
from hwsim.errors import RecordsError
from hwsim.records.schema import DECISIONS, FRAMES, LAYERS, telemetry_schema
from hwsim.records.store import RunFolder, digest, numbers

MANIFEST = {
    "run_id": "r1",
    "controller": "static",
    "seed": 0,
    "network": "tiny",
    "data": "digits",
    "inputs_per_frame": 1,
    "limits": {},
}
SCHEMAS = {
    "frames": FRAMES,
    "layers": LAYERS,
    "telemetry": telemetry_schema(("die",)),
    "decisions": DECISIONS,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, schema in SCHEMAS.items():
        pq.write_table(schema.empty_table(), tmp_path / f"{name}.parquet")
    write_telemetry(tmp_path, [41.5, 42.0])
    write_streams(tmp_path, ["left", "right"])
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "summary.json").write_text('{"accuracy": 0.5}')
    graph = LayerGraph(network="tiny", input_shape=(1,), classes=2, residual_bits=8, layers=(), joins=())
    (tmp_path / "graph.json").write_text(graph.to_json())
    return tmp_path


def write_telemetry(folder: Path, celsius: list[float], *, column: str = "die_celsius") -> None:
    pq.write_table(pa.table({column: pa.array(celsius, pa.float64())}), folder / "telemetry.parquet")


def write_streams(folder: Path, streams: list[str], **how: object) -> None:
    indices = pa.array([list(range(place + 1)) for place in range(len(streams))], pa.list_(pa.int32()))
    table = pa.table({"stream": streams, "input_indices": indices})
    pq.write_table(table, folder / "frames.parquet", **how)


def test_everything_can_be_read(folder: Path) -> None:
    run = RunFolder(folder)
    assert run.manifest == MANIFEST
    assert run.summary == {"accuracy": 0.5}
    assert run.graph.network == "tiny"
    assert numbers(run.table("telemetry", ["die_celsius"]).column("die_celsius")).tolist() == [41.5, 42.0]
    assert run.table("layers").schema.names == LAYERS.names == list(run.columns("layers"))


def test_a_folder_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match=r"no such run folder: run it again with 'python -m hwsim run"):
        RunFolder(tmp_path / "nowhere")


def test_an_interrupted_run_says_all_that_is_missing(folder: Path) -> None:
    for name in ("summary.json", "layers.parquet", "decisions.parquet"):
        (folder / name).unlink()
    with pytest.raises(RecordsError, match=r"missing: layers\.parquet, decisions\.parquet, summary\.json"):
        _ = RunFolder(folder).summary


@pytest.mark.parametrize("name", ["manifest.json", "summary.json", "graph.json", "telemetry.parquet"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe"])
def test_damage_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    run = RunFolder(folder)
    read = {
        "manifest.json": lambda: run.manifest,
        "summary.json": lambda: run.summary,
        "graph.json": lambda: run.graph,
        "telemetry.parquet": lambda: run.table("telemetry"),
    }[name]
    with pytest.raises(RecordsError, match=rf"{name}.*run it again"):
        read()


def test_records_of_another_version_are_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"run_id": "r1"}')
    with pytest.raises(RecordsError, match=r"manifest\.json: lacks controller, seed.*another version"):
        _ = RunFolder(folder).manifest
    with pytest.raises(RecordsError, match=r"telemetry\.parquet: lacks the column fan_speed.*another version"):
        RunFolder(folder).table("telemetry", ["fan_speed"])


def test_a_mistyped_column_is_answered_with_the_nearest_one(folder: Path) -> None:
    name = RunFolder(folder).table("telemetry").column_names[0]
    with pytest.raises(RecordsError, match=f"lacks the column {name}s: did you mean '{name}'"):
        RunFolder(folder).table("telemetry", [f"{name}s"])


def test_the_digest_sees_neither_the_13th_digit_nor_how_files_are_packed(folder: Path) -> None:
    before = digest(folder)
    write_telemetry(folder, [41.5 * (1 + 1e-14), 42.0])
    write_streams(folder, ["left", "right"], compression="none", row_group_size=1, use_dictionary=False)
    (folder / "summary.json").unlink()
    assert digest(folder) == before


def test_zero_has_no_sign_in_the_digest(folder: Path) -> None:
    write_telemetry(folder, [0.0, 1.0])
    before = digest(folder)
    write_telemetry(folder, [-0.0, 1.0])
    assert digest(folder) == before


def test_the_digest_sees_values_order_and_names(folder: Path) -> None:
    digests = [digest(folder)]
    write_telemetry(folder, [41.5 * (1 + 1e-10), 42.0])
    digests.append(digest(folder))
    write_telemetry(folder, [42.0, 41.5])
    digests.append(digest(folder))
    write_telemetry(folder, [41.5, 42.0], column="board_celsius")
    digests.append(digest(folder))
    write_telemetry(folder, [41.5, 42.0])
    write_streams(folder, ["right", "left"])
    digests.append(digest(folder))
    write_streams(folder, ["left", "rights"])
    digests.append(digest(folder))
    assert len(set(digests)) == len(digests)
