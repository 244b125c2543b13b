"""How much memory a graph network's features and coefficients take, under an assignment of bits.

SGQuant's account: every layer's features and attention, all values of the former. Bags of words are mostly zero, so
:attr:`Storage.sparse_input_bits` also counts the graph's own features as compressed rows. Edges and weights, which the
paper leaves out, are not in these sums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from bitmixer.bitwidths import BitWidths
from bitmixer.graphs.network import GraphNetwork
from bitmixer.graphs.products import Aggregation
from bitmixer.graphs.quantizers import REAL
from bitmixer.graphs.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Bits of memory.

    Attributes:
        input_bits: Of the graph's own features, every value.
        sparse_input_bits: Of them in the smaller of two forms: every value, or compressed rows of all but zeros.
        hidden_bits: Of the features between layers.
        coefficient_bits: Of attention, or what the degrees say of edges.
        values: Number of values in the dense forms.
    """

    input_bits: int
    sparse_input_bits: int
    hidden_bits: int
    coefficient_bits: int
    values: int

    @property
    def dense_bits(self) -> int:
        """All of it, every value of the input stored."""
        return self.input_bits + self.hidden_bits + self.coefficient_bits

    @property
    def sparse_bits(self) -> int:
        """All of it, the input in the smaller of its forms."""
        return self.sparse_input_bits + self.hidden_bits + self.coefficient_bits

    @property
    def mean_bits(self) -> float:
        """Bits per value, in the dense forms."""
        return self.dense_bits / self.values


@dataclass(frozen=True, slots=True)
class StoredValues:
    """An operand of a product that lies in memory.

    Attributes:
        product: The product's name.
        operand: Which of its operands.
        counts: Values of each degree class.
    """

    product: str
    operand: Literal["weight", "activation"]
    counts: tuple[int, ...]


def stored_values(network: GraphNetwork, topology: Topology) -> list[StoredValues]:
    """Return every operand that lies in memory, the graph's own features first."""
    nodes = torch.bincount(topology.degree_class, minlength=topology.classes).tolist()
    edges = _edges_by_source(network, topology)
    found = []
    for name, product in network.products.items():
        if isinstance(product, Aggregation):
            found.append(StoredValues(name, "weight", tuple(product.heads * each for each in edges)))
        if "activation" in product.stores:
            found.append(StoredValues(name, "activation", tuple(product.input_width * each for each in nodes)))
    return found


def storage(network: GraphNetwork, topology: Topology, assignment: Mapping[str, BitWidths]) -> Storage:
    """Return what the network's stored operands take under an assignment."""
    in_input = _input_entries(topology)
    bits = {"input": 0, "sparse": 0, "hidden": 0, "coefficients": 0}
    stored = stored_values(network, topology)
    for place, each in enumerate(stored):
        sites = [assignment[f"{each.product}/degree{degree}"] for degree in range(topology.classes)]
        widths = [getattr(site, each.operand) for site in sites]
        if each.operand == "weight":
            bits["coefficients"] += _total(each.counts, widths)
            continue
        quantizer = network.products[each.product].activation_quantizer
        is_real = all(width == REAL for width in widths)
        ranges = 0 if is_real else topology.graph.nodes * quantizer.range_bits_per_node
        dense = _total(each.counts, widths) + ranges
        if place == 0:
            bits["input"] = dense
            sparse = _total(in_input, widths) + ranges + _index_bits(topology, sum(in_input))
            bits["sparse"] = min(dense, sparse)
        else:
            bits["hidden"] += dense
    return Storage(
        input_bits=bits["input"], sparse_input_bits=bits["sparse"], hidden_bits=bits["hidden"],
        coefficient_bits=bits["coefficients"], values=sum(sum(each.counts) for each in stored),
    )  # fmt: skip


def real_storage(network: GraphNetwork, topology: Topology) -> Storage:
    """Return what real numbers take."""
    return storage(network, topology, {site.name: BitWidths(REAL, REAL) for site in network.sites})


def _total(counts: Sequence[int], bits: Sequence[int]) -> int:
    return sum(count * each for count, each in zip(counts, bits, strict=True))


def _edges_by_source(network: GraphNetwork, topology: Topology) -> list[int]:
    pattern = topology.with_loops if network.reads_itself else topology.without_loops
    found: list[int] = torch.bincount(topology.degree_class[pattern.columns], minlength=topology.classes).tolist()
    return found


def _input_entries(topology: Topology) -> list[int]:
    """Return how many features are not zero, class by class."""
    per_node = (topology.graph.x != 0).sum(dim=1).double()
    counts = torch.bincount(topology.degree_class, weights=per_node, minlength=topology.classes)
    return [int(count) for count in counts]


def _index_bits(topology: Topology, entries: int) -> int:
    """Return the bits of compressed rows beside the values: a column per entry, a start per row."""
    column = math.ceil(math.log2(max(topology.graph.features, 2)))
    start = math.ceil(math.log2(entries + 1)) if entries else 1
    return entries * column + (topology.graph.nodes + 1) * start
