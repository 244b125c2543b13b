"""How much a network loses when sites are lowered: measured, or foretold from one pass over its sites."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.graph import LayerGraph
from bitmixer.search.costs import highest

if TYPE_CHECKING:
    from torch import Tensor

    from bitmixer.network import MetaQuantizedNetwork

BATCH_SIZE = 100
"""Inputs whose values at every node are kept at a time, for what follows a change to be computed from them."""


class Change(NamedTuple):
    """Other widths of one site."""

    site: str
    widths: BitWidths


class Losses(NamedTuple):
    """Loss of an assignment, and after each change of it, one at a time."""

    unchanged: float
    changed: tuple[float, ...]


class LossModel(Protocol):
    """What a search must know of a network."""

    def losses(self, assignment: BitAssignment, changes: Sequence[Change]) -> Losses:
        """Return the loss of an assignment, and with each change by itself."""
        ...


class MeasuredLoss:
    """How far a network's predictions are from those at its highest widths.

    Mean Kullback-Leibler divergence sum p * log(p / q) over inputs, in nats; p are the probabilities at the highest
    widths, q those of the assignment. Against these, not against labels: it asks only what fewer bits change, so that
    a few hundred inputs tell sites apart, and they need no labels.

    Args:
        network: A trained network with its quantisers on.
        inputs: Inputs (n, ...), from the training split: the test split is for judging what was found.
        progress: Called with the number of inputs done, of one assignment and of how many changes of it.
    """

    def __init__(
        self,
        network: MetaQuantizedNetwork,
        inputs: Tensor,
        *,
        progress: Callable[[int, int], None] = lambda inputs, changes: None,
    ) -> None:
        self._network = network
        self._inputs = inputs
        self._progress = progress

    @cached_property
    def _reference(self) -> Tensor:
        """Logarithms of the probabilities at the highest widths, (n, classes)."""
        from bitmixer.execution import run

        return run(self._network, self._inputs, highest(self._network.sites)).double().log_softmax(dim=1)

    def losses(self, assignment: BitAssignment, changes: Sequence[Change]) -> Losses:
        """Measure an assignment and each change of it; what comes before a changed site is computed once."""
        import torch
        from torch.nn.functional import kl_div

        sums = [0.0] * (1 + len(changes))
        done = 0
        batches = zip(torch.split(self._inputs, BATCH_SIZE), torch.split(self._reference, BATCH_SIZE), strict=True)
        for inputs, reference in batches:
            for position, logits in enumerate(self._logits(inputs, assignment, changes)):
                predicted = logits.double().log_softmax(dim=1)
                sums[position] += float(kl_div(predicted, reference, reduction="sum", log_target=True))
            done += len(inputs)
            self._progress(done, len(changes))
        unchanged, *changed = (total / len(self._inputs) for total in sums)
        return Losses(unchanged, tuple(changed))

    def _logits(self, inputs: Tensor, assignment: BitAssignment, changes: Sequence[Change]) -> Iterator[Tensor]:
        from bitmixer.execution import StepwiseRun

        run = StepwiseRun(self._network, inputs)
        for site, widths in assignment.items():
            run.commit(site, widths)
        yield run.finish()
        for change in changes:
            yield run.branch({change.site: change.widths}).finish()


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What lowering each site alone adds to the loss; a model of the loss that lets these add up.

    Attributes:
        loss: Loss with every site at its highest widths.
        increase: Switchable site -> widths -> what the loss grows by if only this site runs at them; 0 at the
            highest.
    """

    loss: float
    increase: Mapping[str, Mapping[BitWidths, float]]

    def foretold(self, assignment: Mapping[str, BitWidths]) -> float:
        """Return the loss if increases add up, as Double Rounding's search (arXiv 2502.01199) takes them to."""
        return self.loss + math.fsum(increase[assignment[site]] for site, increase in self.increase.items())

    def losses(self, assignment: BitAssignment, changes: Sequence[Change]) -> Losses:
        """Return the foretold loss of an assignment and of each change of it."""
        return Losses(
            self.foretold(assignment), tuple(self.foretold({**assignment, site: widths}) for site, widths in changes)
        )


def sensitivity(graph: LayerGraph, model: LossModel) -> Sensitivity:
    """Lower each switchable site alone from the highest widths, to every width that it allows."""
    start = highest(graph.layers)
    changes = [
        Change(layer.name, widths) for layer in graph.layers for widths in layer.allowed if widths != start[layer.name]
    ]
    unchanged, changed = model.losses(start, changes)
    increase = {layer.name: {start[layer.name]: 0.0} for layer in graph.layers if not layer.pinned}
    for (site, widths), loss in zip(changes, changed, strict=True):
        increase[site][widths] = loss - unchanged
    return Sensitivity(loss=unchanged, increase=increase)
