"""CPU time of every array model on ResNet-18, for one assignment and for 5 x 5 pairs of widths, against the budgets.

BitFusion's times include its search of tiles and loop orders. Imports are not counted; torch is never loaded.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.cost import arrays
from hwsim.cost.arrays import ArrayModel, LayerShapes, SchedulingArray

ASSIGNMENT_BUDGET_SECONDS = 0.1
ALL_PAIRS_BUDGET_SECONDS = 0.5
MEMORY_BUDGET_MEBIBYTES = 200
WIDTHS = np.array([2, 3, 4, 6, 8])
REPETITIONS = 20


def models() -> list[ArrayModel]:
    """Return every array whose cycles follow from shapes and bits, at its paper's size."""
    sizes = {"bismo": {"rows": 8, "depth": 256, "columns": 8}}
    return [arrays.build(name, **sizes.get(name, {})) for name in arrays.ARRAYS if name not in arrays.VALUE_ARRAYS]


def best_seconds(question: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        question()
        seconds.append(time.process_time() - start)
    return min(seconds)


def price(model: ArrayModel, shapes: LayerShapes, weight_bits: np.ndarray, activation_bits: np.ndarray) -> object:
    if isinstance(model, SchedulingArray):
        return model.schedule(shapes, weight_bits, activation_bits)
    return model.compute_cycles(shapes, weight_bits, activation_bits), model.action_counts(
        shapes, weight_bits, activation_bits
    )


def main() -> None:
    layers = find_checkpoint("resnet18").graph.layers
    one = LayerShapes.of(layers, inputs_per_frame=1, trailing_axes=0)
    every = LayerShapes.of(layers, inputs_per_frame=1, trailing_axes=2)
    bits = np.full(len(layers), 4)
    for model in models():
        assignment = best_seconds(lambda: price(model, one, bits, bits))  # noqa: B023
        pairs = best_seconds(lambda: price(model, every, WIDTHS[:, None], WIDTHS))  # noqa: B023
        print(
            f"{model.name:9} one assignment {assignment * 1e3:6.2f} ms of {ASSIGNMENT_BUDGET_SECONDS * 1e3:.0f}, "
            f"{WIDTHS.size**2} pairs {pairs * 1e3:6.2f} ms of {ALL_PAIRS_BUDGET_SECONDS * 1e3:.0f}"
        )
    mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {mebibytes:.0f} MiB of {MEMORY_BUDGET_MEBIBYTES}; torch loaded: {'torch' in sys.modules}")


if __name__ == "__main__":
    main()
