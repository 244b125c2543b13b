"""The column Lasso in the last stage of a network that switches its widths: arms, and what is measured of each.

Every arm trains the packaged checkpoint on for the same few epochs of its last stage, one of them without the Lasso.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bsq_hardware import priced_at_widths

from bitmixer import capture, load_network
from bitmixer.data import load_image_set
from bitmixer.evaluation import evaluate
from bitmixer.networks.checkpoint import Checkpoint, find_checkpoint, save_checkpoint
from bitmixer.training.loop import fit
from bitmixer.training.recipe import ColumnSparsity, Recipe, Stage, find_recipe, load_recipe

ROWS = 32
"""Output channels at once of the packaged profiles of BitWave and BitVert."""
SETTINGS = {
    "no Lasso": None,
    "10": ColumnSparsity(strength=10.0, rows=ROWS),
    "100": ColumnSparsity(strength=100.0, rows=ROWS),
    "1000": ColumnSparsity(strength=1000.0, rows=ROWS),
    "100, each output channel by itself": ColumnSparsity(strength=100.0),
}
EPOCHS = {"resnet8_digits": 20, "resnet20_mnist5k": 2, "resnet20_cifar10": 1}
"""Network -> epochs of every arm."""
LEARNING_RATE = 1.0e-3
"""Peak, as in the stage that the checkpoints come from."""
RANDOM_ASSIGNMENTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One training.

    Attributes:
        name: What the page calls it.
        network: The packaged checkpoint that it starts from.
        recipe: How it goes on: a last stage, with or without the Lasso.
    """

    name: str
    network: str
    recipe: Recipe


def arms(network: str) -> list[Arm]:
    """Return the arms of a network in the order in which they are trained."""
    base = load_recipe(find_recipe(network))
    stage = Stage(name="transitions", epochs=EPOCHS[network], learning_rate=LEARNING_RATE)
    return [
        Arm(
            name=name, network=network,
            recipe=base.model_copy(update={"stages": (stage,), "column_sparsity": settings}),
        )
        for name, settings in SETTINGS.items()
    ]  # fmt: skip


def measured(arm: Arm, runs: Path, *, train: bool) -> dict[str, Any] | None:
    """Return what the page needs of an arm; ``None`` where it is not trained and is not to be."""
    folder = runs / f"columns_{arm.network}_{list(SETTINGS).index(arm.name)}"
    if not (folder / "checkpoint.json").is_file() and not train:
        return None
    checkpoint = trained(arm, folder)
    assert checkpoint.metrics is not None
    settings, training = arm.recipe.column_sparsity, checkpoint.metrics["training"]
    return {
        "settings": None if settings is None else settings.model_dump(), "seed": arm.recipe.seed, **training,
        "uniform": checkpoint.metrics["uniform"], "random": checkpoint.metrics["random"],
        "inputs": checkpoint.metrics["inputs"], "hardware": priced_at_widths(checkpoint, ROWS),
    }  # fmt: skip


def trained(arm: Arm, folder: Path) -> Checkpoint:
    """Train an arm, or go on with it, or return it where it is done."""
    if (folder / "checkpoint.json").is_file():
        return find_checkpoint(folder)
    start = find_checkpoint(arm.network)
    assert start.form is not None
    network, images = load_network(arm.network), load_image_set(arm.recipe.data)
    history = fit(
        network, images, arm.recipe, folder, is_calibrated=True, progress=lambda row: print(arm.name, row, flush=True)
    )
    graph = capture(network, torch.from_numpy(images.test_inputs[:1]), name=folder.name)
    evaluation = evaluate(network, graph, arm.recipe.data, random_assignments=RANDOM_ASSIGNMENTS, seed=arm.recipe.seed)
    metrics = evaluation.as_dict() | {
        "training": {
            "epochs": len(history), "seconds": round(sum(row["seconds"] for row in history), 1),
            "images": len(history) * (len(images.train_labels) // arm.recipe.batch_size) * arm.recipe.batch_size,
            "occupied_columns": history[-1].get("occupied_columns"),
        }
    }  # fmt: skip
    return save_checkpoint(folder, network, graph, start.form, metrics, name=folder.name, recipe=None)
