"""Checkpoints: what ships is what it says it is, and damage of any kind is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bitmixer import capture, load_network
from bitmixer.errors import CheckpointError, DataError
from bitmixer.evaluation import evaluate
from bitmixer.graphs.form import TrainedGraphForm
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import ARCHITECTURES, create, find_checkpoint, shipped_checkpoints
from bitmixer.networks.checkpoint import NetworkForm, original_of, twin_of

NAME = "resnet8_digits"
WEIGHTS = "weights.safetensors"
IMAGES = [name for name in shipped_checkpoints() if isinstance(find_checkpoint(name).form, NetworkForm)]
"""Networks for images; the graph network has tests of its own."""
TRAINED = [name for name in IMAGES if find_checkpoint(name).weights_sha256 is not None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped checkpoint, to be damaged."""
    return Path(shutil.copytree(find_checkpoint(NAME).path, tmp_path / "copy"))


def built(form: NetworkForm | TrainedGraphForm | None) -> MetaQuantizedNetwork:
    assert isinstance(form, NetworkForm)
    return twin_of(original_of(form), form)


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = folder / "checkpoint.json"
    data = json.loads(file.read_text(encoding="utf-8"))
    change(data)
    file.write_text(json.dumps(data), encoding="utf-8")


def replace_weights(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write weights whose hash is the one in ``checkpoint.json``, so that only their content is wrong."""
    save_file(tensors, folder / WEIGHTS)
    sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    edit(folder, lambda data: data.update(weights_sha256=sha256))


def refusal(name_or_path: str | Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_network(name_or_path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_shipped_checkpoints_are_found_by_name_and_by_path() -> None:
    assert NAME in TRAINED
    by_name = find_checkpoint(NAME)
    assert find_checkpoint(by_name.path).sha256 == by_name.sha256


def test_a_loaded_network_is_ready_to_run(digits_network: MetaQuantizedNetwork) -> None:
    network = load_network(NAME)
    assert not network.training
    assert network.assignment == network.uniform(8)
    assert all(site.layer.quantize_weights and site.layer.quantize_activations for site in network.sites)


def test_accuracy_measured_again_is_the_recorded_one(digits_network: MetaQuantizedNetwork) -> None:
    checkpoint = find_checkpoint(NAME)
    assert checkpoint.metrics is not None
    recorded = checkpoint.metrics
    again = evaluate(
        digits_network,
        checkpoint.graph,
        recorded["data"],
        random_assignments=recorded["random"]["count"],
        seed=recorded["random"]["seed"],
    ).as_dict()
    assert again == {key: value for key, value in recorded.items() if key != "training"}
    assert min(recorded["uniform"].values()) > 0.95


@pytest.mark.parametrize("name", IMAGES)
def test_capturing_again_gives_the_shipped_graph(name: str) -> None:
    checkpoint = find_checkpoint(name)
    example = torch.zeros(1, *checkpoint.graph.input_shape)
    assert capture(built(checkpoint.form), example, name=name) == checkpoint.graph


@pytest.mark.parametrize("name", TRAINED)
def test_every_trained_checkpoint_loads(name: str) -> None:
    inputs = torch.rand(4, *find_checkpoint(name).graph.input_shape)
    assert bool(load_network(name)(inputs).isfinite().all())


def test_truncated_weights_are_refused(folder: Path) -> None:
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    assert "truncated or changed" in refusal(folder)


def test_a_changed_tensor_is_refused(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, folder / WEIGHTS)
    assert "truncated or changed" in refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(folder: Path, value: float) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["body.stem.weight"].view(-1)[3] = value
    replace_weights(folder, tensors)
    assert "tensor 'body.stem.weight' holds NaN or infinity" in refusal(folder)


def test_missing_weights_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert "missing; copy the whole checkpoint folder" in refusal(folder)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    other = built(find_checkpoint(NAME).form)
    replace_weights(folder, {f"other.{key}": value for key, value in other.state_dict().items()})
    assert "weights of another network" in refusal(folder)


def test_weights_of_another_width_are_refused(folder: Path) -> None:
    edit(folder, lambda data: data["form"].update(width=16))
    assert "weights of another network" in refusal(folder)


def test_a_file_that_is_no_safetensors_is_refused(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"PK\x03\x04 not tensors")
    sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    edit(folder, lambda data: data.update(weights_sha256=sha256))
    assert "not a safetensors file" in refusal(folder)


def test_a_geometry_has_no_weights_to_load() -> None:
    assert "resnet18 is a geometry without trained weights" in refusal("resnet18")


def test_an_unknown_name_gets_the_nearest_one() -> None:
    assert "did you mean 'resnet8_digits'?" in refusal("resnet8_digit")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(format_version=2), "format_version 2, expected 1"),
        (lambda data: data.pop("form"), "not a checkpoint: 'form'"),
        (lambda data: data["form"].update(width="wide"), "not a checkpoint: .*width"),
        (lambda data: data["form"].update(colour="red"), "not a checkpoint: .*colour"),
        (lambda data: data["form"].update(quantizer="best"), "not a checkpoint: .*quantizer"),
        (lambda data: data["form"].pop("bits"), "not a checkpoint: .*bits"),
        (lambda data: data.pop("name"), "not a checkpoint: 'name'"),
    ],
)
def test_a_damaged_description_is_refused(folder: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    edit(folder, change)
    with pytest.raises(CheckpointError, match=message):
        find_checkpoint(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe"])
def test_a_description_that_is_no_json_object_is_refused(folder: Path, content: bytes) -> None:
    (folder / "checkpoint.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.json"):
        find_checkpoint(folder)


def test_the_hash_covers_graph_form_and_weights(folder: Path) -> None:
    hashes = {find_checkpoint(folder).sha256}
    edit(folder, lambda data: data["form"].update(residual_bits=6))
    hashes.add(find_checkpoint(folder).sha256)
    edit(folder, lambda data: data.update(weights_sha256="0"))
    hashes.add(find_checkpoint(folder).sha256)
    (folder / "graph.json").write_text("{}", encoding="utf-8")
    hashes.add(find_checkpoint(folder).sha256)
    assert len(hashes) == 4


def test_metrics_are_no_part_of_the_hash(folder: Path) -> None:
    before = find_checkpoint(folder).sha256
    edit(folder, lambda data: data.update(metrics=None))
    assert find_checkpoint(folder).sha256 == before


def test_data_of_another_shape_is_refused(digits_network: MetaQuantizedNetwork) -> None:
    with pytest.raises(DataError, match=r"\(1, 28, 28\); resnet8_digits takes \(1, 8, 8\)"):
        evaluate(digits_network, find_checkpoint(NAME).graph, "mnist5k")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_gives_logits(architecture: str) -> None:
    model = create(architecture, input_channels=2, classes=7, width=4).eval()
    assert model(torch.zeros(3, 2, 32, 32)).shape == (3, 7)


def test_a_graph_network_is_no_network_for_images() -> None:
    assert "classifies nodes of a graph" in refusal("gat_cora")
