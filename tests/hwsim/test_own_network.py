"""A network and data of one's own, from their files to predictions on the simulated device."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

import bitmixer
from bitmixer.data import load_image_set
from hwsim import pipeline
from hwsim.errors import ConfigurationError
from hwsim.replay import replay


class Mine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.body, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        return self.head(torch.relu(self.body(x) + x).mean((2, 3)))


def files_of(model: nn.Module, images: bitmixer.ImageSet, folder: Path) -> None:
    """Save a calibrated network and its data."""
    images.save(folder / "mine.npz")
    network = bitmixer.convert(model, (2, 4, 8)).eval()
    network.calibrate_activations(torch.from_numpy(images.train_inputs[:64]))
    network.calibrate_weights()
    bitmixer.save_network(
        network, folder / "mine", example=torch.from_numpy(images.test_inputs[:4]), data=str(folder / "mine.npz")
    )


@pytest.fixture
def mine(tmp_path: Path, bursty: str, one_thread: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a scenario beside a network and data of its own, which it names as they lie beside it."""
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    torch.manual_seed(0)
    files_of(Mine(), load_image_set("digits"), folder)
    text = Path(bursty).read_text(encoding="utf-8")
    text = text.replace("outputs: none", "outputs: lazy").replace(
        "data: digits+noise0.3@1", "data: mine.npz+noise0.2@1"
    )
    text = text.replace("network: resnet8_digits", "network: mine")
    (folder / "scenario.yaml").write_text(text, encoding="utf-8")
    return folder / "scenario.yaml"


def test_predictions_are_the_network_s_and_hold(mine: Path, tmp_path: Path) -> None:
    summary = pipeline.run(pipeline.plan(str(mine)), tmp_path / "run", figures=False)
    frames = pq.read_table(tmp_path / "run" / "frames.parquet").to_pylist()
    network = bitmixer.load_network(mine.parent / "mine")
    inputs, labels = bitmixer.load_data(f"{mine.parent / 'mine.npz'}+noise0.2@1")
    with torch.no_grad():
        answers = network(inputs).argmax(dim=1).tolist()  # at 8 bits, at which the first frame runs
    first = next(frame for frame in frames if frame["predictions"])
    assert first["predictions"] == [answers[index] for index in first["input_indices"]]
    assert first["labels"] == [int(labels[index]) for index in first["input_indices"]]
    assert 0 <= summary["accuracy"] <= 1
    again = replay(tmp_path / "run")
    assert again.inputs > 0
    assert not again.differing


def test_a_run_is_what_its_files_hold_wherever_they_lie(mine: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(mine.parent, elsewhere)
    planned = pipeline.plan(str(mine))
    assert pipeline.plan(str(elsewhere / mine.name)).run_id == planned.run_id
    images = load_image_set("digits")
    other = bitmixer.ImageSet(
        train_inputs=images.train_inputs, train_labels=images.train_labels,
        test_inputs=np.ascontiguousarray(images.test_inputs[:100]), test_labels=images.test_labels[:100],
    )  # fmt: skip
    other.save(elsewhere / "mine.npz")
    assert pipeline.plan(str(elsewhere / mine.name)).run_id != planned.run_id


def test_a_run_can_be_run_again_from_its_own_copy(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = ["streams.0.drift=[{at: 20 ms, data: mine.npz+noise0.4@2}]"]
    planned = pipeline.plan(str(mine), sets=sets)
    pipeline.run(planned, tmp_path / "run", figures=False)
    monkeypatch.chdir(tmp_path)
    assert pipeline.plan(str(tmp_path / "run" / "scenario.yaml")).run_id == planned.run_id


def test_files_are_also_found_from_where_the_command_is_given(
    mine: Path, monkeypatch: pytest.MonkeyPatch, hwsim: Callable[..., Any]
) -> None:
    monkeypatch.chdir(mine.parent)
    answer = hwsim("run", "thermal_throttle", "--set", "streams.0.network=mine", "--set", "streams.0.data=mine.npz",
                   "--set", "duration=1 s", "--out", "run", "--quiet")  # fmt: skip
    assert answer.code == 0, answer
    wrong = hwsim("run", "thermal_throttle", "--set", "streams.0.network=mine", "--set", "streams.0.data=mnie.npz")
    assert wrong.code == 2
    assert "--set streams.0.data: " in wrong.err
    assert "'mnie.npz': no such file" in wrong.err


def test_data_of_another_shape_is_refused(mine: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has inputs of shape \(1, 28, 28\); mine takes \(1, 8, 8\)"):
        pipeline.plan(str(mine), sets=["streams.0.data=mnist5k"])


class Vectors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


@pytest.mark.parametrize("page", ["docs/own_network.md", "README.md"])
def test_the_documented_way_takes_less_than_thirty_lines(
    page: str, tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    assert len(example.splitlines()) < 30
    digits = load_image_set("digits")
    train, test = (
        [(torch.from_numpy(inputs[:200]), torch.from_numpy(labels[:200]))]
        for inputs, labels in ((digits.train_inputs, digits.train_labels), (digits.test_inputs, digits.test_labels))
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    names: dict[str, Any] = {"model": Mine(), "train_loader": train, "test_loader": test}
    exec(re.sub(r'"duration": "[^"]*"', '"duration": "0.2 s"', example), names)
    assert names["result"].summary["inputs_completed"] > 0


def test_inputs_need_not_be_images(mine: Path, tmp_path: Path) -> None:
    digits = load_image_set("digits")
    images = bitmixer.ImageSet(
        train_inputs=digits.train_inputs.reshape(-1, 64), train_labels=digits.train_labels,
        test_inputs=digits.test_inputs.reshape(-1, 64), test_labels=digits.test_labels,
    )  # fmt: skip
    files_of(Vectors(), images, mine.parent)
    pipeline.run(pipeline.plan(str(mine), sets=["streams.0.data=mine.npz"]), tmp_path / "run", figures=False)
    assert not replay(tmp_path / "run").differing


def test_a_network_from_an_onnx_file_answers_too(mine: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the extra 'onnx'")
    network = bitmixer.load_network(mine.parent / "mine")
    bitmixer.export_qonnx(network, network.uniform(8), tmp_path / "mine.onnx", input_shape=(1, 8, 8))
    files_of(bitmixer.from_onnx(tmp_path / "mine.onnx"), load_image_set("digits"), mine.parent)
    pipeline.run(pipeline.plan(str(mine)), tmp_path / "run", figures=False)
    assert not replay(tmp_path / "run").differing
