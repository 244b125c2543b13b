"""How good an assignment is: its cost, and its loss and accuracy on images that no search has seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bitmixer.bitwidths import BitAssignment

if TYPE_CHECKING:
    from torch import Tensor

    from bitmixer.network import MetaQuantizedNetwork
    from bitmixer.search.costs import AdditiveCost


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One assignment that a method found.

    Attributes:
        method: ``greedy``, ``exact`` or ``random``; or a uniform width, for example ``uniform 8 bit``.
        limit: The budget that it was searched under; ``None`` for a uniform width.
        cost: What it costs.
        loss: Mean cross-entropy on the test split, nats.
        accuracy: Share of the test split that is classified right.
        assignment: The assignment.
    """

    method: str
    limit: float | None
    cost: float
    loss: float
    accuracy: float
    assignment: BitAssignment

    def as_dict(self) -> dict[str, Any]:
        """Return the point as JSON holds it."""
        return {
            "method": self.method, "limit": self.limit, "cost": self.cost, "loss": self.loss,
            "accuracy": self.accuracy, "assignment": {site: list(widths) for site, widths in self.assignment.items()},
        }  # fmt: skip


class Judge:
    """Measures assignments on labelled inputs, each once.

    Args:
        network: A trained network with its quantisers on.
        cost: What assignments cost.
        inputs: Inputs (n, ...) of the test split.
        labels: Labels (n,).
    """

    def __init__(self, network: MetaQuantizedNetwork, cost: AdditiveCost, inputs: Tensor, labels: Tensor) -> None:
        self._network = network
        self._cost = cost
        self._inputs = inputs
        self._labels = labels
        self._measured: dict[BitAssignment, tuple[float, float]] = {}

    @property
    def inputs(self) -> int:
        """Number of inputs that assignments are judged on."""
        return len(self._labels)

    def point(self, method: str, limit: float | None, assignment: BitAssignment) -> Point:
        """Return what an assignment costs and how good it is."""
        if assignment not in self._measured:
            self._measured[assignment] = self._measure(assignment)
        loss, accuracy = self._measured[assignment]
        return Point(
            method=method, limit=limit, cost=self._cost.of(assignment), loss=loss, accuracy=accuracy,
            assignment=assignment,
        )  # fmt: skip

    def _measure(self, assignment: BitAssignment) -> tuple[float, float]:
        from torch.nn.functional import cross_entropy

        from bitmixer.execution import run

        logits = run(self._network, self._inputs, assignment)
        right = (logits.argmax(dim=1) == self._labels).double().mean()
        return float(cross_entropy(logits.double(), self._labels)), float(right)


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """Return, by rising cost, the points that lose less than every point that costs no more."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, point.loss)):
        if not front or point.loss < front[-1].loss:
            front.append(point)
    return front


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return mean, population standard deviation, extremes and number of some values."""
    array = np.array(values)
    return {
        "mean": float(array.mean()), "std": float(array.std()), "min": float(array.min()), "max": float(array.max()),
        "count": len(values),
    }  # fmt: skip
