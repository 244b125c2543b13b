"""BitVert: of each bit column of a group, either the ones or the zeros are multiplied, whichever are fewer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.arrays.base import Int64Array, ceil_divide, check_positive
from hwsim.cost.arrays.valued.base import Integers, bit_length
from hwsim.cost.arrays.valued.weight_groups import WeightGroupArray
from hwsim.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class BitVert(WeightGroupArray):
    """BitVert, the array of bi-directional bit sparsity (BBS; Chen et al., MICRO 2024, arXiv 2409.05227).

    Published: weights are in two's complement. A column with more ones than zeros is inverted, and what it adds is
    subtracted from the sum of the activations, so that never more than half of a group's bits are effectual; a unit has
    half as many bit multipliers as weights, and a column takes one cycle. Columns below the sign column that repeat it
    for the whole group are redundant and left out.

    Our reading: a column of n effectual bits takes ceil(n / multipliers) cycles, at least one, as its sum of
    activations must be added even where no bit is effectual. At most 3 redundant columns are left out. Sub-groups that
    choose for themselves are not modelled: with half as many multipliers as weights they take the same cycles. Zeros
    that fill a group count as its zeros. Binary pruning, which changes weights, is not done: outputs would no longer be
    the network's.

    Attributes:
        multipliers: Bit multipliers of one unit; published: ``group`` / 2.
        redundant_columns: Most columns that a group can leave out.

    Raises:
        ConfigurationError: A parameter is not a whole number from 1 (``redundant_columns`` may be 0), or there are more
            multipliers than weights in a group.
    """

    name: ClassVar[str] = "bitvert"

    multipliers: int
    redundant_columns: int = field(default=3, metadata={"minimum": 0})

    def __post_init__(self) -> None:
        WeightGroupArray.__post_init__(self)
        check_positive(self.name, multipliers=self.multipliers)
        if self.multipliers > self.group:
            raise ConfigurationError(
                f"array {self.name}: multipliers = {self.multipliers}: a group has {self.group} weights: give at most "
                "as many; published: half"
            )
        if self.redundant_columns != 0:
            check_positive(self.name, redundant_columns=self.redundant_columns)

    def group_cycles(self, weights: Integers, bits: int) -> Integers:
        """Return the cycles of all columns that are not redundant."""
        if bits == 1:  # -1 and +1, which are held as their sign
            return self._column_cycles(weights < 0)
        needed = bit_length(np.maximum(weights, ~weights).max(axis=-1)) + 1
        kept = np.maximum(needed, bits - self.redundant_columns)
        cycles = np.zeros(weights.shape[:-1], dtype=np.int64)
        for bit in range(bits):
            cycles += np.where(bit < kept, self._column_cycles(weights >> bit & 1), 0)
        return cycles

    def bound_of_group(self, bits: Int64Array) -> Int64Array:
        """Return the cycles of all columns, half of each effectual."""
        return bits * max(1, math.ceil(self.group // 2 / self.multipliers))

    def products_at_bound(self, macs: Int64Array) -> Int64Array:
        """Return half of them: never more than half of a column's bits are effectual."""
        return ceil_divide(macs, 2)

    def _column_cycles(self, ones: Integers | NDArray[np.bool_]) -> Integers:
        count = ones.sum(axis=-1)
        effectual = np.minimum(count, self.group - count)
        cycles: Integers = np.maximum(-(-effectual // self.multipliers), 1)
        return cycles
