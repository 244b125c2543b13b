"""A run of stages over one network: resumable between epochs, to the same bits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitmixer.bitwidths import BitAssignment
from bitmixer.data import ImageSet
from bitmixer.errors import TrainingError
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.training import three_stage
from bitmixer.training.arithmetic import Arithmetic
from bitmixer.training.augmentation import augment
from bitmixer.training.distillation import Lesson, Teacher
from bitmixer.training.float8 import Float8Arithmetic
from bitmixer.training.optimizer import Optimizer, build_optimizer
from bitmixer.training.ranks import Ranks
from bitmixer.training.recipe import Stage, Training
from bitmixer.training.regularizer import Regularizer
from bitmixer.training.state import TrainingState

CALIBRATION_IMAGES = 256
CALIBRATED = ("planes", "weights", "transitions")
"""Stages that start with the steps of weights set."""
IMAGE_RANK = 4
"""Axes of a batch of images (n, channels, height, width); sequences and features have fewer."""

Progress = Callable[[dict[str, Any]], None]


@dataclass(kw_only=True, eq=False)
class Phase:
    """Stages that train one network.

    Attributes:
        network: What is trained: a float network, or a meta-quantized one.
        images: What it is trained on.
        training: How.
        stages: The stages of this phase.
        file: Where its state is kept.
        identity: Hash of all that decides its course; a state with another one is refused.
        teacher: The float network that teaches, where the training asks for one.
        ranks: This process among all that train together.
        regularizer: What one of the stages trains besides its losses.
        is_calibrated: Whether all steps of a meta-quantized network are set already.
    """

    network: nn.Module
    images: ImageSet
    training: Training
    stages: tuple[Stage, ...]
    file: Path
    identity: str
    teacher: Teacher | None
    ranks: Ranks
    regularizer: Regularizer | None = None
    is_calibrated: bool = False

    def run(self, *, epochs_before: int, progress: Progress) -> list[dict[str, Any]]:
        """Train to the end and return the history, a row per epoch; goes on where the state's file ends.

        Args:
            epochs_before: Epochs of earlier phases, for the numbers of this one's.
            progress: Called with every new row; when a training is taken up again, first with the last one kept.

        Raises:
            TrainingError: The loss is no longer a number.
            CheckpointError: The state is damaged or belongs to another training.
        """
        generator = np.random.default_rng(self.training.seed)
        state = TrainingState(identity=self.identity, generator=generator)
        if state.restore(self.file, self.network):
            if self.ranks.is_first:
                progress(state.history[-1])
        elif isinstance(self.network, MetaQuantizedNetwork) and not self.is_calibrated:
            self.network.calibrate_activations(self._tensor(self.images.train_inputs[:CALIBRATION_IMAGES]))
        arithmetic = self._arithmetic(state)
        optimizer = None
        for stage, epoch in self._epochs()[state.epoch :]:
            if epoch == 0 and isinstance(self.network, MetaQuantizedNetwork):
                calibrated = self.is_calibrated or any(row["stage"] in CALIBRATED for row in state.history)
                three_stage.enter(
                    self.network, stage, weights_are_calibrated=calibrated,
                    transitions_are_trained=self.is_calibrated and not state.history,
                )  # fmt: skip
            regularizer = self.regularizer
            if regularizer is not None and regularizer.stage != stage.name:
                regularizer = None
            afresh = regularizer is not None and regularizer.begin_epoch(epoch)
            if epoch == 0 or afresh or optimizer is None:
                optimizer = build_optimizer(self.network, self.training, stage)
                if epoch and not afresh:
                    state.restore_optimizer(self.file, optimizer)
            arithmetic.begin_epoch(epochs_before + state.epoch)
            with _denormals_flushed():
                measured = self._epoch(
                    optimizer, generator, regularizer, arithmetic, stage=stage, epoch=epoch, epochs_done=state.epoch
                )
            if not math.isfinite(measured["loss"]):
                raise TrainingError(
                    f"stage {stage.name}, epoch {epoch + 1}: the loss is {measured['loss']}: lower the learning rate"
                )
            state.epoch += 1
            row = {"epoch": epochs_before + state.epoch, "stage": stage.name, **measured}
            state.history.append(row)
            if self.ranks.is_first:
                state.save(self.file, self.network, optimizer, arithmetic)
                progress(row)
        return state.history

    def _arithmetic(self, state: TrainingState) -> Arithmetic:
        settings = self.training.float8
        if settings is None:
            return Arithmetic()
        arithmetic = Float8Arithmetic(self.network, settings, seed=self.training.seed, ranks=self.ranks)
        if state.arithmetic:
            arithmetic.load_state_dict(state.arithmetic)
        return arithmetic

    def _epochs(self) -> list[tuple[Stage, int]]:
        return [(stage, epoch) for stage in self.stages for epoch in range(stage.epochs)]

    def _epoch(
        self,
        optimizer: Optimizer,
        generator: np.random.Generator,
        regularizer: Regularizer | None,
        arithmetic: Arithmetic,
        *,
        stage: Stage,
        epoch: int,
        epochs_done: int,
    ) -> dict[str, Any]:
        began = time.perf_counter()
        self.network.train()
        if isinstance(self.network, MetaQuantizedNetwork):
            three_stage.quantize(self.network, stage)
        total = torch.zeros(2)
        batches = list(self._batches(generator))
        for step, chosen in enumerate(batches):
            done = (epoch + step / len(batches)) / stage.epochs
            rate = optimizer.set_learning_rates(stage, done)
            inputs, labels = self.augmented(chosen, generator)
            optimizer.zero_grad()
            passes = self._assignments(stage, done, generator)
            with arithmetic.products(is_counted=step == len(batches) - 1):
                total += self._step(passes, inputs, labels, arithmetic.loss_scale)
            if regularizer is not None:
                (regularizer.penalty() * arithmetic.loss_scale).backward()  # type: ignore[no-untyped-call]
            self.ranks.average_gradients(self.network)
            arithmetic.step(optimizer, done=(epochs_done + (step + 1) / len(batches)) / len(self._epochs()))
            if regularizer is not None:
                regularizer.after_step()
        self.ranks.average_statistics(self.network)
        self.ranks.average([total])
        loss, accuracy = (total / len(batches)).tolist()
        seconds = round(time.perf_counter() - began, 2)
        found = {} if regularizer is None else regularizer.measured()
        return {
            "loss": loss, "training_accuracy": accuracy, "learning_rate": rate, "seconds": seconds,
            "half_squared_norm": optimizer.half_squared_norm(), **found, **arithmetic.measured(),
        }  # fmt: skip

    def _batches(self, generator: np.random.Generator) -> Iterator[Any]:
        order = generator.permutation(len(self.images.train_labels))
        size = self.training.batch_size
        yield from (order[start : start + size] for start in range(0, len(order) - size + 1, size))

    def augmented(self, chosen: Any, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return this process's share of the chosen training images, changed at random, and their labels."""
        images = augment(torch.from_numpy(self.images.train_inputs[chosen]), self.training.augmentation, generator)
        labels = torch.from_numpy(self.images.train_labels[chosen])
        return self._tensor(self.ranks.share(images)), self.ranks.share(labels).to(self.ranks.device)

    def _assignments(
        self, stage: Stage, done: float, generator: np.random.Generator
    ) -> list[BitAssignment] | list[None]:
        if isinstance(self.network, MetaQuantizedNetwork):
            return three_stage.assignments(self.network, stage, done, generator)
        return [None]

    def _step(
        self, passes: list[BitAssignment] | list[None], inputs: Tensor, labels: Tensor, loss_scale: float
    ) -> Tensor:
        """Accumulate the gradients of all passes, times the scale; return their mean loss and training accuracy."""
        lesson = Lesson(self.training.distillation, inputs, labels, self.teacher)
        measured = torch.zeros(2)
        for assignment in passes:
            if assignment is not None:
                assert isinstance(self.network, MetaQuantizedNetwork)
                self.network.assign(assignment)
            with self._products():
                logits = self.network(inputs)
            loss = lesson.loss(logits)
            (loss * loss_scale).backward()  # type: ignore[no-untyped-call]
            right = (logits.detach().argmax(dim=1) == labels).float().mean()
            measured += torch.stack([loss.detach(), right]).cpu()
        return measured / len(passes)

    def _products(self) -> torch.autocast:
        return torch.autocast(
            self.ranks.device.type, dtype=torch.bfloat16, enabled=self.training.precision == "bfloat16"
        )

    def _tensor(self, images: Any) -> Tensor:
        tensor = images if isinstance(images, Tensor) else torch.from_numpy(images)
        form = torch.channels_last if tensor.dim() == IMAGE_RANK else torch.contiguous_format
        return tensor.to(self.ranks.device, memory_format=form)


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Round to zero what is almost zero: dying weights would make training several times slower."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
