"""What numbers a training computes with: real ones here, a narrower format in a subclass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bitmixer.training.optimizer import Optimizer


class Arithmetic:
    """Real numbers: products are the network's own, the loss is not scaled, and no step is refused.

    Attributes:
        loss_scale: The loss of a step, and whatever is added to it, is multiplied by this.
    """

    loss_scale = 1.0

    def begin_epoch(self, number: int) -> None:
        """Prepare for an epoch, counted from 0 over the whole training."""

    @contextmanager
    def products(self, *, is_counted: bool) -> Iterator[None]:
        """Let the network multiply as this arithmetic does.

        Args:
            is_counted: Whether losses of precision are counted in this step.
        """
        yield

    def step(self, optimizer: Optimizer, *, done: float) -> None:
        """Let an optimiser change the weights by the gradients that have been summed.

        Args:
            optimizer: The optimiser.
            done: Share of the training's steps that has passed.
        """
        optimizer.step()

    def measured(self) -> dict[str, Any]:
        """Return what an epoch's row of the history says of this arithmetic."""
        return {}

    def state_dict(self) -> dict[str, float]:
        """Return what an interrupted training needs to go on."""
        return {}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take up a state that :meth:`state_dict` returned."""
