"""What every graph network is: layers of products, an assignment of bits to them, ranges that are measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.graphs.form import GraphNetworkForm
from bitmixer.graphs.products import WEIGHT_WIDTHS, Aggregation, Combination, GraphProduct
from bitmixer.graphs.quantizers import REAL, ClassQuantizer
from bitmixer.graphs.sites import GraphSite, allowed_pairs
from bitmixer.graphs.topology import Topology

__all__ = ["GraphLayer", "GraphNetwork", "GraphNetworkForm", "Schedule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How a network is trained: Adam, full batch.

    Attributes:
        learning_rate: Adam's.
        weight_decay: L2 penalty, on parameters for which :meth:`GraphNetwork.decays` says so.
        epochs: Steps.
    """

    learning_rate: float
    weight_decay: float
    epochs: int


class GraphNetwork(nn.Module, ABC):
    """A network over the nodes of a graph whose widths can be chosen at any time.

    Args:
        form: What it is built of.

    Attributes:
        assignment: Widths of every site; real numbers at first.
        schedule: The float training of its source.
        reads_itself: Whether a node's own message is among those that it sums.
    """

    schedule: ClassVar[Schedule]
    reads_itself: ClassVar[bool] = True

    def __init__(self, form: GraphNetworkForm) -> None:
        super().__init__()
        self.form = form
        self.assignment = BitAssignment({})

    @abstractmethod
    def forward(self, topology: Topology) -> Tensor:
        """Return the logits (nodes, classes)."""

    def decays(self, name: str) -> bool:
        """Whether the L2 penalty holds for the parameter of this name."""
        return True

    @property
    def products(self) -> Mapping[str, GraphProduct]:
        """Products in the order in which they are computed; names are ``layer.product``."""
        return {name: module for name, module in self.named_modules() if isinstance(module, GraphProduct)}

    @property
    def sites(self) -> tuple[GraphSite, ...]:
        """Sites in the order in which they are computed."""
        real = (*self.form.widths, REAL)
        weights = {"combination": (*WEIGHT_WIDTHS, REAL), "aggregation": real}
        return tuple(
            GraphSite(
                layer=name.rpartition(".")[0], product=product.kind, degree_class=each,
                allowed=allowed_pairs(weights[product.kind], real), stores=product.stores,
            )
            for name, product in self.products.items()
            for each in range(self.form.degree_classes)
        )  # fmt: skip

    def assign(self, assignment: Mapping[str, BitWidths]) -> None:
        """Set the widths of every site.

        Raises:
            UnknownSiteError: A name is unknown, or a site has no widths.
            BitWidthError: A site does not allow its widths.
        """
        self.assignment = BitAssignment(assignment).checked(self.sites)
        for name, product in self.products.items():
            product.set_bits([self.assignment[f"{name}/degree{each}"] for each in range(self.form.degree_classes)])

    def calibrate_weights(self) -> None:
        """Fit the steps of weights to the weights as they are."""
        for product in self.products.values():
            if isinstance(product, Combination):
                product.weight_quantizer.calibrate(product.weight)

    @torch.no_grad()
    def calibrate(self, topology: Topology, assignments: Sequence[Mapping[str, BitWidths]]) -> None:
        """Measure the ranges of the widths of these assignments, one after the other, on nodes that do not judge."""
        kept = self.assignment
        with _calibrating(self):
            for assignment in assignments:
                self.assign(assignment)
                self(topology)
        if kept:
            self.assign(kept)


@contextmanager
def _calibrating(network: GraphNetwork) -> Iterator[None]:
    quantizers = [module for module in network.modules() if isinstance(module, ClassQuantizer)]
    was_training = network.training
    network.eval()
    for quantizer in quantizers:
        quantizer.calibrating = True
    yield
    for quantizer in quantizers:
        quantizer.calibrating = False
    network.train(was_training)


class GraphLayer(nn.Module):
    """A layer: what its form says of products, in one place.

    Attributes:
        dropout: Share of values that are dropped in a step of training.
    """

    def __init__(self, form: GraphNetworkForm, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.form, self.dropout = form, dropout

    def combination_of(self, inputs: int, outputs: int, *, reads_graph: bool = False) -> Combination:
        """Return a combination of this form; ``reads_graph``: of the graph's own features."""
        return Combination(
            inputs, outputs, widths=self.form.widths, classes=self.form.degree_classes,
            quantizer=self.form.input_quantizer if reads_graph else self.form.quantizer,
        )  # fmt: skip

    def aggregation_of(
        self, width: int, *, heads: int = 1, stores_messages: bool = False, score_operations: int = 0
    ) -> Aggregation:
        """Return an aggregation of this form."""
        return Aggregation(
            width, heads=heads, stores_messages=stores_messages, score_operations=score_operations,
            widths=self.form.widths, classes=self.form.degree_classes, quantizer=self.form.quantizer,
        )  # fmt: skip


@contextmanager
def without_dropout(network: GraphNetwork) -> Iterator[None]:
    """Drop nothing for a while."""
    layers = [module for module in network.modules() if isinstance(module, GraphLayer)]
    rates = [layer.dropout for layer in layers]
    for layer in layers:
        layer.dropout = 0.0
    yield
    for layer, rate in zip(layers, rates, strict=True):
        layer.dropout = rate
