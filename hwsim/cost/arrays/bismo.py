"""BISMO: a grid of bit-serial dot-product units, serial in the bits of both operands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.cost.arrays.base import BIT_ACTIONS, Float64Array, Int64Array, LayerShapes, ceil_divide, check_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Bismo:
    """BISMO overlay (Umuroglu et al., FPL 2018, arXiv 1806.08862; github.com/EECS-NTNU/bismo).

    In each cycle, ``rows`` x ``columns`` dot-product units multiply ``depth`` bits of a weight plane with
    ``depth`` bits of an activation plane (AND, popcount, shift, add). Cycles are the lower bound of the
    execute stage: the three decoupled stages overlap, the pipeline's fill per instruction is left out
    (``hwsim.rtl.dot_product.PIPELINE_LATENCY``; the circuit in ``hwsim.rtl`` is held against these cycles).

    Attributes:
        rows: Dm, output channels at once.
        depth: Dk, products of one dot product at once.
        columns: Dn, output positions at once.

    Raises:
        ConfigurationError: A parameter is not a whole number from 1.
    """

    name: ClassVar[str] = "bismo"
    actions: ClassVar[tuple[str, ...]] = BIT_ACTIONS

    rows: int
    depth: int
    columns: int

    def __post_init__(self) -> None:
        check_positive(self.name, rows=self.rows, depth=self.depth, columns=self.columns)

    def peak_macs_per_cycle(self, weight_bits: Int64Array, activation_bits: Int64Array) -> Float64Array:
        """Return rows * depth * columns / (w * a)."""
        return np.asarray(self.rows * self.depth * self.columns / (weight_bits * activation_bits), dtype=np.float64)

    def compute_cycles(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
        """Return w * a * groups * ceil(M/Dm) * ceil(K/Dk) * ceil(P/Dn)."""
        tiles = (
            shapes.groups
            * ceil_divide(shapes.group_outputs, self.rows)
            * ceil_divide(shapes.reduction, self.depth)
            * ceil_divide(shapes.positions, self.columns)
        )
        return weight_bits * activation_bits * tiles

    def action_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return the counts of ``array_cycle``, ``buffer_bit`` and ``binary_mac``.

        Both operand buffers are read in full width in every cycle. Only occupied lanes toggle: the
        padding of a partly filled tile holds zeros.
        """
        cycles = self.compute_cycles(shapes, weight_bits, activation_bits)
        return {
            "array_cycle": cycles,
            "buffer_bit": cycles * ((self.rows + self.columns) * self.depth),
            "binary_mac": weight_bits * activation_bits * shapes.macs,
        }
