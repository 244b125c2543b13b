"""Builds a network of signs that approximates a continuous function, and draws how its error falls.

Run with ``python docs/examples/binary_approximation.py [OUT.svg]``.

The construction (after the outline that Redfern et al., "BCNN", arXiv 2010.00704, mention; its details are ours), for f on
[0, 1]^d with |f| <= F:

1. Signs of inputs about k / N, k = 0 .. N: a thermometer code, in which x = 1 belongs to the last cell.
2. A product of signs finds the cell. In d dimensions cell k needs h[i, k_i] - h[i, k_i + 1], which is 2 in the cell and 0
   elsewhere, summed over i. Weights have no zero: every sign is fed twice, and +1 with -1 leaves it out. The sum of
   products is 4 d in the cell and at most 4 d - 4 elsewhere, so that its sign about 4 d - 2 tells the cell.
3. M products of the cells' signs with signs, scaled by F / 2^m, are a binary expansion of f at the middle of each cell. What
   other cells add does not depend on x and is a bias.

Every matrix product multiplies -1 and +1. The error is at most omega(sqrt(d) / (2 N)) + F / 2^M, where omega is the
modulus of continuity of f: a point is at most half a cell's diagonal from its middle.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Signs = NDArray[np.int8]


def signs(values: Reals) -> Signs:
    """Return -1 where values are negative, +1 elsewhere."""
    return np.where(values < 0, -1, 1).astype(np.int8)


def product(inputs: Signs, weights: Signs) -> NDArray[np.int64]:
    """Return inputs (points, features) times weights (outputs, features), which are all -1 and +1."""
    assert np.isin(inputs, (-1, 1)).all()
    assert np.isin(weights, (-1, 1)).all()
    return inputs.astype(np.int64) @ weights.T.astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class BinaryApproximator:
    """Thresholds, two products of signs, and a scale per output of the second.

    Attributes:
        cells: N, cells along each axis.
        code_weights: Of the product that finds cells, shape (cells of all axes, features).
        value_weights: Of the product that expands values, shape (M, cells of all axes).
        scales: F / 2^m, shape (M,).
        dimensions: d.
    """

    cells: int
    code_weights: Signs
    value_weights: Signs
    scales: Reals
    dimensions: int

    def __call__(self, points: Reals) -> Reals:
        """Return the approximation at points, shape (points, d)."""
        levels = np.arange(self.cells + 1) / self.cells
        code = signs(points[:, :, None] - levels)
        code[:, :, -1] = -1  # x = 1 lies in the last cell
        twice = np.repeat(code.reshape(len(points), -1), 2, axis=1)
        found = signs(product(twice, self.code_weights) - (4.0 * self.dimensions - 2.0))
        of_others = self.value_weights.sum(axis=1, dtype=np.int64)  # found + 1 is 2 in the cell and 0 elsewhere
        result: Reals = (product(found, self.value_weights) + of_others) / 2 @ self.scales
        return result


def build(
    f: Callable[[Reals], Reals], *, dimensions: int, cells: int, bases: int, largest: float
) -> BinaryApproximator:
    """Return the approximator of a function.

    Args:
        f: From points, shape (points, d), to values.
        dimensions: d.
        cells: N, along each axis.
        bases: M, products that expand a value.
        largest: F, no value is larger in size.
    """
    positions = np.array(list(itertools.product(range(cells), repeat=dimensions)))
    return BinaryApproximator(
        cells=cells,
        code_weights=_finding(positions, cells),
        value_weights=_expanded(f((positions + 0.5) / cells), bases, largest),
        scales=largest * 2.0 ** -np.arange(1, bases + 1),
        dimensions=dimensions,
    )


def _finding(positions: NDArray[np.int64], cells: int) -> Signs:
    """Return weights that add h[i, k_i], subtract h[i, k_i + 1], twice each, and leave out all else."""
    weights = np.empty((*positions.shape, cells + 1, 2), dtype=np.int8)
    weights[...] = (1, -1)
    every = np.arange(len(positions))[:, None]
    axes = np.arange(positions.shape[1])
    weights[every, axes, positions] = 1
    weights[every, axes, positions + 1] = -1
    return weights.reshape(len(positions), -1)


def _expanded(values: Reals, bases: int, largest: float) -> Signs:
    """Return the signs of which scaled sums are nearest to values, shape (bases, values)."""
    rest, found = values.copy(), []
    for base in range(1, bases + 1):
        found.append(signs(rest))
        rest -= found[-1] * largest * 2.0**-base
    return np.array(found)


EXAMPLES: dict[int, tuple[Callable[[Reals], Reals], float]] = {
    1: (lambda x: np.sin(2 * np.pi * x[:, 0]), 2 * np.pi),
    2: (lambda x: np.sin(np.pi * x[:, 0]) * np.cos(np.pi * x[:, 1]), np.pi),
}
"""Dimensions -> a function within [-1, 1], and a constant L of Lipschitz: omega(distance) <= L x distance."""


def bound(dimensions: int, cells: int, bases: int) -> float:
    """Return the error that an example's approximator cannot exceed."""
    return EXAMPLES[dimensions][1] * dimensions**0.5 / (2 * cells) + 2.0**-bases


def error(dimensions: int, cells: int, bases: int) -> float:
    """Return the largest error of an example's approximator on a grid of points, the ends included."""
    f = EXAMPLES[dimensions][0]
    network = build(f, dimensions=dimensions, cells=cells, bases=bases, largest=1.0)
    axis = np.linspace(0, 1, {1: 4001, 2: 101}[dimensions])
    points = np.stack(np.meshgrid(*[axis] * dimensions, indexing="ij"), axis=-1).reshape(-1, dimensions)
    return float(np.abs(network(points) - f(points)).max())


CELLS = {1: (2, 4, 8, 16, 32, 64, 128, 256), 2: (2, 4, 8, 16, 24)}
BASES = (2, 4, 6, 12)


def draw(file: Path) -> None:
    """Draw errors and bounds against N, for several M."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "binary_approximation"
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    titles = {1: "sin 2πx", 2: "sin πx cos πy"}
    for dimensions, panel in zip(EXAMPLES, panels, strict=True):
        cells = CELLS[dimensions]
        for number, bases in enumerate(BASES):
            label = f"M = {bases}"
            panel.loglog(cells, [error(dimensions, n, bases) for n in cells], "o-", color=f"C{number}", label=label)
            panel.loglog(cells, [bound(dimensions, n, bases) for n in cells], ":", color=f"C{number}")
        panel.set(title=f"{titles[dimensions]}, d = {dimensions}", xlabel="N, cells along an axis")
        panel.set_xscale("log", base=2)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("largest error; dotted: bound")
    panels[0].legend()
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1] if len(sys.argv) > 1 else "binary_approximation.svg"))
