"""The command line: what each command prints, and what every kind of bad input is answered with."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bitmixer.networks.checkpoint import find_checkpoint
from hwsim import cli
from hwsim.config.packaged import find
from hwsim.records.store import RunFolder

ROOT = Path(cli.__file__).parent.parent
LAYER_TABLE = """\
layer,input_channels,output_channels,kernel_height,kernel_width,stride,padding,input_height,input_width,\
output_height,output_width,macs,activation_bits,weight_bits
conv,16,16,3,3,1,1,8,8,8,8,147456,4,2
"""


@dataclass
class Answer:
    """What a command did."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def hwsim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command in this process; an error that it did not foresee is raised."""

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["hwsim", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            cli.main()
        said = capsys.readouterr()
        assert done.value.code is None or isinstance(done.value.code, int)
        return Answer(done.value.code or 0, said.out, said.err)

    return run


def refused(answer: Answer, *messages: str, code: int = 2) -> None:
    """Assert that a command failed with a clear error on stderr and nothing on stdout."""
    assert answer.code == code, answer
    assert answer.err.startswith("error: ")
    assert "Traceback" not in answer.err
    assert answer.out == ""
    for message in messages:
        assert message in answer.err


# What commands print


def test_run_replay_and_digest(hwsim: Command, bursty: str, tmp_path: Path, one_thread: None) -> None:
    out = tmp_path / "run"
    ran = hwsim("run", bursty, "--out", out, "--set", "outputs=lazy", "--seed", 5, "--controller", "hysteresis")
    assert ran.code == 0
    assert "hysteresis" in ran.out
    assert str(out) in ran.out.replace("\n", "")
    assert RunFolder(out).manifest["seed"] == 5
    assert {path.name for path in out.iterdir()} == {
        "manifest.json", "summary.json", "frames.parquet", "layers.parquet", "telemetry.parquet",
        "decisions.parquet", "layers.csv", "graph.json", "scenario.yaml", "profile.yaml", "figures",
    }  # fmt: skip

    held = hwsim("replay", out)
    assert held.code == 0
    assert held.out.startswith("Predictions hold: 3200 inputs in 32 frames")
    one = json.loads(hwsim("replay", out, "--frame", 2, "--json").out)
    assert (one["frames"], one["inputs"], one["differing"]) == (1, 100, [])
    refused(hwsim("replay", out, "--frame", 999), "no frame 999")

    hashed = hwsim("digest", out)
    assert len(hashed.out.strip()) == 64
    frames = pq.read_table(out / "frames.parquet")
    rows = frames.to_pylist()
    rows[4]["predictions"][0] = (rows[4]["predictions"][0] + 1) % 10
    pq.write_table(pa.Table.from_pylist(rows, schema=frames.schema), out / "frames.parquet")
    refused(hwsim("replay", out), "predictions of 1 of 32 frames do not hold: 4", code=3)
    assert hwsim("digest", out).out != hashed.out


def test_run_says_as_much_as_was_asked(hwsim: Command, bursty: str, tmp_path: Path) -> None:
    quiet = hwsim("run", bursty, "--out", tmp_path / "a", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    summary = json.loads(hwsim("run", bursty, "--out", tmp_path / "b", "--json").out)
    assert summary["frames_arrived"] == 32
    assert summary["accuracy"] is None


def test_a_run_without_a_folder_goes_to_one_named_after_it(
    hwsim: Command, bursty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hwsim("run", bursty, "--controller", "static:bits=4", "--quiet").code == 0
    assert (tmp_path / "runs" / "bursty-static-bits=4-s3" / "summary.json").is_file()


def test_compare(hwsim: Command, bursty: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # A comma in brackets belongs to a list.
    names = "static,hysteresis:rungs=[8, 4]:period_milliseconds=1"
    answer = hwsim("compare", bursty, "--controllers", names, "--replications", 1, "--out", out, "--json")
    assert answer.code == 0
    comparison = json.loads(answer.out)
    assert comparison == json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert list(comparison["controllers"]) == ["static", "hysteresis:rungs=[8, 4]:period_milliseconds=1"]
    energies = [each["energy_joules"]["mean"] for each in comparison["controllers"].values()]
    assert energies[1] < energies[0]
    table = hwsim("compare", bursty, "--controllers", names, "--replications", 1, "--out", out)
    assert "static" in table.out
    refused(hwsim("compare", bursty, "--controllers", " , "), "controllers none: give each once")


def test_validate_says_what_it_read_and_goes_on_after_an_error(hwsim: Command, bursty: str) -> None:
    answer = hwsim("validate", bursty, "no_such", "bismo_pynq_z1")
    assert answer.code == 2
    scenario, profile = answer.out.splitlines()
    assert "valid scenario bursty: resnet8_digits on bismo_pynq_z1" in scenario
    assert "valid profile bismo_pynq_z1" in profile
    assert answer.err.startswith("error: no packaged scenario or profile 'no_such'")
    assert hwsim("validate", bursty).code == 0


def test_profiles_lists_and_shows_where_numbers_come_from(hwsim: Command) -> None:
    assert hwsim("profiles").out.startswith("bismo_pynq_z1: ")
    shown = hwsim("profiles", "show", "bismo_pynq_z1")
    assert "memory.dram_efficiency" in shown.out
    assert "UG585" in shown.out
    refused(hwsim("profiles", "show", "bismo_pynq"), "did you mean 'bismo_pynq_z1'")


def test_controllers_lists_options(hwsim: Command) -> None:
    said = hwsim("controllers").out
    assert "static: one width for the whole run" in said
    assert "    hold_milliseconds [2000]" in said


def test_cost_of_a_network(hwsim: Command) -> None:
    rows = {bits: priced(hwsim("cost", "--network", "resnet8_digits", "--bits", bits)) for bits in (2, 8)}
    stem, second = rows[8][:2]
    # 8x8 positions, 8 x 8 planes, 8 of 8 columns, 9 of 256 products deep, on 8 rows of positions
    assert (stem["layer"], stem["compute_cycles"]) == ("stem", "512")
    assert [row["weight_bits"] for row in rows[2]] == ["8", *["2"] * 8, "8"]
    assert int(second["compute_cycles"]) == 16 * int(rows[2][1]["compute_cycles"])
    for row in rows[8]:
        assert int(row["memory_stall_cycles"]) == int(row["total_cycles"]) - int(row["compute_cycles"]) >= 0
    assert sum(float(row["energy_joules"]) for row in rows[2]) < sum(float(row["energy_joules"]) for row in rows[8])
    assert int(priced(hwsim("cost", "--network", "resnet8_digits", "--inputs", 3))[0]["compute_cycles"]) == 3 * 512


def priced(answer: Answer) -> list[dict[str, str]]:
    assert answer.code == 0, answer
    return list(csv.DictReader(io.StringIO(answer.out)))


def test_cost_of_a_layer_table_on_an_array_of_another_size(hwsim: Command, tmp_path: Path) -> None:
    table = tmp_path / "layers.csv"
    table.write_text(LAYER_TABLE, encoding="utf-8")
    (row,) = priced(hwsim("cost", "--layers", table))
    (narrow,) = priced(hwsim("cost", "--layers", table, "--set", "rows=4"))
    assert int(narrow["compute_cycles"]) == 2 * int(row["compute_cycles"])


@pytest.mark.parametrize("kind", ["scenario", "profile"])
def test_schema_is_json(hwsim: Command, kind: str) -> None:
    assert json.loads(hwsim("schema", kind).out)["properties"]["schema_version"]["const"] == 1


# What is refused


def test_a_command_line_that_is_none(hwsim: Command) -> None:
    for arguments in (("runn",), ("run",), ("run", "x", "--seed", "-1"), ("cost", "--inputs", "0")):
        answer = hwsim(*arguments)
        assert answer.code == 2
        assert "Traceback" not in answer.err
        assert answer.err


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (("queue:", "quue:"), ("s.yaml:8:1: quue: ", "did you mean 'queue'")),
        (("capacity: 3", "capacity: many"), ("s.yaml:8:19: queue.capacity: ", "'many'")),
        (("deadline: 4 ms", "deadline: 4"), ("s.yaml:14:15: streams.0.deadline: ", "ms")),
        (("deadline: 4 ms", "deadline: 4 mJ"), ("s.yaml:14:15: streams.0.deadline: ",)),
        (("temperature: 30 degC", "temperature: .nan"), ("s.yaml:21:42: environment.ambient.temperature: nan is not",)),
        (("temperature: 30 degC", "temperature: [1"), ("s.yaml:", "not valid YAML")),
        (("profile: bismo_pynq_z1", "profile: bismo_pynq_z2"), ("s.yaml:3:10: profile: ", "did you mean 'bismo_pynq_z1'")),
        (("profile: bismo_pynq_z1", "profile: mine.yaml"), ("s.yaml:3:10: profile: ", "mine.yaml: no such file")),
        (("network: resnet8_digits", "network: resnet8_digit"), ("s.yaml:10:14: ", "did you mean 'resnet8_digits'")),
        (("data: digits+noise0.3@1", "data: digits+fog0.3@1"), ("s.yaml:11:11: ", "unknown corruption 'fog'")),
        (("data: digits+noise0.3@1", "data: mnist"), ("s.yaml:11:11: ", "unknown set 'mnist': did you mean 'mnist5k'")),
        (("name: hysteresis", "name: hysteresi"), ("s.yaml:22:13: ", "did you mean 'hysteresis'")),
        (("period_milliseconds", "period_millisecond"), ("s.yaml:22:13: ", "did you mean 'period_milliseconds'")),
        (("period_milliseconds: 1", "rungs: [8, 5]"), ("s.yaml:22:13: ", "cannot run at 5 bits; its layers allow 2, 4, 8")),
    ],
)  # fmt: skip
def test_a_scenario_that_is_wrong(
    hwsim: Command, write_scenario: Callable[..., str], tmp_path: Path, change: tuple[str, str], messages: Any
) -> None:
    path = write_scenario(change)
    for command in (("validate", path), ("run", path, "--out", tmp_path / "run")):
        refused(hwsim(*command), *messages)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (
            ('    source: "UG585 1.15, DDR Efficiency: maximum efficiency of approximately 75 % by design"\n', ""),
            ("p.yaml:19:", "memory.dram_efficiency: ", "source"),
        ),
        (("value: 2.1 GB/s", "value: 0 GB/s"), ("p.yaml:17:12: memory.dram_peak_bandwidth.value: ", "0 GB/s")),
        (("value: 2.1 GB/s", "value: .nan"), ("p.yaml:17:12: ", "nan is not a finite number")),
        (("value: 0.75\n", "value: 1.75\n"), ("p.yaml:20:12: memory.dram_efficiency.value: ",)),
        (("dram_efficiency:", "dram_eficiency:"), ("p.yaml:19:3: ", "did you mean 'dram_efficiency'")),
        (("sensor_node: junction", "sensor_node: junktion"), ("p.yaml:", "did you mean 'junction'")),
    ],
    ids=["no source", "no bandwidth", "nan", "more than all", "unknown key", "unknown node"],
)
def test_a_profile_that_is_wrong(
    hwsim: Command, write_scenario: Callable[..., str], tmp_path: Path, change: tuple[str, str], messages: Any
) -> None:
    text = find("profiles", "bismo_pynq_z1").read_text(encoding="utf-8")
    assert text.count(change[0]) == 1
    (tmp_path / "p.yaml").write_text(text.replace(*change), encoding="utf-8")
    scenario = write_scenario(("profile: bismo_pynq_z1", "profile: p.yaml"))
    refused(hwsim("validate", tmp_path / "p.yaml"), *messages)
    refused(hwsim("run", scenario, "--out", tmp_path / "run"), *messages)


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--set", "queue.capacity"], ["--set queue.capacity: expected PATH=VALUE"]),
        (["--set", "queue.capasity=3"], ["--set queue.capasity", "did you mean 'capacity'"]),
        (["--set", "queue.capacity=x"], ["--set queue.capacity: queue.capacity: "]),
        (["--set", "queue.capacity=["], ["--set queue.capacity", "not valid YAML"]),
        (["--set", "streams.3.data=digits"], ["--set streams.3.data: streams is a list of 1"]),
        (["--set", "profile.memory.dram_efficiency.value=2"], ["memory.dram_efficiency.value: "]),
        (["--set", "profile.memory.dram_peak_bandwidth.value=0 GB/s"], ["dram_peak_bandwidth.value: "]),
        (["--controller", "histeresis"], ["--controller histeresis: unknown controller", "did you mean 'hysteresis'"]),
        (["--controller", "static:bits=5"], ["--controller static:bits=5: ", "cannot run at 5 bits"]),
        (["--controller", "static:bits"], ["expected NAME:option=value, got 'bits'"]),
    ],
)
def test_options_that_are_wrong(
    hwsim: Command, bursty: str, tmp_path: Path, arguments: list[str], messages: list[str]
) -> None:
    refused(hwsim("run", bursty, "--out", tmp_path / "run", *arguments), *messages)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["run", "nowhere/s.yaml"], ["nowhere/s.yaml: no such file", "there is no directory nowhere"]),
        (["run", "thermal_throtle"], ["no packaged scenario 'thermal_throtle': did you mean 'thermal_throttle'"]),
        (["validate", "thermal_throtle"], ["did you mean 'thermal_throttle'"]),
        (["replay", "nowhere"], ["nowhere: no such run folder"]),
        (["digest", "."], ["no complete run; missing: manifest.json"]),
        (["schema", "scenarios"], ["unknown document 'scenarios': did you mean 'scenario'"]),
        (["cost"], ["give either --layers FILE.csv or --network NAME"]),
        (["cost", "--network", "resnet8_digit"], ["did you mean 'resnet8_digits'"]),
        (["cost", "--network", "resnet8_digits", "--bits", "5"], ["cannot run at w5a5: it allows w2a2, w4a4, w8a8"]),
        (["cost", "--network", "resnet8_digits", "--array", "bizmo"], ["did you mean 'bismo'"]),
        (["cost", "--network", "resnet8_digits", "--set", "rows=²"], ["--set rows=²: expected PARAMETER=WHOLE NUMBER"]),
        (["cost", "--network", "resnet8_digits", "--set", "rows=0"], ["rows"]),
        (["cost", "--network", "resnet8_digits", "--set", "rws=4"], ["rws", "did you mean 'rows'"]),
        (["cost", "--layers", "nowhere.csv"], ["nowhere.csv"]),
    ],
)  # fmt: skip
def test_names_that_are_wrong(
    hwsim: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], messages: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(hwsim(*arguments), *messages)


def test_a_folder_that_is_no_run(hwsim: Command, bursty: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    refused(hwsim("run", bursty, "--out", tmp_path), "holds files that are no run")
    refused(hwsim("run", bursty, "--out", tmp_path / "mine.txt" / "deeper"), "cannot be made")


def truncated(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def with_nan(folder: Path) -> None:
    import numpy as np
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "weights.safetensors")
    name = next(key for key, tensor in tensors.items() if tensor.dtype == np.float32 and tensor.size > 1)
    tensors[name] = np.full_like(tensors[name], np.nan)
    save_file(tensors, folder / "weights.safetensors")
    _sign(folder)


def of_another_shape(folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "weights.safetensors")
    tensors.pop(min(tensors))
    save_file(tensors, folder / "weights.safetensors")
    _sign(folder)


def _sign(folder: Path) -> None:
    content = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
    content["weights_sha256"] = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "checkpoint.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "weights.safetensors: truncated or changed"),
        (with_nan, "holds NaN or infinity"),
        (of_another_shape, "weights of another network"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "weights.safetensors: missing"),
        (lambda folder: (folder / "graph.json").write_text("{", encoding="utf-8"), "graph.json:1:"),
        (lambda folder: (folder / "checkpoint.json").write_text("[]", encoding="utf-8"), "checkpoint.json: not a"),
    ],
    ids=["truncated", "nan", "other", "missing", "graph", "description"],
)
def test_a_checkpoint_that_is_damaged(
    hwsim: Command, write_scenario: Callable[..., str], tmp_path: Path, one_thread: None, damage: Any, message: str
) -> None:
    shutil.copytree(find_checkpoint("resnet8_digits").path, tmp_path / "network")
    scenario = write_scenario(("network: resnet8_digits", "network: network"), ("outputs: none", "outputs: lazy"))
    assert hwsim("validate", scenario).code == 0
    damage(tmp_path / "network")
    refused(hwsim("run", scenario, "--out", tmp_path / "run"), message)


def test_a_controller_that_misbehaves_ends_the_run_with_3(
    hwsim: Command, bursty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitmixer.bitwidths import BitWidths
    from hwsim.controllers.base import Decision
    from hwsim.controllers.hysteresis import Hysteresis

    wrong = Decision(widths={"stages.0.0.conv1": BitWidths(7, 7)}, reason="")
    monkeypatch.setattr(Hysteresis, "decide", lambda self, observation, state, generator: (wrong, state))
    answer = hwsim("run", bursty, "--out", tmp_path / "run")
    refused(answer, "controller Hysteresis: site 'stages.0.0.conv1' cannot run at w7a7", code=3)


# In a process of its own


def test_the_module_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hwsim", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    for name in ("run", "replay", "compare", "validate", "profiles", "controllers", "cost", "schema", "digest"):
        assert f" {name} " in done.stdout
    wrong = subprocess.run(
        [sys.executable, "-m", "hwsim", "replay", "nowhere"], capture_output=True, text=True, cwd=ROOT
    )
    assert (wrong.returncode, wrong.stdout, "Traceback" in wrong.stderr) == (2, "", False)


def test_control_c_keeps_what_was_finished_and_ends_with_130(bursty: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    # Where tests run in the background, their children ignore SIGINT unless told otherwise.
    code = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nfrom hwsim.cli import main\nmain()"
    arguments = ["run", bursty, "--out", str(out), "--set", "duration=10000 s", "--quiet"]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        patience = time.monotonic() + 30
        while not (out / "layers.parquet").exists() and time.monotonic() < patience:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert said == f"interrupted: the frames finished so far are in {out}\n"
    summary = RunFolder(out).summary
    assert summary["interrupted"] is True
    assert summary["frames_completed"] > 0
    assert len(pq.read_table(out / "frames.parquet")) == summary["frames_arrived"]
