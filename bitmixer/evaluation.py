"""Accuracy of a network at every uniform width and over random per-layer assignments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bitmixer.bitwidths import BitAssignment, Datapath
from bitmixer.data import load_data, require_shape
from bitmixer.execution import run
from bitmixer.graph import LayerGraph
from bitmixer.network import MetaQuantizedNetwork


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Accuracies are shares of inputs, 0 to 1.

    Attributes:
        network: Name of the network.
        data: Data name, corruption included.
        data_sha256: Hash of the inputs and labels.
        inputs: Number of test inputs.
        uniform: Accuracy per uniform width.
        random: Accuracy of each random assignment, widths drawn evenly per site.
        seed: Seed of the random assignments.
        assigned: Accuracy of one more assignment; ``None`` if none was given.
    """

    network: str
    data: str
    data_sha256: str
    inputs: int
    uniform: dict[int, float]
    random: tuple[float, ...]
    seed: int
    assigned: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the evaluation as JSON holds it."""
        values = np.array(self.random)
        summary = {"mean": None, "std": None, "min": None} if not self.random else {
            "mean": float(values.mean()), "std": float(values.std()), "min": float(values.min())
        }  # fmt: skip
        assigned = {} if self.assigned is None else {"assignment": self.assigned}
        return {
            "network": self.network,
            "data": self.data,
            "data_sha256": self.data_sha256,
            "inputs": self.inputs,
            "uniform": {str(bits): accuracy for bits, accuracy in self.uniform.items()},
            "random": {**summary, "count": len(self.random), "seed": self.seed},
            **assigned,
        }


def evaluate(
    network: MetaQuantizedNetwork,
    graph: LayerGraph,
    data: str,
    *,
    random_assignments: int = 0,
    seed: int = 0,
    assignment: BitAssignment | None = None,
    datapath: Datapath = "bit_parallel",
    progress: Callable[[str], None] = lambda step: None,
) -> Evaluation:
    """Measure a network on the test split of ``data``.

    Args:
        network: The network, with its quantisers on.
        graph: Its layer graph.
        data: Data name, corruption included.
        random_assignments: Random per-layer assignments to try.
        seed: Seed of these.
        assignment: One more to try.
        datapath: How codes are multiplied; it does not show in the result.
        progress: Called with what was done, once per assignment.

    Raises:
        DataError: The data name is unknown, or its inputs are of another shape than the network's.
        DatapathError: There is no such datapath.
        MissingExtraError: The extra of the datapath is not installed.
    """
    require_shape(data, graph.input_shape, graph.network)
    inputs, labels = load_data(data)

    @cache  # a network of one width has one assignment, however often it is drawn
    def accuracy(assignment: BitAssignment) -> float:
        predictions = run(network, inputs, assignment, datapath=datapath).argmax(dim=1)
        return float((predictions == labels).double().mean())

    uniform = {}
    for bits in reversed(graph.uniform_bits):
        uniform[bits] = accuracy(graph.uniform(bits))
        progress(f"uniform {bits} bit")
    generator = np.random.default_rng(seed)
    random = []
    for count in range(random_assignments):
        random.append(accuracy(BitAssignment.random(graph.layers, generator)))
        progress(f"random {count + 1}")
    assigned = None if assignment is None else accuracy(assignment)
    return Evaluation(
        network=graph.network,
        data=data,
        data_sha256=hashlib.sha256(inputs.numpy().tobytes() + labels.numpy().tobytes()).hexdigest(),
        inputs=len(labels),
        uniform=uniform,
        random=tuple(random),
        seed=seed,
        assigned=assigned,
    )
