"""What cannot be is said in one clear sentence: uncalibrated networks, control flow, labels, outputs, interrupts."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bitmixer
from bitmixer import convert
from bitmixer.cli import main
from bitmixer.data import TRAINING_IMAGES, ImageSet, load_image_set
from bitmixer.errors import DataError, DocumentError, OutputError, QuantizerError, UnsupportedNetworkError
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.output_files import make_folder, write_output
from bitmixer.training.optimizer import build_optimizer
from bitmixer.training.recipe import Training, load_recipe, packaged_recipes

ROOT = Path(__file__).parent.parent.parent
STAGES = [{"name": "activations", "epochs": 1, "learning_rate": 1e-3}]


def small(**options: object) -> MetaQuantizedNetwork:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    return convert(model, (1, 2, 4), **options)  # type: ignore[arg-type]


def test_a_network_that_was_never_calibrated_is_not_quantised() -> None:
    network = small()
    with pytest.raises(QuantizerError, match=r"no weight step .* network\.calibrate_weights\(\), train"):
        network.quantize()
    network.calibrate_weights()
    with pytest.raises(QuantizerError, match=r"no activation step .* network\.calibrate_activations\(inputs\)"):
        network.quantize()
    assert not network.sites[0].layer.quantize_weights
    network.quantize(activations=False)
    network.calibrate_activations(torch.randn(8, 4))
    network.quantize()
    again = small()
    again.load_state_dict(network.state_dict())
    again.quantize()


def test_weights_that_say_it_all_need_no_calibration() -> None:
    small(quantizer="dorefa").quantize(activations=False)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:  # the line that is told
            return self.layer(x)
        return x


def test_control_flow_is_told_with_its_line() -> None:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "# the line that is told" in text)
    with pytest.raises(UnsupportedNetworkError, match=rf"^\S*test_refusals\.py:{line}: Branching: cannot be traced"):
        convert(Branching())


class Interrupted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise RuntimeError("some library's own words")  # noqa: B904


def test_an_interrupt_is_no_fault_of_the_network() -> None:
    with pytest.raises(KeyboardInterrupt):
        convert(Interrupted())


@pytest.mark.parametrize("package", ["bitmixer", "hwsim"])
def test_an_interrupt_while_modules_load_is_one_line(package: str, tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-m", package, "--help"], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def images(labels: list[int], test_labels: list[int]) -> ImageSet:
    return ImageSet(
        train_inputs=np.zeros((len(labels), 4), np.float32), train_labels=np.array(labels, np.int64),
        test_inputs=np.zeros((len(test_labels), 4), np.float32), test_labels=np.array(test_labels, np.int64),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([0, 3, 1], [0], r"train split: label 3 \(input 1\).* 3 logits: expected labels from 0 to 2"),
        ([0, 2, 1], [0, 1, 7], r"test split: label 7 \(input 2\)"),
    ],
)
def test_a_label_that_the_network_cannot_answer_is_refused(
    train: list[int], test: list[int], message: str, tmp_path: Path
) -> None:
    training = Training.model_validate({"seed": 0, "batch_size": 2, "stages": STAGES})
    with pytest.raises(DataError, match=message):
        bitmixer.fit(small(), images(train, test), training, tmp_path)
    with pytest.raises(DataError, match="labels below 0"):
        images([0, -1], [0])


def test_a_training_of_activations_alone_ends_with_weights_that_are_quantised(tmp_path: Path) -> None:
    training = Training.model_validate({"seed": 0, "batch_size": 2, "stages": STAGES})
    inputs = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    network = small()
    bitmixer.fit(network, dataclasses.replace(images([0, 1, 2, 0], [0]), train_inputs=inputs), training, tmp_path)
    assert all(site.layer.weight_quantizer.is_fitted for site in network.sites)


def test_the_one_bit_step_of_nested_weights_learns_at_its_own_rate() -> None:
    network = small()
    training = Training.model_validate({
        "seed": 0, "batch_size": 2, "stages": STAGES, "step_learning_rates": {"1": 0.1},
    })  # fmt: skip
    groups = build_optimizer(network, training, training.stages[0]).steps.param_groups
    slow_steps = {id(step) for group in groups if group["factor"] == pytest.approx(0.1) for step in group["params"]}
    slow = {name.rpartition(".")[2] for name, p in network.named_parameters() if id(p) in slow_steps}
    assert slow == {"log_sign_step", "1"}


def test_the_sizes_of_data_sets_are_those_of_their_data() -> None:
    for name in ("digits", "mnist5k"):
        assert len(load_image_set(name).train_labels) == TRAINING_IMAGES[name]


def test_a_batch_larger_than_the_data_is_placed(tmp_path: Path) -> None:
    text = (packaged_recipes() / "resnet8_digits.yaml").read_text(encoding="utf-8")
    line = next(number for number, row in enumerate(text.splitlines(), 1) if row.startswith("batch_size:"))
    old = text.splitlines()[line - 1]
    (tmp_path / "r.yaml").write_text(text.replace(old, "batch_size: 1439"), encoding="utf-8")
    with pytest.raises(DocumentError, match=rf"r\.yaml:{line}:13: batch_size: 1439 is more than the 1438 training"):
        load_recipe(tmp_path / "r.yaml")
    (tmp_path / "r.yaml").write_text(text.replace(old, "batch_size: 1438"), encoding="utf-8")
    load_recipe(tmp_path / "r.yaml")


# Outputs.


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_output(file, b"x")
    assert file.read_bytes() == b"x"
    with pytest.raises(OutputError, match=r"there is no folder .*missing: make it first"):
        write_output(tmp_path / "missing" / "a.onnx", b"")
    with pytest.raises(OutputError, match="it is a folder: give the name of a file"):
        write_output(tmp_path, b"")
    with pytest.raises(OutputError, match="a file stands where a folder should be"):
        write_output(file / "a.onnx", b"")
    for taken in (file, file / "deeper"):
        with pytest.raises(OutputError, match="a file stands where a folder should be"):
            make_folder(taken)
    make_folder(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="a place that you may write to"):
        make_folder(tmp_path)


def called(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bitmixer", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
    return int(done.value.code or 0), capsys.readouterr().err


def test_commands_say_what_they_cannot_write(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    taken, missing = tmp_path / "taken", tmp_path / "no" / "net"
    taken.write_text("", encoding="utf-8")
    code, said = called(capsys, "export", "resnet8_digits", "--out", missing)
    assert code == 2
    assert said.startswith(f"error: {missing}: cannot be written: there is no folder {missing.parent}: make it first")
    assert said.count("\n") == 1
    assert called(capsys, "export", "resnet8_digits", "--out", tmp_path / "net.onnx") == (0, "")
    code, said = called(capsys, "import", tmp_path / "net.onnx", "--out", tmp_path)
    assert (code, said) == (2, f"error: {tmp_path}: cannot be written: it is a folder: give the name of a file\n")
    for command in (("train", "resnet8_digits"), ("search", "resnet8_digits", "--budget", "average_bits<=3")):
        code, said = called(capsys, *command, "--quiet", "--out", taken)
        assert code == 2
        assert said.startswith(f"error: {taken}: nothing can be written into it: a file stands")


def test_a_layer_graph_by_itself_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    graph = bitmixer.load_network("resnet8_digits")
    captured = bitmixer.capture(graph, torch.zeros(1, 1, 8, 8), name="mine")
    Path("mine.json").write_text(captured.to_json(), encoding="utf-8")
    code, said = called(capsys, "evaluate", "mine.json", "--data", "digits")
    assert (code, said) == (2, "error: mine.json: mine is a geometry without trained weights\n")


def test_an_assignment_for_another_network_names_both(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from bitmixer.assignment_file import save_assignment
    from bitmixer.networks import find_checkpoint

    for other, mine in (("resnet8_digits", "resnet20_mnist5k"), ("resnet20_mnist5k", "resnet8_digits")):
        file = save_assignment(tmp_path / "a.json", find_checkpoint(other).graph.uniform(2))
        code, said = called(capsys, "evaluate", mine, "--data", "digits", "--assignment", file)
        assert code == 2
        assert said.startswith(f"error: {file}: is an assignment for ")
        assert other in said
        assert f"not for {mine}" in said
