"""The command line, as its users see it: text, JSON, exit codes, and one line of error."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bitmixer.cli import main
from bitmixer.graph import LayerGraph
from bitmixer.networks import ARCHITECTURES, find_checkpoint, shipped_checkpoints

ROOT = Path(__file__).parent.parent.parent
RECIPE = """\
schema_version: 1
name: tiny
architecture: resnet8
width: 2
data: digits
bits: [2, 8]
seed: 3
batch_size: 256
stages:
  - {name: activations, epochs: 1, learning_rate: 4.0e-3}
  - {name: weights, epochs: 1, learning_rate: 2.0e-3}
  - {name: transitions, epochs: 1, learning_rate: 2.0e-3}
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bitmixer", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of the command line in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bitmixer", *arguments])
        with pytest.raises(SystemExit) as done:
            main()
    printed = capsys.readouterr()
    return int(done.value.code or 0), printed.out, printed.err


def written(folder: Path, text: str = RECIPE) -> str:
    file = folder / "tiny.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_help_is_fast_and_loads_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['bitmixer', '--help']\n"
        "from bitmixer.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'numpy', 'rich'} & set(sys.modules)"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert time.perf_counter() - began < 2.0  # 0.1 s on an idle machine; the bound is for a busy one
    assert "Usage: bitmixer" in done.stdout
    assert all(name in done.stdout for name in ("train", "list", "evaluate", "export", "import"))


def test_the_module_runs() -> None:
    done = subprocess.run(command("list", "--json"), capture_output=True, text=True, check=True, env=environment())
    assert json.loads(done.stdout)["architectures"]
    assert done.stderr == ""


def test_list_names_architectures_and_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(capsys, "list", "--json")
    listed = json.loads(out)
    assert code == 0
    assert [row["name"] for row in listed["architectures"]] == list(ARCHITECTURES)
    rows = {row["name"]: row for row in listed["checkpoints"]}
    assert list(rows) == shipped_checkpoints()
    metrics = find_checkpoint("resnet8_digits").metrics
    assert metrics is not None
    assert rows["resnet8_digits"]["uniform"] == metrics["uniform"]
    assert rows["resnet8_digits"]["bits"] == [2, 4, 8]
    assert rows["resnet8_digits"]["data"] == "digits"
    assert rows["resnet18"]["uniform"] is None


def test_list_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "list")
    assert (code, err) == (0, "")
    assert re.search(r"resnet50 +64 +3x224x224 +1000 +25,557,032 ", out)
    assert re.search(r"resnet8_digits +digits +2, 4, 8 ", out)
    assert "no weights" in out


def test_evaluate_prints_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "evaluate", "resnet8_digits", "--random", "3", "--seed", "5", "--json")
    measured = json.loads(out)
    assert (code, err) == (0, "")
    assert {"network", "data", "inputs", "uniform", "random"} <= set(measured)
    assert (measured["network"], measured["data"], measured["inputs"]) == ("resnet8_digits", "digits", 359)
    metrics = find_checkpoint("resnet8_digits").metrics
    assert metrics is not None
    assert measured["uniform"] == metrics["uniform"]
    random: dict[str, Any] = measured["random"]
    assert random["count"] == 3
    assert random["min"] <= random["mean"] <= 1
    assert random["std"] >= 0
    again = called(capsys, "evaluate", "resnet8_digits", "--random", "3", "--seed", "5", "--json")[1]
    assert again == out


def test_evaluate_on_the_bit_serial_datapath_measures_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(capsys, "evaluate", "resnet8_digits", "--datapath", "bit_serial", "--json")
    assert code == 0
    assert out == called(capsys, "evaluate", "resnet8_digits", "--json")[1]


def test_evaluate_takes_other_data(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(capsys, "evaluate", "resnet8_digits", "--data", "digits+noise0.6@1", "--json")
    measured = json.loads(out)
    assert code == 0
    assert measured["random"] == {"mean": None, "std": None, "min": None, "count": 0, "seed": 0}
    assert measured["uniform"]["8"] < 0.99


def test_evaluate_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "evaluate", "resnet8_digits", "--random", "2")
    assert (code, err) == (0, "")
    assert "resnet8_digits on 359 inputs of digits" in out
    assert re.search(r"uniform 8 bit +99\.\d\d%", out)
    assert "random, mean of 2" in out


def test_train_shows_a_line_per_epoch_and_the_accuracy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out_folder = tmp_path / "out"
    arguments = ("train", written(tmp_path), "--out", str(out_folder), "--threads", "1")
    code, out, err = called(capsys, *arguments)
    assert code == 0
    lines = err.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"epoch 2/3 weights loss \d\.\d{4} \d+\.\d s", lines[1])
    assert f"Checkpoint in {out_folder}" in out
    assert "tiny on 359 inputs of digits" in out
    assert called(capsys, "evaluate", str(out_folder), "--json")[0] == 0

    code, _, err = called(capsys, *arguments, "--quiet")  # all epochs are done: it only measures again
    assert (code, err) == (0, "")


def test_train_says_what_a_search_for_a_scheme_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    search = "bits: [8]\nnorm: shared\nquantizer: symmetric\nbit_sparsity: {strength: 0.1, interval: 1}\n"
    recipe = RECIPE.replace("bits: [2, 8]\n", search + "distillation: {teacher: none}\n")
    recipe = recipe[: recipe.index("  - ")] + "  - {name: planes, epochs: 1, learning_rate: 1.0e-3}\n"
    folder = str(tmp_path / "out")
    code, out, err = called(capsys, "train", written(tmp_path, recipe), "--out", folder, "--threads", "1")
    assert code == 0
    assert re.search(r"planes loss \d+\.\d{4} bits \d\.\d\d ", err)
    assert re.search(r"Found \d\.\d\d bits of magnitude per weight, \d\.\d\d stored with the sign: ", out)
    assert "its own, layer by layer" in out
    assert "its own, layer by layer" in called(capsys, "evaluate", folder)[1]


def test_train_writes_into_runs_by_default(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert called(capsys, "train", written(tmp_path), "--quiet")[0] == 0
    assert (tmp_path / "runs" / "tiny" / "checkpoint.json").is_file()


def test_an_interrupted_training_says_where_it_stopped_and_goes_on(tmp_path: Path) -> None:
    recipe = written(tmp_path, RECIPE.replace("epochs: 1", "epochs: 500", 1))
    arguments = command("train", recipe, "--out", str(tmp_path / "out"), "--threads", "1")

    def run_until_line(number: int) -> tuple[list[str], list[str]]:
        """Interrupt the training when it has printed some lines; return those, and what came after."""
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment()) as process:
            assert process.stderr is not None
            lines = [process.stderr.readline() for _ in range(number)]
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read().splitlines()
            assert process.wait(timeout=20) == 130
        return lines, rest

    lines, rest = run_until_line(1)
    assert lines[0].startswith("epoch 1/502 activations")
    stopped = re.fullmatch(
        r"interrupted after (\d+) of 502 epochs, which are kept in (.*); run the same command again to go on",
        rest[-1],
    )
    assert stopped is not None
    assert all(line.startswith("epoch ") for line in rest[:-1])  # no traceback
    assert stopped[2] == str(tmp_path / "out")
    lines, _ = run_until_line(2)
    assert lines[0].startswith(f"epoch {stopped[1]}/502")
    assert lines[1].startswith(f"epoch {int(stopped[1]) + 1}/502")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "resnet8_digit"), "did you mean 'resnet8_digits'?"),
        (
            ("evaluate", "resnet8_digits", "--datapath", "serial"),
            "unknown datapath 'serial': did you mean 'bit_serial'?",
        ),
        (("evaluate", "resnet18"), "geometry without trained weights"),
        (("evaluate", "resnet8_digits", "--data", "mnist"), "did you mean 'mnist5k'?"),
        (("evaluate", "resnet8_digits", "--data", "mnist5k"), "takes (1, 8, 8)"),
        (("evaluate", "resnet8_digits", "--data", "digits+nois0.4"), "did you mean 'noise'?"),
        (("evaluate", "x" * 5000), "x"),
        (("export", "resnet8_digit"), "did you mean 'resnet8_digits'?"),
        (("export", "resnet18"), "geometry without trained weights"),
        (("export", "resnet8_digits", "--bits", "3"), "cannot run at w3a3: it allows w2a2, w4a4, w8a8"),
        (("export", "resnet8_digits", "--bits", "4", "--assignment", "a.json"), "exclude one another"),
        (("export", "resnet8_digits", "--assignment", "missing.json"), "missing.json"),
        (("import", "missing.onnx"), "missing.onnx: cannot be read"),
        (("import", "missing.onnx", "--bits", "2;4"), "--bits 2;4: expected whole numbers with commas between"),
        (("train", "resnet8_digit"), "did you mean 'resnet8_digits'?"),
        (("train", "missing/recipe.yaml"), "neither a file nor packaged"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = called(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_a_wrong_recipe_is_placed_in_its_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe = written(tmp_path, RECIPE.replace("resnet8", "resnet9"))
    code, _, err = called(capsys, "train", recipe)
    assert code == 2
    assert err.startswith(f"error: {recipe}:3:15: architecture: unknown architecture 'resnet9'")


def test_a_folder_that_cannot_be_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe = written(tmp_path)
    code, _, err = called(capsys, "train", recipe, "--out", recipe)
    assert code == 2
    assert err.startswith("error: ")
    assert "tiny.yaml" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate",),
        ("evaluate", "resnet8_digits", "--random", "-1"),
        ("evaluate", "resnet8_digits", "--random", "many"),
        ("evaluate", "resnet8_digits", "--seed", "-3"),
        ("evaluate", "resnet8_digits", "--threads", "0"),
        ("list", "--jsn"),
        ("evaluat",),
        ("train", "resnet8_digits", "extra"),
    ],
)
def test_bad_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    code, out, err = called(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "error: " in err
    assert "Traceback" not in err


def test_export_writes_qonnx_and_import_reads_it_back(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    monkeypatch.chdir(tmp_path)
    assert called(capsys, "export", "resnet8_digits")[:2] == (
        0, "resnet8_digits at 8bit in resnet8_digits-8bit.onnx\n",
    )  # fmt: skip
    assert called(capsys, "export", "resnet8_digits", "--bits", "2", "--out", "two.onnx", "--batch", "0")[0] == 0
    widths = {site.name: list(site.allowed[0]) for site in find_checkpoint("resnet8_digits").graph.layers}
    (tmp_path / "found.json").write_text(json.dumps(widths), encoding="utf-8")
    code, out, _ = called(capsys, "export", "resnet8_digits", "--assignment", "found.json")
    assert (code, out) == (0, "resnet8_digits at found in resnet8_digits-found.onnx\n")
    assert called(capsys, "import", "two.onnx")[:2] == (
        0, "10 layers, 193,344 multiply-accumulates per input, in two.json\n",
    )  # fmt: skip
    assert called(capsys, "import", "resnet8_digits-found.onnx", "--out", "found-again.json")[0] == 0
    two, found = (LayerGraph.load(tmp_path / name) for name in ("two.json", "found-again.json"))
    assert {layer.name: list(layer.allowed[0]) for layer in two.layers} == widths
    assert two.layers == found.layers


def test_import_takes_widths_for_what_the_file_does_not_quantise(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    file = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_squeezenet.onnx"
    assert called(capsys, "import", str(file), "--bits", "5,4", "--out", str(tmp_path / "net.json"))[0] == 0
    assert LayerGraph.load(tmp_path / "net.json").uniform_bits == (4, 5)


def test_data_may_lie_in_any_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("BITMIXER_DATA", "elsewhere")  # and is set back afterwards, whatever the command does
    missing = str(tmp_path / "missing")
    assert called(capsys, "evaluate", "resnet8_digits", "--data-root", missing) == (
        2, "", f"error: --data-root {missing}: is not a folder\n",
    )  # fmt: skip
    folder = str(tmp_path)
    code, _, said = called(capsys, "search", "resnet8_digits", "--data", "cifar10", "--data-root", folder,
                           "--budget", "average_bits<=3")  # fmt: skip
    assert code == 2  # the shape is wrong, which is known before the files are read
    assert "takes (1, 8, 8)" in said
    assert os.environ["BITMIXER_DATA"] == folder
