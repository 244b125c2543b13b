"""What a stage trains besides its losses, and how that changes the network between epochs."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Regularizer(Protocol):
    """A method that empties bits of a network's weights, or finds its bit-widths, as it trains them.

    Attributes:
        stage: Name of the stage that it belongs to.
    """

    stage: str

    def begin_epoch(self, epoch: int) -> bool:
        """Change the network before an epoch of the stage; return whether its optimiser must start afresh."""

    def penalty(self) -> Tensor:
        """Return what is added to the loss of a step (a scalar)."""

    def after_step(self) -> None:
        """Put parameters that a step moved out of their range back into it."""

    def finish(self) -> None:
        """Bring the weights to the codes that they keep, after the last epoch."""

    def measured(self) -> dict[str, float]:
        """Return what an epoch's row of the history says of the method."""
