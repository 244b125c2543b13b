"""How much memory a graph network's features and coefficients take, under an assignment of bits.

SGQuant's account: every layer's features and attention, all values of the former. Bags of words are mostly zero, so
:attr:`Storage.sparse_input_bits` also counts the graph's own features as compressed rows. Edges and weights, which the
paper leaves out, are not in these sums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

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


def storage(network: GraphNetwork, topology: Topology, assignment: Mapping[str, BitWidths]) -> Storage:
    """Return what the network's stored operands take under an assignment."""
    nodes = torch.bincount(topology.degree_class, minlength=topology.classes).tolist()
    in_input = _input_entries(topology)
    bits = {"input": 0, "sparse": 0, "hidden": 0, "coefficients": 0}
    values, is_input = 0, True
    for name, product in network.products.items():
        widths = [assignment[f"{name}/degree{each}"] for each in range(topology.classes)]
        if isinstance(product, Aggregation):
            edges = _edges_by_source(network, topology)
            counts = [product.heads * each for each in edges]
            values += sum(counts)
            bits["coefficients"] += _total(counts, [each.weight for each in widths])
        if "activation" in product.stores:
            counts = [product.input_width * each for each in nodes]
            activation_bits = [each.activation for each in widths]
            values += sum(counts)
            ranges = topology.graph.nodes * product.activation_quantizer.range_bits_per_node
            if all(each == REAL for each in activation_bits):
                ranges = 0
            dense = _total(counts, activation_bits) + ranges
            if is_input:
                bits["input"] = dense
                sparse = _total(in_input, activation_bits) + ranges + _index_bits(topology, sum(in_input))
                bits["sparse"] = min(dense, sparse)
            else:
                bits["hidden"] += dense
            is_input = False
    return Storage(
        input_bits=bits["input"], sparse_input_bits=bits["sparse"], hidden_bits=bits["hidden"],
        coefficient_bits=bits["coefficients"], values=values,
    )  # fmt: skip


def real_storage(network: GraphNetwork, topology: Topology) -> Storage:
    """Return what real numbers take."""
    return storage(network, topology, {site.name: BitWidths(REAL, REAL) for site in network.sites})


def _total(counts: list[int], bits: list[int]) -> int:
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
