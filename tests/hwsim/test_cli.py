"""What a user types and sees: exit codes, one-line errors with their place, data on stdout."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bitmixer.networks.checkpoint import SHIPPED
from hwsim import cli

SHORT = ("--set", "duration=20 ms")
WriteScenario = Callable[..., str]


class Console:
    """Runs the command line in this process, as ``main`` does."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["hwsim", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = self._capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err


@pytest.fixture
def hwsim(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Console:
    return Console(capsys, monkeypatch)


def test_run_then_replay(hwsim: Console, bursty: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    code, printed, _ = hwsim("run", bursty, "--set", "outputs=lazy", "--out", out)
    assert code == 0
    assert f"Results in {out}" in printed.replace("\n", " ")
    code, printed, _ = hwsim("replay", out)
    assert code == 0
    assert printed.startswith("Predictions hold: ")
    code, printed, _ = hwsim("replay", out, "--json")
    assert json.loads(printed)["differing"] == []
    assert json.loads(printed)["mixed_frames"] > 0


def test_run_prints_json_and_nothing_else_when_asked(hwsim: Console, bursty: str, tmp_path: Path) -> None:
    code, printed, error = hwsim("run", bursty, *SHORT, "--json", "--out", str(tmp_path / "out"))
    assert (code, error) == (0, "")
    summary = json.loads(printed)
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert hwsim("run", bursty, *SHORT, "--quiet", "--out", str(tmp_path / "out"))[1:] == ("", "")


def test_compare_writes_the_promised_form(hwsim: Console, bursty: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--controllers", "static,static:bits=2", "--replications", "2", "--out", str(out))
    code, printed, _ = hwsim("compare", bursty, *arguments, *SHORT, "--json")
    assert code == 0
    comparison = json.loads(printed)
    assert comparison["scenario"] == "bursty"
    assert comparison["replications"] == 2
    assert set(comparison["controllers"]) == {"static", "static:bits=2"}
    energy = comparison["controllers"]["static"]["energy_joules"]
    assert energy["low"] <= energy["mean"] <= energy["high"]
    assert (out / "figures" / "tradeoff.svg").is_file()
    assert (out / "figures" / "timeseries.svg").is_file()
    assert len(list(out.glob("*/manifest.json"))) == 4
    assert (out / "comparison.csv").read_text(encoding="utf-8").startswith("controller,")


def test_validate_says_what_a_document_is(hwsim: Console, bursty: str) -> None:
    code, printed, _ = hwsim("validate", bursty, "bismo_pynq_z1")
    assert code == 0
    scenario, profile = printed.splitlines()
    assert "valid scenario bursty" in scenario
    assert "valid profile bismo_pynq_z1" in profile
    assert "assumed" in profile


def test_validate_reports_every_bad_document(hwsim: Console, write_scenario: WriteScenario) -> None:
    bad = write_scenario(("seed: 3", "sead: 3"))
    code, printed, error = hwsim("validate", bad, "bismo_pynq_z1", "bismo_pink")
    assert code == 2
    assert "valid profile" in printed
    assert f"{bad}:5:1: sead" in error
    assert "did you mean 'bismo_pynq_z1'" in error


def test_profiles_are_listed_and_shown_with_their_sources(hwsim: Console) -> None:
    assert hwsim("profiles")[1].startswith("bismo_pynq_z1: ")
    code, printed, _ = hwsim("profiles", "show", "bismo_pynq_z1")
    assert code == 0
    words = " ".join(printed.split())
    assert "port_width" in words
    assert "EECS-NTNU/bismo@b388d78" in words


def test_controllers_are_listed_with_their_options(hwsim: Console) -> None:
    printed = hwsim("controllers")[1]
    assert "static" in printed
    assert "queue_high [2]" in printed


def test_cost_of_a_network_and_of_a_table_agree_on_compute_cycles(hwsim: Console, tmp_path: Path) -> None:
    code, printed, _ = hwsim("cost", "--network", "resnet18", "--bits", "4")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert len(rows) == 21
    table = tmp_path / "layers.csv"
    table.write_text(
        "layer,input_channels,output_channels,kernel_height,kernel_width,stride,padding,input_height,input_width,"
        "output_height,output_width,macs,activation_bits,weight_bits\n"
        "same,64,64,3,3,1,1,56,56,56,56,115605504,4,4\n",
        encoding="utf-8",
    )
    code, printed, _ = hwsim("cost", "--layers", str(table))
    assert code == 0
    (same,) = csv.DictReader(io.StringIO(printed))
    assert same["compute_cycles"] == rows[1]["compute_cycles"] == str(16 * 8 * 3 * 392)
    printed = hwsim("cost", "--layers", str(table), "--set", "rows=16")[1]
    assert next(csv.DictReader(io.StringIO(printed)))["compute_cycles"] == str(16 * 4 * 3 * 392)


def test_schema_is_json(hwsim: Console) -> None:
    for kind in ("scenario", "profile"):
        assert json.loads(hwsim("schema", kind)[1])["type"] == "object"


def test_digest_is_the_same_for_the_same_run(hwsim: Console, bursty: str, tmp_path: Path) -> None:
    folders = [str(tmp_path / name) for name in ("one", "two", "three")]
    for folder, seed in zip(folders, ("3", "3", "4"), strict=True):
        hwsim("run", bursty, *SHORT, "--quiet", "--seed", seed, "--out", folder)
    one, two, three = (hwsim("digest", folder)[1] for folder in folders)
    assert one == two != three


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(("deadline:", "dedline:"), ":14:5: streams.0.dedline: unknown key", id="unknown key"),
        pytest.param(("duration: 60 ms", "duration: soon"), ":4:11: duration", id="wrong type"),
        pytest.param(("duration: 60 ms", "duration: .nan"), ":4:11: duration: nan is not a finite", id="NaN"),
        pytest.param(("deadline: 4 ms", "deadline: 4 V"), ":14:15: streams.0.deadline", id="wrong unit"),
        pytest.param(
            ("network: resnet8_digits", "network: resnet8_digit"), "did you mean 'resnet8_digits'", id="network"
        ),
        pytest.param(("noise0.3@1", "nose0.3@1"), "did you mean 'noise'", id="corruption"),
        pytest.param(("name: hysteresis", "name: histeresis"), "did you mean 'hysteresis'", id="controller"),
        pytest.param(("period_milliseconds", "period_ms"), "unknown option 'period_ms'", id="controller option"),
        pytest.param(("profile: bismo_pynq_z1", "profile: bismo_pynq"), "did you mean 'bismo_pynq_z1'", id="profile"),
        pytest.param(("capacity: 3", "capacity: 0"), ":8:19: queue.capacity", id="out of bounds"),
    ],
)
def test_a_bad_scenario_is_one_line_with_its_place(
    hwsim: Console, write_scenario: WriteScenario, tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    path = write_scenario(change)
    assert_refused(hwsim("run", path, "--out", str(tmp_path / "out")), path, expected)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(("--controller", "static:bits=5"), "cannot run at 5 bits", id="bits the network cannot do"),
        pytest.param(("--controller", "oracles"), "unknown controller 'oracles'", id="controller"),
        pytest.param(("--set", "duration"), "expected PATH=VALUE", id="set without a value"),
        pytest.param(("--set", "durations=1 s"), "--set durations", id="set of an unknown key"),
        pytest.param(
            ("--set", "profile.memory.dram_peak_bandwidth.value=0 GB/s"),
            "memory.dram_peak_bandwidth.value: 0 GB/s is out of bounds",
            id="zero bandwidth",
        ),
        pytest.param(
            ("--set", "profile.limits.maximum_junction_temperature=85 degC"), "a number without a source", id="source"
        ),
        pytest.param(
            ("--set", "profile.thermal.links.1.resistance.value=99 K/W"),
            "99 K/W lies outside of [6.25 K/W, 12.95 K/W]",
            id="range",
        ),
    ],
)
def test_a_bad_option_is_one_line(
    hwsim: Console, bursty: str, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    assert_refused(hwsim("run", bursty, "--out", str(tmp_path / "out"), *arguments), "", expected)


def test_a_profile_with_a_number_without_a_source_is_refused_at_its_line(hwsim: Console, tmp_path: Path) -> None:
    text = (Path(cli.__file__).parent.parent / "profiles" / "bismo_pynq_z1.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    line = next(number for number, content in enumerate(lines) if content.startswith("  rows:"))
    lines[line] = "  rows: 8"
    profile = tmp_path / "mine.yaml"
    text = "\n".join(lines).replace("*largest_build", '"a source"')
    profile.write_text(text, encoding="utf-8")
    assert_refused(hwsim("validate", str(profile)), f"{profile}:{line + 1}:9", "a number without a source")


def test_a_damaged_checkpoint_is_refused_by_name(hwsim: Console, write_scenario: WriteScenario, tmp_path: Path) -> None:
    network = tmp_path / "damaged"
    shutil.copytree(SHIPPED / "resnet8_digits", network)
    scenario = write_scenario(("network: resnet8_digits", f"network: {network}"), ("outputs: none", "outputs: lazy"))
    weights = network / "weights.safetensors"

    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    assert_refused(hwsim("run", scenario, "--out", str(tmp_path / "out")), str(weights), "truncated or changed")

    tensors = {name: tensor.copy() for name, tensor in load_file(weights_restored(weights, whole)).items()}
    name = next(name for name, tensor in tensors.items() if tensor.dtype == np.float32 and tensor.ndim == 4)
    tensors[name].flat[0] = np.nan
    save_file(tensors, weights)
    description = json.loads((network / "checkpoint.json").read_text(encoding="utf-8"))
    description["weights_sha256"] = sha256(weights)
    (network / "checkpoint.json").write_text(json.dumps(description), encoding="utf-8")
    assert_refused(hwsim("run", scenario, "--out", str(tmp_path / "out")), name, "NaN")

    weights.unlink()
    assert_refused(hwsim("run", scenario, "--out", str(tmp_path / "out")), str(weights), "missing")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "nowhere.yaml"), "nowhere.yaml: no such file"),
        (("run", "thermal_trottle"), "did you mean 'thermal_throttle'"),
        (("replay", "nowhere"), "nowhere: no such run folder"),
        (("digest", "nowhere"), "nowhere: no such run folder"),
        (("profiles", "show", "bismo"), "no packaged profile 'bismo'"),
        (("schema", "scenarios"), "did you mean 'scenario'"),
        (("cost", "--array", "bismoo", "--network", "resnet18"), "did you mean 'bismo'"),
        (("cost",), "give either --layers FILE.csv or --network NAME"),
        (("cost", "--network", "resnet19"), "did you mean 'resnet18'"),
        (("cost", "--network", "resnet18", "--set", "rows=many"), "expected PARAMETER=WHOLE NUMBER"),
    ],
)
def test_what_is_not_there_is_named(hwsim: Console, arguments: tuple[str, ...], expected: str) -> None:
    assert_refused(hwsim(*arguments), "", expected)


def test_an_unknown_command_or_option_is_a_usage_error(hwsim: Console) -> None:
    assert hwsim("runn")[0] == 2
    assert hwsim("run", "thermal_throttle", "--sead", "1")[0] == 2


def test_predictions_that_do_not_hold_are_exit_code_3(hwsim: Console, bursty: str, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    out = tmp_path / "out"
    hwsim("run", bursty, *SHORT, "--set", "outputs=lazy", "--quiet", "--out", str(out))
    frames = pq.read_table(out / "frames.parquet")
    rows = frames.to_pylist()
    done = next(row for row in rows if row["predictions"])
    done["predictions"][0] = (done["predictions"][0] + 1) % 10
    pq.write_table(type(frames).from_pylist(rows, schema=frames.schema), out / "frames.parquet")
    code, _, error = hwsim("replay", str(out))
    assert code == 3
    assert f"do not hold: {done['frame']}" in error


def test_ctrl_c_keeps_what_was_finished_and_exits_130(bursty: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "hwsim", "run", bursty, "--set", "duration=1000 s", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    layers = out / "layers.parquet"
    patience = time.monotonic() + 60
    while not (layers.is_file() and layers.stat().st_size > 1000) and time.monotonic() < patience:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert f"interrupted: the frames finished so far are in {out}" in error
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["interrupted"] is True
    assert summary["frames_completed"] > 0


def assert_refused(result: tuple[int, str, str], *expected: str) -> None:
    code, _, error = result
    assert code == 2, error
    assert error.startswith("error: ")
    assert "Traceback" not in error
    for text in expected:
        assert text in error


def weights_restored(weights: Path, content: bytes) -> Path:
    weights.write_bytes(content)
    return weights


def sha256(file: Path) -> str:
    import hashlib

    return hashlib.sha256(file.read_bytes()).hexdigest()
