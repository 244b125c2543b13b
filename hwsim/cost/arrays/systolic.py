"""A systolic array of bit-parallel cells: the baseline whose cycles do not depend on bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from bitmixer.errors import did_you_mean
from hwsim.cost.arrays.base import BIT_ACTIONS, Float64Array, Int64Array, LayerShapes, ceil_divide, check_positive
from hwsim.errors import ConfigurationError

Dataflow = Literal["ws", "os"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Systolic:
    """One multiply-accumulate per cell and cycle, of words whose bits do not matter.

    Cycles are those of SCALE-Sim 3 (Samajdar et al., ISPASS 2020; github.com/scalesim-project/SCALE-Sim) with buffers
    that never stall; the default is its 32 x 32. Groups of channels follow one another.

    Attributes:
        dataflow: What stays in the cells: ``ws`` weights, ``os`` outputs.
        rows: R, products summed down a column (``ws``), or output positions (``os``).
        columns: Cc, output channels.

    Raises:
        ConfigurationError: The dataflow is unknown, or a size is not a whole number from 1.
    """

    name: ClassVar[str] = "systolic"
    actions: ClassVar[tuple[str, ...]] = BIT_ACTIONS

    dataflow: Dataflow = "ws"
    rows: int = 32
    columns: int = 32

    def __post_init__(self) -> None:
        if self.dataflow not in get_args(Dataflow):
            known = did_you_mean(str(self.dataflow), get_args(Dataflow))
            raise ConfigurationError(f"array systolic: dataflow = {self.dataflow!r}: {known}")
        check_positive(self.name, rows=self.rows, columns=self.columns)

    def peak_macs_per_cycle(self, weight_bits: Int64Array, activation_bits: Int64Array) -> Float64Array:
        """Return rows * columns, whatever the bits."""
        return np.asarray(self.rows * self.columns + 0 * (weight_bits * activation_bits), dtype=np.float64)

    def compute_cycles(self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array) -> Int64Array:
        """Return folds * cycles of a fold - 1 per group, with P positions and K products per result.

        ``ws``: ceil(K/R) * ceil(F/Cc) * (P + 2 R + Cc - 2) - 1; ``os``: ceil(P/R) * ceil(F/Cc) * (K + R + Cc - 2) - 1.
        """
        if self.dataflow == "ws":
            fold = shapes.positions + 2 * self.rows + self.columns - 2
        else:
            fold = shapes.reduction + self.rows + self.columns - 2
        # Zero times the bits: every answer has the axes of both.
        cycles: Int64Array = shapes.groups * (self._folds(shapes) * fold - 1) + 0 * (weight_bits * activation_bits)
        return cycles

    def action_counts(
        self, shapes: LayerShapes, weight_bits: Int64Array, activation_bits: Int64Array
    ) -> Mapping[str, Int64Array]:
        """Return the counts of ``array_cycle``, ``buffer_bit`` and ``binary_mac``.

        A fold reads one operand per cell (``ws``) or column (``os``), and one per row, for every product of its stream.
        """
        weights = self.rows if self.dataflow == "ws" else shapes.reduction
        activations = shapes.positions if self.dataflow == "ws" else shapes.reduction
        read = weights * self.columns * weight_bits + activations * self.rows * activation_bits
        return {
            "array_cycle": self.compute_cycles(shapes, weight_bits, activation_bits),
            "buffer_bit": shapes.groups * self._folds(shapes) * read,
            "binary_mac": weight_bits * activation_bits * shapes.macs,
        }

    def _folds(self, shapes: LayerShapes) -> Int64Array:
        """Return how often one group loads the array anew."""
        streamed: Int64Array = np.asarray(shapes.reduction if self.dataflow == "ws" else shapes.positions)
        return ceil_divide(streamed, self.rows) * ceil_divide(shapes.group_outputs, self.columns)
