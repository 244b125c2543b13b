"""From a recipe to a checkpoint: the float network first where the recipe asks for it, then its quantised twin."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitmixer.assignment_file import save_assignment
from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.capturing import capture
from bitmixer.data import ImageSet, load_image_set
from bitmixer.errors import DataError, TrainingError
from bitmixer.evaluation import evaluate
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks.checkpoint import Checkpoint, NetworkForm, original_of, save_checkpoint, twin_of
from bitmixer.output_files import make_folder
from bitmixer.training.column_sparsity import ColumnLasso
from bitmixer.training.identity import identity_of, identity_of_all
from bitmixer.training.phase import Phase, Progress
from bitmixer.training.ranks import ALONE, Ranks, joined
from bitmixer.training.recalibration import recalibrate_norms
from bitmixer.training.recipe import Distillation, Recipe, Training
from bitmixer.training.scheme_search import Found, find_scheme, stages_up_to_planes

FLOAT_STATE = "float_state.pt"
STATE = "training_state.pt"
SCHEME = "scheme.json"
ASSIGNMENT = "assignment.json"
NO_TEACHER = Distillation(teacher="none")
FLOAT_FIELDS = {
    "seed", "batch_size", "weight_decay", "augmentation", "precision", "float8", "architecture", "width", "data"
}  # fmt: skip
"""What decides the course of the float stage: trainings that differ in nothing else can share its state."""


def train(
    recipe: Recipe,
    recipe_text: str,
    folder: Path,
    *,
    device: str = "cpu",
    progress: Progress = lambda row: None,
) -> Checkpoint | None:
    """Train a recipe to its end and write the checkpoint into ``folder``.

    Interrupted at any time, it goes on from the last whole epoch when called again, to the same bits.

    Args:
        recipe: What to train.
        recipe_text: Its text, kept with the checkpoint.
        folder: Where the training state and the checkpoint go.
        device: Where to compute; processes started by ``torchrun`` share every batch.
        progress: Called after every epoch with its row of the history; when a training is taken up again,
            first with the last row that was kept.

    Returns:
        The checkpoint; ``None`` in all processes but the first.

    Raises:
        TrainingError: A batch is larger than the data, or the loss is no longer a number.
        CheckpointError: The state in ``folder`` is damaged or belongs to another recipe.
    """
    make_folder(folder)
    images = load_image_set(recipe.data)
    form = _form(recipe, images)
    with joined(device) as ranks:
        original, history = train_float(recipe, images, folder, ranks=ranks, progress=progress)
        scheme = None
        if recipe.sparsity is None:
            network = _placed(twin_of(original, form), ranks)
        else:
            found = find_scheme(
                lambda scheme: _placed(twin_of(original, _at(form, scheme)), ranks),
                images, recipe, recipe.sparsity, folder, ranks=ranks, identity=identity_of(recipe),
                epochs_before=len(history), progress=progress,
            )  # fmt: skip
            network, history = found.network, history + found.history
            form = _at(form, found.scheme.assignment)
            scheme = _described(found, recipe, images, folder)
        history += fit(
            network, images, _after_planes(recipe), folder, teacher=original, ranks=ranks, identity=identity_of(recipe),
            epochs_before=len(history), progress=progress, is_calibrated=scheme is not None,
        )  # fmt: skip
        if not ranks.is_first:
            return None
    return _finish(recipe, recipe_text, folder, network, form=form, images=images, history=history, scheme=scheme)


def train_float(
    recipe: Recipe,
    images: ImageSet,
    folder: Path,
    *,
    ranks: Ranks | None = None,
    progress: Progress = lambda row: None,
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Make a recipe's network and train its float stage, if it has one; return both it and the history.

    Interrupted at any time, it goes on from the last whole epoch when called again, to the same bits.

    Args:
        recipe: What to train; of its stages, the one named ``float`` counts.
        images: The images of ``recipe.data``.
        folder: Where the training state goes.
        ranks: This process among all that train together; alone on the CPU if not given.
        progress: Called after every epoch with its row.

    Raises:
        TrainingError: A batch is larger than the data, or the loss is no longer a number.
        CheckpointError: The state in ``folder`` is damaged or belongs to another recipe.
    """
    make_folder(folder)
    place = ranks or ALONE
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(recipe.seed)
        original: nn.Module = _placed(original_of(_form(recipe, images)), place)
    part = recipe.model_copy(update={"stages": recipe.float_stages, "distillation": NO_TEACHER})
    phase = _phase(original, images, part, folder / FLOAT_STATE, identity_of(part, FLOAT_FIELDS), place)
    return original, phase.run(epochs_before=0, progress=progress)


def fit(
    network: MetaQuantizedNetwork,
    images: ImageSet,
    training: Training,
    folder: Path | str,
    *,
    teacher: nn.Module | None = None,
    ranks: Ranks | None = None,
    identity: str | None = None,
    epochs_before: int = 0,
    is_calibrated: bool = False,
    progress: Progress = lambda row: None,
) -> list[dict[str, Any]]:
    """Train any meta-quantized network, and return the history, a row per epoch.

    Interrupted at any time, it goes on from the last whole epoch when called again with the same network (seed torch
    before making it), images and folder, to the same bits. Afterwards the quantisers are on, in evaluation mode.

    Args:
        network: The network, as :func:`bitmixer.conversion.convert` returned it; trained in place.
        images: What it is trained on.
        training: How; a float stage is left out, as the network is a twin already.
        folder: Where the training state is kept.
        teacher: The float network, where the training's distillation asks for one.
        ranks: This process among all that train together; alone on the CPU if not given.
        identity: What the training state must belong to; by default a hash of the training, the network with its
            weights as they are given, and the images.
        epochs_before: Epochs trained before, for the numbers in the history.
        is_calibrated: Whether the network's steps are set already, and are to be trained on as they are.
        progress: Called after every epoch with its row.

    Raises:
        TrainingError: A batch is larger than the data, the float teacher is missing, a stage ``planes`` is among the
            stages (:func:`bitmixer.training.scheme_search.find_scheme`), or the loss is no longer a number.
        DataError: A label is not one of the network's classes.
        OutputError: Nothing can be written into ``folder``.
        CheckpointError: The state in ``folder`` is damaged or belongs to another training.
    """
    if training.distillation.teacher == "float" and teacher is None:
        raise TrainingError("the distillation asks for a float network to learn from: give it as teacher")
    if stages_up_to_planes(training):
        raise TrainingError("the stage 'planes' looks for a scheme: train it with find_scheme, and what follows here")
    if not isinstance(network, MetaQuantizedNetwork):
        raise TrainingError(f"{type(network).__name__} is not meta-quantized: give what bitmixer.convert returns")
    folder = Path(folder)
    make_folder(folder)
    place = ranks or ALONE
    _require_classes(network, images, place)
    part = training.model_copy(update={"stages": training.quantized_stages})
    phase = _phase(network, images, part, folder / STATE, identity or identity_of_all(training, network, images), place)
    phase.is_calibrated = is_calibrated
    if training.column_sparsity is not None:
        graph = capture(network, torch.from_numpy(images.train_inputs[:1]).to(place.device))
        phase.regularizer = ColumnLasso(network, graph, training.column_sparsity)
    if training.distillation.teacher == "float" and teacher is not None:
        phase.teacher = teacher.eval()
    history = phase.run(epochs_before=epochs_before, progress=progress)
    network.eval()
    if not is_calibrated and all(stage.name == "activations" for stage in part.stages):
        network.calibrate_weights()  # no stage did
    network.quantize()
    if training.recalibration_batches:
        generator = np.random.default_rng(training.seed + 1)
        recalibrate_norms(network, _recalibration_batches(phase, generator), generator)
    return history


def _require_classes(network: MetaQuantizedNetwork, images: ImageSet, ranks: Ranks) -> None:
    was_training = network.training
    with torch.no_grad():
        classes = network.eval()(torch.from_numpy(images.train_inputs[:1]).to(ranks.device)).shape[1]
    network.train(was_training)
    for split, labels in (("train", images.train_labels), ("test", images.test_labels)):
        if len(labels) and labels.max() >= classes:
            raise DataError(
                f"{split} split: label {labels.max()} (input {labels.argmax()}), but the network has {classes} logits: "
                f"expected labels from 0 to {classes - 1}"
            )


def _recalibration_batches(phase: Phase, generator: np.random.Generator) -> Iterator[Tensor]:
    for _ in range(phase.training.recalibration_batches):
        chosen = generator.choice(len(phase.images.train_labels), phase.training.batch_size, replace=False)
        yield phase.augmented(chosen, generator)[0]


def _phase(network: nn.Module, images: ImageSet, training: Training, file: Path, identity: str, ranks: Ranks) -> Phase:
    if len(images.train_labels) < training.batch_size:
        raise TrainingError(
            f"batch_size {training.batch_size} is more than the {len(images.train_labels)} training images: "
            "make it smaller"
        )
    return Phase(
        network=network, images=images, training=training, stages=training.stages, file=file, identity=identity,
        teacher=None, ranks=ranks,
    )  # fmt: skip


def total_epochs(recipe: Recipe) -> int:
    """Return the number of epochs of all stages."""
    return sum(stage.epochs for stage in recipe.stages)


def _form(recipe: Recipe, images: ImageSet) -> NetworkForm:
    return NetworkForm(
        architecture=recipe.architecture,
        width=recipe.width,
        input_channels=images.train_inputs.shape[1],
        classes=int(images.train_labels.max()) + 1,
        bits=recipe.bits,
        residual_bits=recipe.residual_bits,
        tied=recipe.tied,
        norm=recipe.norm,
        quantizer=recipe.quantizer,
        granularity=recipe.granularity,
        scheme=None if recipe.scheme is None else dict(BitAssignment(recipe.scheme)),
        pinned=recipe.pinned,
    )


def _at(form: NetworkForm, scheme: Mapping[str, BitWidths] | None) -> NetworkForm:
    return dataclasses.replace(form, scheme=None if scheme is None else dict(scheme))


def _after_planes(recipe: Recipe) -> Recipe:
    """Return a recipe without the stages in which a scheme is found."""
    done = stages_up_to_planes(recipe)
    return recipe.model_copy(update={"stages": tuple(stage for stage in recipe.stages if stage not in done)})


def _described(found: Found, recipe: Recipe, images: ImageSet, folder: Path) -> dict[str, Any]:
    """Return what was found, and how right it is before it is trained on; kept in ``scheme.json``."""
    file = folder / SCHEME
    save_assignment(folder / ASSIGNMENT, found.scheme.assignment)
    if file.is_file():
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return kept
    network = copy.deepcopy(found.network).to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    network.quantize()
    graph = capture(network.eval(), torch.from_numpy(images.test_inputs[:1]), name=recipe.name)
    (accuracy,) = evaluate(network, graph, recipe.data).uniform.values()
    described = {**found.scheme.as_dict(), "accuracy_before_fine_tuning": accuracy}
    file.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    return described


def _placed(network: Any, ranks: Ranks) -> Any:
    return network.to(ranks.device, memory_format=torch.channels_last)


def _finish(
    recipe: Recipe,
    recipe_text: str,
    folder: Path,
    network: MetaQuantizedNetwork,
    *,
    form: NetworkForm,
    images: ImageSet,
    history: list[dict[str, Any]],
    scheme: dict[str, Any] | None,
) -> Checkpoint:
    network = network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    graph = capture(network, torch.from_numpy(images.test_inputs[:1]), name=recipe.name)
    drawn = 50 if form.scheme is None else 0
    metrics = evaluate(network, graph, recipe.data, random_assignments=drawn, seed=recipe.seed).as_dict()
    if scheme is not None:
        metrics["scheme"] = scheme
    metrics["training"] = {
        "seed": recipe.seed,
        "epochs": len(history),
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "final_loss": history[-1]["loss"],
    }
    return save_checkpoint(folder, network, graph, form, metrics, name=recipe.name, recipe=recipe_text)
