"""What every quantiser of values that belong to nodes does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

REAL = 32
"""Bits of a value that is not quantised: a float32."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Owners:
    """Which node each value belongs to, and what is known of the nodes.

    Attributes:
        node: (entries,) node of each entry; ``None`` where entry i belongs to node i.
        degree_class: (nodes,) class of each node by its in-degree.
        measured: (nodes,) whether a node's values may set ranges; those of test nodes do not.
        rank: (nodes,) share of nodes whose in-degree is not above the node's.
        omits_zeros: Whether values that are zero have no entry.
    """

    node: Tensor | None
    degree_class: Tensor
    measured: Tensor
    rank: Tensor
    omits_zeros: bool = False

    def of_entries(self, per_node: Tensor, like: Tensor) -> Tensor:
        """Return what belongs to each entry of ``like``, of one number per node; broadcasts against ``like``."""
        each = per_node if self.node is None else per_node.index_select(0, self.node)
        return each.reshape(-1, *(1,) * (like.dim() - 1))


class AffineCodes(NamedTuple):
    """Quantised values: ``lower + step * codes``, class by class, which puts values of all widths back on one scale.

    Attributes:
        codes: Whole numbers from 0, held as floats, in the shape of the values.
        step: Value of one code; broadcasts against the codes.
        lower: Value of code 0; broadcasts against the codes.
    """

    codes: Tensor
    step: Tensor
    lower: Tensor

    def values(self) -> Tensor:
        """Return the values that the codes stand for ("rematching" in SGQuant)."""
        return self.codes * self.step + self.lower


class ClassQuantizer(nn.Module, ABC):
    """Rounds values of nodes, each class of nodes to a width of its own.

    Args:
        widths: Bit-widths below 32 that a class can be set to.
        classes: Number of classes.

    Attributes:
        bits: Width of each class, which a caller may set at any time; 32 leaves values as they are.
        calibrating: Whether ranges are measured on what passes, as in training, and kept.
        range_bits_per_node: Memory that ranges take, where every node has one of its own.
    """

    range_bits_per_node = 0

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.widths = tuple(sorted(set(widths) - {REAL}))
        self.classes = classes
        self.bits: tuple[int, ...] = (REAL,) * classes
        self.calibrating = False

    @property
    def is_real(self) -> bool:
        """Whether no class is quantised."""
        return all(bits == REAL for bits in self.bits)

    @abstractmethod
    def forward(self, values: Tensor, owners: Owners) -> Tensor:
        """Return values (entries, ...) rounded to the width of their class, differentiable."""

    @abstractmethod
    def encode(self, values: Tensor, owners: Owners) -> AffineCodes:
        """Return the codes of values (entries, ...), outside of any gradient; every class must be quantised."""


def straight_through(values: Tensor, rounded: Tensor) -> Tensor:
    """Return ``rounded`` with the gradient of ``values``."""
    return values + (rounded - values).detach()


def levels_of(bits: Sequence[int]) -> Tensor:
    """Return (classes,) the highest code of each class; 0 where values stay real."""
    return torch.tensor([0.0 if width == REAL else 2.0**width - 1 for width in bits])
