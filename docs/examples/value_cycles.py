"""Draw how many cycles each test image takes on arrays that skip work, for docs/value_dependent_arrays.md.

Usage: python docs/examples/value_cycles.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from bitmixer.networks import find_checkpoint
from hwsim.cost.arrays.base import Int64Array
from hwsim.cost.arrays.valued import BitVert, BitWave, Loom, Pragmatic, ValueArray, bound_cycles, network_cycles
from hwsim.outputs import LoadedNetwork
from hwsim.report import style

FIGURE = Path(__file__).parent.parent / "images" / "value_cycles.svg"
NETWORK, BITS = "resnet8_digits", 4
SETS = {"digits": ("digits", style.BLUE), "digits+noise0.4@7": ("with noise", style.VERMILION)}
GRID = {"lanes": 8, "columns": 4, "rows": 4, "tiles": 2}
UNITS = {"group": 8, "rows": 4, "columns": 4}
ARRAYS: dict[str, ValueArray] = {
    "Bit-Pragmatic": Pragmatic(**GRID),
    "Loom": Loom(**GRID),
    "BitWave": BitWave(**UNITS),
    "BitVert": BitVert(**UNITS, multipliers=4),
}


def main(path: Path = FIGURE, images: int | None = None) -> dict[str, dict[str, Int64Array]]:
    """Draw the figure and return data set -> array -> cycles of each image."""
    counted = {data: cycles(data, images) for data in SETS}
    graph = find_checkpoint(NETWORK).graph
    widths = graph.uniform(BITS)
    bounds = {
        name: sum(bound_cycles(array, layer, widths[layer.name]) for layer in graph.layers)
        for name, array in ARRAYS.items()
    }
    with style.styled():
        figure = style.titled_figure(
            f"Cycles of an image, as a share of what {BITS} bits alone would give",
            "Where activations count, images differ, and noise costs Loom most; where weights alone count, they do not.",
            height_inches=3.4,
        )
        axes = figure.add_axes((0.12, 0.16, 0.74, 0.62))
        for row, name in enumerate(reversed(ARRAYS)):
            draw(axes, row, {data: found[name] / bounds[name] for data, found in counted.items()})
        axes.set_yticks(range(len(ARRAYS)), reversed(ARRAYS))
        axes.tick_params("y", length=0)
        axes.axvline(1, color=style.FAINT, linewidth=1)
        axes.set_xlim(right=1.01)
        axes.set_ylim(-0.5, len(ARRAYS) - 0.5)
        axes.xaxis.set_major_formatter(lambda share, _: style.percent(share))
        axes.set_xlabel("cycles of the array, of its bound; one dot per test image")
        last = {
            data: float(np.max(found["Bit-Pragmatic"] / bounds["Bit-Pragmatic"])) for data, found in counted.items()
        }
        for offset, (data, (label, colour)) in zip((0.16, -0.16), SETS.items(), strict=True):
            axes.annotate(
                label, (last[data], len(ARRAYS) - 1 + offset), xytext=(8, 0), textcoords="offset points",
                color=colour, va="center", fontsize=8.5,
            )  # fmt: skip
        style.save(figure, path)
    return counted


def cycles(data: str, images: int | None) -> dict[str, Int64Array]:
    """Return array -> cycles of each test image, over all sites."""
    loaded = LoadedNetwork(find_checkpoint(NETWORK), data)
    widths = list(loaded.graph.uniform(BITS).values())
    operands = list(loaded.operands(widths, np.arange(images or len(loaded.labels))))
    return {name: network_cycles(array, loaded.graph, operands).sum(axis=0) for name, array in ARRAYS.items()}


def draw(axes: Axes, row: int, shares: dict[str, np.ndarray]) -> None:
    """Draw one array's images, one line of dots per data set."""
    scatter = np.random.default_rng(0)
    for offset, (data, (_, colour)) in zip((0.16, -0.16), SETS.items(), strict=True):
        found = shares[data]
        heights = row + offset + scatter.uniform(-0.1, 0.1, len(found))
        axes.scatter(found, heights, s=3, color=colour, alpha=0.5, linewidths=0, rasterized=True)


if __name__ == "__main__":
    main()
