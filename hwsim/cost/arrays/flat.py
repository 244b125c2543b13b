"""Tables of whole numbers, on which searches over tiles work."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from hwsim.cost.arrays.base import Int64Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat:
    """A table of whole numbers, one array per column, all of one length."""

    def take(self, index: Int64Array) -> Self:
        """Return the rows at ``index``."""
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def table(self) -> Int64Array:
        """Return [row, column] all columns."""
        return np.stack([getattr(self, field.name) for field in fields(self)], axis=1)


def halvings(size: Int64Array) -> Int64Array:
    """Return how many powers of two there are up to the first that is not below ``size``."""
    exponents: Int64Array = np.frexp(size - 1)[1].astype(np.int64) + 1
    return exponents


def distinct_rows(table: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the position of one row of each kind in a table of numbers from 0, and the kind of every row."""
    key = np.zeros(len(table), dtype=np.int64)
    kinds = 1
    for column in table.T:
        values = int(column.max(initial=0)) + 1
        if kinds * values >= 1 << 62:
            key = np.unique(key, return_inverse=True)[1].reshape(-1)
            kinds = int(key.max(initial=0)) + 1
        key = key * values + column
        kinds *= values
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return first, which.reshape(-1)
