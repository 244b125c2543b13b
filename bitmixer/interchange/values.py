"""What flows through a network while it is read."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, fx


@dataclass(frozen=True, kw_only=True)
class Value:
    """A tensor that depends on the network's input.

    Quantisers leave no node behind, and a multiplication by a positive number travels along until a layer takes it
    into its weights: ``scale`` times what ``node`` computes is what the file's tensor holds.

    Attributes:
        node: What computes it.
        tensor: Its shape and type; on the meta device, without values.
        scale: The number still to be multiplied with.
        bits: Width that the file's quantisers gave it.
        exclusive: Whether nothing else reads what ``node`` computes, so that a layer can take in what follows.
    """

    node: fx.Node
    tensor: Tensor
    scale: float = 1.0
    bits: int | None = None
    exclusive: bool = True

    @property
    def rank(self) -> int:
        """Number of axes, the batch's included."""
        return self.tensor.dim()
