"""What is selected, what was measured, and what every strategy does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bitmixer.bitwidths import BitAssignment
from bitmixer.errors import SearchError, did_you_mean
from bitmixer.graphs.memory import stored_values
from bitmixer.graphs.network import GraphNetwork
from bitmixer.graphs.quantizers import REAL
from bitmixer.graphs.sites import Choice, choices, chosen
from bitmixer.graphs.topology import Topology
from bitmixer.graphs.training import logits

Bits = tuple[int, ...]
"""A width for each choice."""
JudgedBy = Literal["accuracy", "agreement"]
JUDGES: tuple[JudgedBy, ...] = get_args(JudgedBy)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one assignment gives.

    Attributes:
        bits: Its widths.
        saving: Memory of real numbers / its memory.
        accuracy: Share of the nodes that choose whose answer is right, or the one that real numbers give.
        is_feasible: Whether that is within the tolerance.
    """

    bits: Bits
    saving: float
    accuracy: float
    is_feasible: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class BitProblem:
    """What may be chosen, and how it is measured.

    Attributes:
        choices: Operands that share a width, apart from one another.
        widths: What each may be set to, ascending.
        elements: (choices,) values whose width each sets.
        range_bits: What ranges take, where every node has one of its own.
        threshold: Least accuracy.
        accuracy: That share, of widths.
    """

    choices: tuple[Choice, ...]
    widths: tuple[int, ...]
    elements: NDArray[np.int64]
    threshold: float
    accuracy: Callable[[Bits], float]
    range_bits: int = 0

    @classmethod
    def of(
        cls, network: GraphNetwork, topology: Topology, *, granularity: str = "combined", tolerance: float = 0.005,
        judged_by: JudgedBy = "accuracy",
    ) -> BitProblem:  # fmt: skip
        """Return the problem of a trained network: ranges are measured anew for each assignment, nothing is tuned.

        Args:
            network: The network, which keeps its weights.
            topology: The graph.
            granularity: As for :func:`bitmixer.graphs.sites.choices`.
            tolerance: How much accuracy on validation nodes may be lost; how many answers may change.
            judged_by: ``accuracy`` on validation nodes, or ``agreement`` with the answers that real numbers give, on
                all nodes but those of the test mask. No more accuracy can be lost than answers change, and there
                are more to count: few validation nodes let through what is feasible by luck.

        Raises:
            UnsupportedNetworkError: The granularity does not exist.
            SearchError: There is no such judge.
        """
        if judged_by not in JUDGES:
            raise SearchError(f"unknown judge {judged_by!r}: {did_you_mean(judged_by, JUDGES)}")
        parts = choices(network.sites, granularity)
        stored = stored_values(network, topology)
        values = {
            (f"{each.product}/degree{degree}", each.operand): count
            for each in stored
            for degree, count in enumerate(each.counts)
        }
        ranges = [network.products[each.product].stored_quantizer(each.operand).range_bits_per_node for each in stored]

        counted = topology.graph.val_mask if judged_by == "accuracy" else ~topology.graph.test_mask

        def answers(bits: Bits) -> Tensor:
            assignment = _assignment(network, parts, bits)
            network.calibrate(topology, [assignment])
            network.assign(assignment)
            return logits(network, topology).argmax(dim=1)[counted]

        reals = answers((REAL,) * len(parts))
        right = topology.graph.y[counted] if judged_by == "accuracy" else reals

        def accuracy(bits: Bits) -> float:
            return float((answers(bits) == right).double().mean())

        real = float((reals == right).double().mean())
        return cls(
            choices=parts, widths=network.form.widths, accuracy=accuracy,
            elements=np.array([sum(values[operand] for operand in part.operands) for part in parts], dtype=np.int64),
            threshold=real - tolerance, range_bits=topology.graph.nodes * sum(ranges),
        )  # fmt: skip

    def savings(self, bits: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (...,) the saving of widths (..., choices)."""
        saved: NDArray[np.float64] = REAL * self.elements.sum() / (bits @ self.elements + self.range_bits)
        return saved

    def measured(self, bits: Bits) -> Measurement:
        """Measure widths."""
        accuracy = self.accuracy(bits)
        saving = float(self.savings(np.array(bits)))
        return Measurement(bits, saving, accuracy, accuracy >= self.threshold)

    def drawn(self, generator: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Return (count, choices) widths, each drawn evenly."""
        return np.array(self.widths)[generator.integers(len(self.widths), size=(count, len(self.choices)))]


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """What a strategy found.

    Attributes:
        problem: What was to be chosen.
        measurements: In their order.
    """

    problem: BitProblem
    measurements: tuple[Measurement, ...]

    @property
    def best(self) -> Measurement | None:
        """The feasible measurement that saves most; ``None`` where none is feasible."""
        return max((each for each in self.measurements if each.is_feasible), key=lambda each: each.saving, default=None)

    @property
    def progress(self) -> list[float]:
        """The best feasible saving after each measurement; 1 before any is feasible."""
        feasible = [each.saving if each.is_feasible else 1.0 for each in self.measurements]
        best: list[float] = np.maximum.accumulate(feasible).tolist()
        return best

    def assignment(self, network: GraphNetwork) -> BitAssignment | None:
        """Return the best assignment for the network that was measured."""
        return None if self.best is None else _assignment(network, self.problem.choices, self.best.bits)


class Strategy(ABC):
    """Proposes widths, one assignment after the other, and learns from what they give.

    Args:
        problem: What may be chosen.
        seed: Of everything that it draws.
    """

    def __init__(self, problem: BitProblem, seed: int) -> None:
        self.problem = problem
        self.generator = np.random.default_rng(seed)

    @abstractmethod
    def propose(self) -> Bits:
        """Return the widths to measure next."""

    @abstractmethod
    def learn(self, measurement: Measurement) -> None:
        """Take note of what the last proposal gave."""


def _assignment(network: GraphNetwork, parts: Sequence[Choice], bits: Sequence[int]) -> BitAssignment:
    return chosen(network.sites, list(zip(parts, bits, strict=True)))
