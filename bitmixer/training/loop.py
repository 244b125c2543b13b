"""The training loop: three stages, resumable between epochs, ending in a checkpoint."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bitmixer.bitwidths import BitAssignment
from bitmixer.capturing import capture
from bitmixer.data import ImageSet, load_image_set
from bitmixer.errors import TrainingError
from bitmixer.evaluation import evaluate
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks.checkpoint import Checkpoint, NetworkForm, build, save_checkpoint
from bitmixer.training import three_stage
from bitmixer.training.augmentation import augment
from bitmixer.training.recipe import Recipe, Stage
from bitmixer.training.state import TrainingState

CALIBRATION_IMAGES = 256
Progress = Callable[[dict[str, Any]], None]


def train(recipe: Recipe, recipe_text: str, folder: Path, *, progress: Progress = lambda row: None) -> Checkpoint:
    """Train a recipe to its end and write the checkpoint into ``folder``.

    Interrupted at any time, it goes on from the last whole epoch when called again, to the same bits.

    Args:
        recipe: What to train.
        recipe_text: Its text, kept with the checkpoint.
        folder: Where the training state and the checkpoint go.
        progress: Called after every epoch with its row of the history; when a training is taken up again,
            first with the last row that was kept.

    Raises:
        TrainingError: A batch is larger than the data, or the loss is no longer a number.
        CheckpointError: The state in ``folder`` is damaged or belongs to another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = load_image_set(recipe.data)
    if len(images.train_labels) < recipe.batch_size:
        raise TrainingError(
            f"recipe {recipe.name}: batch_size {recipe.batch_size} is more than the "
            f"{len(images.train_labels)} training images of {recipe.data}: make it smaller"
        )
    form = _form(recipe, images)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(recipe.seed)
        network = build(form).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(network, recipe)
    state = TrainingState(
        recipe_sha256=hashlib.sha256(recipe.model_dump_json().encode()).hexdigest(),
        generator=np.random.default_rng(recipe.seed),
    )
    if state.restore(folder, network, optimizer):
        progress(state.history[-1])
    else:
        network.calibrate_activations(torch.from_numpy(images.train_inputs[:CALIBRATION_IMAGES]))
    for stage, epoch in _epochs(recipe)[state.epoch :]:
        if epoch == 0:
            three_stage.enter(network, stage)
        began = time.perf_counter()
        with _denormals_flushed():
            loss = _epoch(network, optimizer, recipe, images, state.generator, stage=stage, epoch=epoch)
        if not math.isfinite(loss):
            raise TrainingError(f"stage {stage.name}, epoch {epoch + 1}: the loss is {loss}: lower the learning rate")
        state.epoch += 1
        seconds = time.perf_counter() - began
        row = {"epoch": state.epoch, "stage": stage.name, "loss": loss, "seconds": round(seconds, 2)}
        state.history.append(row)
        state.save(folder, network, optimizer)
        progress(row)
    return _finish(recipe, recipe_text, folder, network, form=form, history=state.history)


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Round to zero what is almost zero: dying weights would make training several times slower."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


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
    )


def _optimizer(network: MetaQuantizedNetwork, recipe: Recipe) -> torch.optim.Optimizer:
    """Return AdamW that decays weights but neither steps nor norms."""
    decayed = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    kept = [parameter for parameter in network.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0)


def _epochs(recipe: Recipe) -> list[tuple[Stage, int]]:
    return [(stage, epoch) for stage in recipe.stages for epoch in range(stage.epochs)]


def _epoch(
    network: MetaQuantizedNetwork,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    images: ImageSet,
    generator: np.random.Generator,
    *,
    stage: Stage,
    epoch: int,
) -> float:
    network.train()
    three_stage.quantize(network, stage)
    order = generator.permutation(len(images.train_labels))
    steps = len(order) // recipe.batch_size
    total = 0.0
    for step in range(steps):
        chosen = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
        inputs = augment(torch.from_numpy(images.train_inputs[chosen]), recipe.augmentation, generator)
        inputs = inputs.to(memory_format=torch.channels_last)
        labels = torch.from_numpy(images.train_labels[chosen])
        done = (epoch + step / steps) / stage.epochs
        for group in optimizer.param_groups:
            group["lr"] = stage.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))
        optimizer.zero_grad(set_to_none=True)
        students = three_stage.students(network, stage, done, recipe.random_assignments, generator)
        total += _step(network, students, inputs, labels, distillation=recipe.distillation)
        optimizer.step()
    return total / steps


def _step(
    network: MetaQuantizedNetwork,
    students: Sequence[BitAssignment],
    inputs: Tensor,
    labels: Tensor,
    *,
    distillation: float,
) -> float:
    """Accumulate the gradients of the highest width and of its students; return the mean loss."""
    network.assign(network.uniform(max(network.bits)))
    logits = network(inputs)
    loss = F.cross_entropy(logits, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    losses = [loss.item()]
    teacher = logits.detach().log_softmax(dim=1)
    for assignment in students:
        network.assign(assignment)
        logits = network(inputs)
        loss = F.cross_entropy(logits, labels)
        if distillation:
            divergence = F.kl_div(logits.log_softmax(dim=1), teacher, reduction="batchmean", log_target=True)
            loss = loss + distillation * divergence
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.item())
    return sum(losses) / len(losses)


def _finish(
    recipe: Recipe,
    recipe_text: str,
    folder: Path,
    network: MetaQuantizedNetwork,
    *,
    form: NetworkForm,
    history: list[dict[str, Any]],
) -> Checkpoint:
    network = network.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    network.quantize()
    graph = capture(network, torch.from_numpy(load_image_set(recipe.data).test_inputs[:1]), name=recipe.name)
    metrics = evaluate(network, graph, recipe.data, random_assignments=50, seed=recipe.seed).as_dict()
    metrics["training"] = {
        "seed": recipe.seed,
        "epochs": len(history),
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "final_loss": history[-1]["loss"],
    }
    return save_checkpoint(folder, network, graph, form, metrics, name=recipe.name, recipe=recipe_text)
