"""What teaches a pass besides the labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from bitmixer.training.recipe import Distillation

Teacher = Callable[[Tensor], Tensor]
"""Inputs -> logits, shape (batch, classes)."""


class Lesson:
    """The losses of one step's passes, which may teach each other.

    Args:
        settings: Who teaches, and how strongly.
        inputs: The step's images.
        labels: Their labels.
        teacher: The float network where the settings ask for it.
    """

    def __init__(self, settings: Distillation, inputs: Tensor, labels: Tensor, teacher: Teacher | None) -> None:
        self._settings = settings
        self._labels = labels
        self._taught_by: Tensor | None = None
        if settings.teacher == "float":
            assert teacher is not None
            with torch.no_grad():
                self._taught_by = self._softened(teacher(inputs))

    def loss(self, logits: Tensor) -> Tensor:
        """Return the loss of the next pass, widest first."""
        logits = logits.float()
        loss = F.cross_entropy(logits, self._labels)
        if self._taught_by is not None:
            divergence = F.kl_div(self._softened(logits), self._taught_by, reduction="batchmean", log_target=True)
            loss = loss + self._settings.weight * self._settings.temperature**2 * divergence
        is_first = self._taught_by is None
        if self._settings.teacher == "recursive" or (self._settings.teacher == "highest" and is_first):
            self._taught_by = self._softened(logits.detach())
        return loss

    def _softened(self, logits: Tensor) -> Tensor:
        return (logits.float() / self._settings.temperature).log_softmax(dim=1)
