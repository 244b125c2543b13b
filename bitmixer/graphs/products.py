"""The two products of a graph layer, each with quantised operands: dense combination and sparse aggregation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from bitmixer.bitwidths import BitWidths
from bitmixer.graphs.quantizers import REAL, ClassQuantizer, node_quantizer
from bitmixer.graphs.sites import Product
from bitmixer.graphs.sparse_pattern import SparsePattern
from bitmixer.graphs.topology import Features, Topology
from bitmixer.quantizers.nested import NestedWeightQuantizer

WEIGHT_WIDTHS = (1, 2, 4, 8)


class GraphProduct(nn.Module):
    """A product whose widths are chosen per degree class.

    Attributes:
        kind: ``combination`` or ``aggregation``.
        stores: The operands that lie in memory between layers.
        input_width: Elements of an activation operand: a node's features or message.
        output_width: Elements of a node's result.
        bits: Widths of each degree class.
    """

    kind: Product
    stores: tuple[Literal["weight", "activation"], ...]

    def __init__(self, input_width: int, output_width: int, classes: int) -> None:
        super().__init__()
        self.input_width, self.output_width = input_width, output_width
        self.bits: tuple[BitWidths, ...] = (BitWidths(REAL, REAL),) * classes

    def set_bits(self, bits: Sequence[BitWidths]) -> None:
        """Set the widths of every class."""
        self.bits = tuple(bits)
        self.activation_quantizer.bits = tuple(widths.activation for widths in bits)

    def stored_quantizer(self, operand: Literal["weight", "activation"]) -> ClassQuantizer:
        """Return the quantiser of an operand that lies in memory."""
        return self.activation_quantizer

    activation_quantizer: ClassQuantizer


class Combination(GraphProduct):
    """Features times weights, (nodes, inputs) x (inputs, outputs), each degree class at its own widths.

    In evaluation, where a class has quantised operands on both sides, codes are multiplied as whole numbers (in
    float64, exact below 2^53) and scaled afterwards.

    Args:
        inputs: Features of a node.
        outputs: Features of a message.
        widths: Bit-widths of features.
        classes: Degree classes.
        quantizer: Name of the quantiser of features.
    """

    kind = "combination"
    stores = ("activation",)

    def __init__(self, inputs: int, outputs: int, *, widths: Sequence[int], classes: int, quantizer: str) -> None:
        super().__init__(inputs, outputs, classes)
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        nn.init.xavier_uniform_(self.weight)
        self.activation_quantizer = node_quantizer(quantizer, widths, classes)
        self.weight_quantizer = NestedWeightQuantizer(WEIGHT_WIDTHS)

    def forward(self, features: Features, topology: Topology, *, dropout: float = 0.0) -> Tensor:
        """Return (nodes, outputs)."""
        if not self.training and all(REAL not in widths for widths in self.bits):
            return self._integer_product(features, topology)
        rounded = features.with_values(self.activation_quantizer(features.values, features.owners))
        rounded = rounded.dropped(dropout, training=self.training)
        return self._by_class([rounded.times(weight) for weight in self._weights()], topology)

    @property
    def _weight_bits(self) -> list[int]:
        return sorted({widths.weight for widths in self.bits})

    def _weights(self) -> list[Tensor]:
        """Return the weights at every width that a class asks for."""
        return [self.weight if bits == REAL else self._at(bits)(self.weight) for bits in self._weight_bits]

    def _at(self, bits: int) -> NestedWeightQuantizer:
        self.weight_quantizer.bits = bits
        return self.weight_quantizer

    def _by_class(self, products: list[Tensor], topology: Topology) -> Tensor:
        """Return the rows of each class, of products whose weights are at the widths asked for."""
        if len(products) == 1:
            return products[0]
        which = torch.tensor([self._weight_bits.index(widths.weight) for widths in self.bits])[topology.degree_class]
        return torch.stack(products)[which, torch.arange(len(which))]

    @torch.no_grad()
    def _integer_product(self, features: Features, topology: Topology) -> Tensor:
        coded = self.activation_quantizer.encode(features.values, features.owners)
        codes = features.with_values(coded.codes.double())
        step, lower = (self._of_nodes(part, features) for part in (coded.step, coded.lower))
        products = []
        for bits in self._weight_bits:
            weight = self._at(bits).encode(self.weight)
            whole = codes.times(weight.codes.double())
            offset = lower * weight.codes.double().sum(dim=0)
            products.append(((whole * step + offset) * weight.step.double()).float())
        return self._by_class(products, topology)

    def _of_nodes(self, part: Tensor, features: Features) -> Tensor:
        """Return (nodes, 1) of what is the same for all entries of a node."""
        owner = features.owners.node
        if owner is None:
            return part.double()
        return torch.zeros(len(features.owners.degree_class), 1).index_copy(0, owner, part.reshape(-1, 1)).double()


class Aggregation(GraphProduct):
    """Coefficients of edges times messages of their sources, summed at their targets.

    Args:
        width: Features of a message.
        heads: Heads, each with coefficients of its own.
        widths: Bit-widths of coefficients and messages.
        classes: Degree classes.
        quantizer: Name of the quantiser of both.
        stores_messages: Whether messages are the features that lie in memory, not the result of a combination.
        score_operations: Element operations per edge that its coefficients take; 0 where the degrees say them.
    """

    kind = "aggregation"

    def __init__(
        self, width: int, *, heads: int = 1, widths: Sequence[int], classes: int, quantizer: str,
        stores_messages: bool = False, score_operations: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(width * heads, width * heads, classes)
        self.stores = ("weight", "activation") if stores_messages else ("weight",)
        self.heads, self.score_operations = heads, score_operations
        self.activation_quantizer = node_quantizer(quantizer, widths, classes)
        self.coefficient_quantizer = node_quantizer(quantizer, widths, classes)

    def set_bits(self, bits: Sequence[BitWidths]) -> None:
        """Set the widths of every class."""
        super().set_bits(bits)
        self.coefficient_quantizer.bits = tuple(widths.weight for widths in bits)

    def stored_quantizer(self, operand: Literal["weight", "activation"]) -> ClassQuantizer:
        """Return the quantiser of an operand that lies in memory."""
        return self.coefficient_quantizer if operand == "weight" else self.activation_quantizer

    def forward(
        self, pattern: SparsePattern, coefficients: Tensor, messages: Tensor, topology: Topology, *,
        dropout: float = 0.0,
    ) -> Tensor:  # fmt: skip
        """Return (nodes, width) or (nodes, heads, width), of coefficients (entries[, heads]) and such messages."""
        rounded = self.coefficient_quantizer(coefficients, topology.edge_owners(pattern))
        rounded = nn.functional.dropout(rounded, dropout, self.training)
        flat = messages.reshape(len(messages), -1)
        sent = self.activation_quantizer(flat, topology.owners).reshape(messages.shape)
        return pattern.product(rounded, sent)
