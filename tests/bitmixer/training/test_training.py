"""Training: the same recipe gives the same bits, also across an interruption; recipes are checked."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bitmixer import convert, load_network
from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import CheckpointError, DocumentError, TrainingError
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import create
from bitmixer.training import loop
from bitmixer.training.augmentation import augment
from bitmixer.training.recipe import Augmentation, Recipe, Stage, find_recipe, load_recipe, packaged_recipes
from bitmixer.training.three_stage import assignments

RECIPE = """\
schema_version: 1
name: tiny
architecture: resnet8
width: 2
data: digits
bits: [2, 8]
seed: 3
batch_size: 32
augmentation: {shift: 1, noise: 0.2}
stages:
  - {name: activations, epochs: 1, learning_rate: 4.0e-3}
  - {name: weights, epochs: 1, learning_rate: 2.0e-3}
  - {name: transitions, epochs: 2, learning_rate: 2.0e-3}
"""


def written(folder: Path, text: str = RECIPE) -> Path:
    file = folder / "tiny.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return load_recipe(written(tmp_path_factory.mktemp("recipe")))


class InterruptionError(Exception):
    pass


def train(recipe: Recipe, folder: Path, *, stop_after: int | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def progress(row: dict[str, Any]) -> None:
        rows.append(row)
        if row["epoch"] == stop_after:
            raise InterruptionError

    loop.train(recipe, RECIPE, folder, progress=progress)
    return rows


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def trained(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(recipe, folder)
    return folder


def test_the_same_recipe_gives_the_same_weights(recipe: Recipe, trained: Path, tmp_path: Path) -> None:
    rows = train(recipe, tmp_path)
    assert [(row["epoch"], row["stage"]) for row in rows] == [
        (1, "activations"), (2, "weights"), (3, "transitions"), (4, "transitions"),
    ]  # fmt: skip
    assert weights(tmp_path) == weights(trained)


def test_another_seed_gives_other_weights(recipe: Recipe, trained: Path, tmp_path: Path) -> None:
    train(recipe.model_copy(update={"seed": 4}), tmp_path)
    assert weights(tmp_path) != weights(trained)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_an_interrupted_training_goes_on_to_the_same_bits(
    recipe: Recipe, trained: Path, tmp_path: Path, epochs: int
) -> None:
    with pytest.raises(InterruptionError):
        train(recipe, tmp_path, stop_after=epochs)
    assert not (tmp_path / "weights.safetensors").exists()
    rows = train(recipe, tmp_path)
    assert [row["epoch"] for row in rows] == list(range(epochs, 5))
    assert weights(tmp_path) == weights(trained)


def test_the_checkpoint_says_how_it_came_about(trained: Path) -> None:
    content = json.loads((trained / "checkpoint.json").read_text(encoding="utf-8"))
    assert content["metrics"]["training"]["epochs"] == 4
    assert content["metrics"]["training"]["seed"] == 3
    assert set(content["metrics"]["uniform"]) == {"2", "8"}
    assert (trained / "recipe.yaml").read_text(encoding="utf-8") == RECIPE
    assert load_network(trained).bits == (2, 8)


@pytest.mark.parametrize(("quantizer", "granularity"), [("dorefa", "channel"), ("lsq", "channel")])
def test_the_quantiser_of_a_recipe_is_trained_and_kept(
    recipe: Recipe, tmp_path: Path, quantizer: str, granularity: str
) -> None:
    options = {"quantizer": quantizer, "granularity": granularity, "bits": (1, 8)}
    train(recipe.model_copy(update=options), tmp_path)
    network = load_network(tmp_path)
    assert dataclasses.asdict(network.quantization) == {"quantizer": quantizer, "granularity": granularity}
    assert network.bits == (1, 8)


def test_training_learns(recipe: Recipe, tmp_path: Path) -> None:
    longer = {"epochs": 8, "learning_rate": 1e-2}
    stages = tuple(stage.model_copy(update=longer) for stage in recipe.stages)
    rows = train(recipe.model_copy(update={"stages": stages, "width": 4}), tmp_path)
    assert rows[7]["loss"] < rows[0]["loss"]
    metrics = json.loads((tmp_path / "checkpoint.json").read_text(encoding="utf-8"))["metrics"]
    assert metrics["uniform"]["8"] > 0.5  # chance is 0.1
    assert metrics["uniform"]["2"] > 0.3


def test_training_leaves_the_process_as_it_was(recipe: Recipe, tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train(recipe, tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert float(torch.tensor(2e-40) * 0.5) > 0.0  # denormals are not flushed any more


def test_the_state_of_another_recipe_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(InterruptionError):
        train(recipe, tmp_path, stop_after=1)
    with pytest.raises(CheckpointError, match="belongs to another training; choose another --out or delete it"):
        train(recipe.model_copy(update={"seed": 4}), tmp_path)


def emptied(content: bytes) -> bytes:
    return b""


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def garbled(content: bytes) -> bytes:
    return b"not a state" * 100


@pytest.mark.parametrize("damage", [emptied, truncated, garbled])
def test_a_damaged_state_is_refused(recipe: Recipe, tmp_path: Path, damage: Any) -> None:
    with pytest.raises(InterruptionError):
        train(recipe, tmp_path, stop_after=1)
    file = tmp_path / loop.STATE
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CheckpointError, match=r"damaged .*; delete it to start again"):
        train(recipe, tmp_path)


def test_an_incomplete_state_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(InterruptionError):
        train(recipe, tmp_path, stop_after=1)
    content = torch.load(tmp_path / loop.STATE, weights_only=True)
    for key in ("identity", "optimizer", "generator"):
        torch.save({name: value for name, value in content.items() if name != key}, tmp_path / loop.STATE)
        with pytest.raises(CheckpointError, match=f"damaged \\('{key}'\\)"):
            train(recipe, tmp_path)
    torch.save([1, 2], tmp_path / loop.STATE)
    with pytest.raises(CheckpointError, match="damaged"):
        train(recipe, tmp_path)


def test_a_batch_larger_than_the_data_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="batch_size 999 is more than the 160 training images"):
        train(recipe.model_copy(update={"batch_size": 999}), tmp_path)


def test_a_loss_that_is_no_number_stops_the_training(recipe: Recipe, tmp_path: Path) -> None:
    explosive = tuple(stage.model_copy(update={"learning_rate": 1e30}) for stage in recipe.stages)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train(recipe.model_copy(update={"stages": explosive}), tmp_path)


# Recipes.


@pytest.mark.parametrize("name", sorted(file.stem for file in packaged_recipes().glob("*.yaml")))
def test_packaged_recipes_are_valid_and_found_by_name(name: str) -> None:
    assert load_recipe(find_recipe(name)).name == name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("resnet8", "resnet_8", r"tiny.yaml:3:15: architecture: .*did you mean 'resnet8'"),
        ("digits", "digit", r"tiny.yaml:5:7: data: .*did you mean 'digits'"),
        ("[2, 8]", "[0, 8]", r"tiny.yaml:6:7: bits: .*from 1 to 8"),
        ("width: 2", "widht: 2", r"tiny.yaml:4:1: widht: unknown key 'widht': did you mean 'width'"),
        ("name: weights", "name: weight", r"tiny.yaml:12:12: stages.1.name: .*did you mean 'weights'"),
        ("name: activations", "name: transitions", r"stages: .*expected some of float, activations, planes, weights"),
        ("seed: 3", "seed: 3\nquantizer: dorefer", r"tiny.yaml:8:12: quantizer: .*did you mean 'dorefa'"),
        ("seed: 3", "seed: 3\ngranularity: channels", r"granularity: .*did you mean 'channel'"),
        ("seed: 3", "seed: 3\ndistillation: {teacher: float}", r"there is no float network to learn from: add a first"),
        ("1, learning_rate: 4.0e-3", "1, learning_rate: 4.0e-3, passes: [random]", r"needs the pass 'highest'"),
        ("seed: 3", 'seed: 3\nstep_learning_rates: {"4": 0.1}', r"no layer has 4 bits: expected one of 2, 8"),
        ("batch_size: 32", "batch_size: 1", r"tiny.yaml:8:13: batch_size"),
        ("4.0e-3", "-1", r"learning_rate"),
        ("name: tiny", "name: Tiny Net", r"tiny.yaml:2:7: name"),
    ],
)
def test_a_wrong_recipe_is_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in RECIPE
    with pytest.raises(DocumentError, match=message):
        load_recipe(written(tmp_path, RECIPE.replace(old, new, 1)))


def test_a_missing_recipe_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="did you mean 'resnet8_digits'"):
        find_recipe("resnet8_digit")
    with pytest.raises(DocumentError, match="neither a file nor packaged"):
        find_recipe(str(tmp_path / "missing.yaml"))
    assert find_recipe(str(written(tmp_path))) == tmp_path / "tiny.yaml"


# What each step trains.


def stage(name: str, *passes: str) -> Stage:
    return Stage.model_validate({"name": name, "epochs": 1, "learning_rate": 1.0, "passes": passes})


def tiny(**options: Any) -> MetaQuantizedNetwork:
    return convert(create("resnet8", input_channels=1, classes=10, width=2), [2, 4, 8], **options)


@pytest.mark.parametrize("name", ["activations", "weights"])
def test_the_first_stages_train_one_width_for_the_whole_network(name: str) -> None:
    network, generator = tiny(), np.random.default_rng(0)
    drawn = [assignments(network, stage(name, "random", "highest"), 0.5, generator) for _ in range(30)]
    assert {passes[0] for passes in drawn} == {network.uniform(8)}  # the widest comes first: it may teach
    assert {passes[1] for passes in drawn} == {network.uniform(2), network.uniform(4)}


def test_the_sandwich_draws_between_its_ends() -> None:
    network = tiny()
    passes = assignments(network, stage("weights", "lowest", "random", "highest"), 0.5, np.random.default_rng(0))
    assert passes == [network.uniform(8), network.uniform(4), network.uniform(2)]


def test_untied_widths_are_drawn_apart() -> None:
    network, generator = tiny(tied=False), np.random.default_rng(0)
    drawn = {assignments(network, stage("weights", "random"), 0.5, generator)[0] for _ in range(200)}
    assert drawn == {network.uniform(BitWidths(w, a)) for w in (2, 4, 8) for a in (2, 4, 8)}


def test_the_last_stage_grows_more_random() -> None:
    network = tiny()
    uniform = [network.uniform(bits) for bits in network.bits]

    def mixed_share(progress: float) -> float:
        generator = np.random.default_rng(1)
        drawn: list[BitAssignment] = []
        for _ in range(100):
            drawn += assignments(network, stage("transitions", "random", "random"), progress, generator)
        return sum(assignment not in uniform for assignment in drawn) / len(drawn)

    shares = [mixed_share(progress) for progress in (0.0, 0.1, 1.0)]
    assert shares[0] == 0.0
    assert 0.0 < shares[1] < shares[2]
    assert shares[2] > 0.75


# Augmentation.


def test_no_augmentation_changes_nothing() -> None:
    images = torch.rand(4, 2, 6, 6)
    assert torch.equal(augment(images, Augmentation(), np.random.default_rng(0)), images)


def test_shifts_move_whole_images_within_their_bound() -> None:
    images = torch.zeros(200, 2, 9, 9)
    images[:, 0, 4, 4], images[:, 1, 4, 4] = 1.0, 0.5
    shifted = augment(images, Augmentation(shift=2), np.random.default_rng(0))
    assert shifted.shape == images.shape
    places = shifted[:, 0].flatten(1).argmax(dim=1)
    rows, columns = places // 9, places % 9
    assert set(rows.tolist()) == set(columns.tolist()) == {2, 3, 4, 5, 6}
    assert torch.equal(shifted[:, 1], shifted[:, 0] * 0.5)
    assert torch.equal(shifted.sum(dim=(2, 3)), images.sum(dim=(2, 3)))


def test_noise_stays_in_range_and_differs_between_images() -> None:
    images = torch.full((50, 1, 16, 16), 0.5)
    noisy = augment(images, Augmentation(noise=0.1), np.random.default_rng(0))
    assert float(noisy.min()) >= 0.0
    assert float(noisy.max()) <= 1.0
    deviations = noisy.flatten(1).std(dim=1)
    assert float(deviations.max()) < 0.12
    assert float(deviations.min()) < 0.02
