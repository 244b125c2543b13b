"""A graph network on a graph, as hardware sees it: a layer graph whose sites are products of degree classes.

A combination of a class is a linear layer over its nodes: each feature is read once, so its traffic follows the mean of
the bits over *nodes*. An aggregation gathers a message for every edge, so it follows the mean over *edges*, in which
nodes of many edges weigh more. Its sizes are those of a convolution of kernel 1 with a group for every edge and head,
whose weight is the edge's coefficient and whose positions are the message's elements; how the edges meet at targets and
leave sources is in its ``gather``. A target's sums stay on chip while it takes the messages of all classes, each at its
class's width; the vector unit adds the classes' parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bitmixer.bitwidths import MAX_BITS, BitWidths
from bitmixer.graph import NETWORK_INPUT, Gather, Layer, LayerGraph
from bitmixer.graphs.network import GraphNetwork
from bitmixer.graphs.products import Aggregation, GraphProduct
from bitmixer.graphs.sites import allowed_pairs
from bitmixer.graphs.sparse_pattern import SparsePattern
from bitmixer.graphs.topology import Topology


def capture_graph_network(network: GraphNetwork, topology: Topology, *, name: str) -> LayerGraph:
    """Return the layer graph of one pass over a whole graph; one input of it is the graph.

    Every site may run at any pair of the form's widths up to 8 bits: hardware has no real numbers. Classes without a
    node or an edge have no site. Ranges are two numbers per class, so that nothing is fetched when widths change
    (``norm_bits`` 0).
    """
    widths = allowed_pairs(*[[bits for bits in network.form.widths if bits <= MAX_BITS]] * 2)
    products = list(network.products.items())
    edges = topology.with_loops if network.reads_itself else topology.without_loops
    of_edges = topology.degree_class[edges.columns]
    nodes, sources = (
        torch.bincount(classes, minlength=topology.classes).tolist() for classes in (topology.degree_class, of_edges)
    )
    ends = [_Ends.of(edges, of_edges == each) for each in range(topology.classes)]
    layers: list[Layer] = []
    for at, (product_name, product) in enumerate(products):
        entries = sources if isinstance(product, Aggregation) else nodes
        around = _Around(products, at, nodes, sources)
        for each, count in enumerate(entries):
            if count:
                layers.append(_site(product_name, product, each, nodes[each], count, widths, around, ends[each]))
    return LayerGraph(
        network=name, input_shape=(topology.graph.nodes, topology.graph.features), classes=network.form.classes,
        residual_bits=8, norm_bits=0, weight_codes="nested", layers=tuple(layers), joins=(), one_pass=True,
    )  # fmt: skip


class _Ends(NamedTuple):
    """How often nodes are ends of a class's edges: (edges, nodes), ascending."""

    fan_in: tuple[tuple[int, int], ...]
    fan_out: tuple[tuple[int, int], ...]
    index_bits: int

    @classmethod
    def of(cls, edges: SparsePattern, chosen: Tensor) -> _Ends:
        """Count those of the edges that are chosen."""
        targets, sources = edges.shape
        return cls(
            _histogram(edges.rows[chosen], targets), _histogram(edges.columns[chosen], sources),
            max((sources - 1).bit_length(), 1),
        )  # fmt: skip


def _histogram(ends: Tensor, nodes: int) -> tuple[tuple[int, int], ...]:
    counted = torch.bincount(torch.bincount(ends, minlength=nodes)).tolist()
    return tuple((edges, found) for edges, found in enumerate(counted) if edges and found)


class _Around:
    """What stands before and behind a product."""

    def __init__(
        self, products: Sequence[tuple[str, GraphProduct]], at: int, nodes: list[int], sources: list[int]
    ) -> None:
        self.before = products[at - 1] if at else None
        self.behind = products[at + 1] if at + 1 < len(products) else None
        self._nodes, self._sources = nodes, sources

    def sites(self, product: tuple[str, GraphProduct] | None) -> dict[int, str]:
        """Return the sites of a product by their class."""
        if product is None:
            return {}
        counts = self._sources if isinstance(product[1], Aggregation) else self._nodes
        return {each: f"{product[0]}/degree{each}" for each, count in enumerate(counts) if count}


def _site(
    name: str, product: GraphProduct, each: int, nodes: int, count: int, widths: tuple[BitWidths, ...],
    around: _Around, ends: _Ends,
) -> Layer:  # fmt: skip
    """Return a product's site for a class of ``nodes`` nodes; ``count``: of them, or of the edges that leave them."""
    gathers = isinstance(product, Aggregation)
    producers, consumers = around.sites(around.before), around.sites(around.behind)
    # A class's messages go to that class's own aggregation; what was aggregated may go to nodes of any class.
    mixes_before = around.before is not None and isinstance(around.before[1], Aggregation)
    heads = product.heads if isinstance(product, Aggregation) else 1
    results = nodes * product.output_width
    passed_on = results if around.behind is None else nodes * min(product.output_width, around.behind[1].input_width)
    kept = nodes * max(around.before[1].output_width - product.input_width, 0) if gathers and around.before else 0
    operations = results  # a bias, an activation, a rounding: as each result drains
    gather = None
    if isinstance(product, Aggregation):
        gather = Gather(heads=heads, message_elements=product.output_width, **ends._asdict())
        operations += gather.targets * product.output_width + count * product.score_operations
    groups = count * heads if gathers else 1
    return Layer(
        name=f"{name}/degree{each}",
        kind="convolution" if gathers else "linear",
        input_channels=groups if gathers else product.input_width,
        output_channels=groups if gathers else product.output_width,
        kernel_height=1, kernel_width=1, stride=(1, 1), padding=(0, 0), groups=groups,
        input_height=1, input_width=product.input_width // heads if gathers else count,
        output_height=1, output_width=product.output_width // heads if gathers else count,
        allowed=widths,
        producers=_linked(producers, each, everyone=mixes_before) or (NETWORK_INPUT,),
        consumers=_linked(consumers, each, everyone=gathers),
        key_consumer=consumers.get(each),
        is_key_consumer=True,
        stream_write_elements=passed_on,
        residual_write_elements=results - passed_on,
        residual_read_elements=kept,
        vector_operations=operations,
        gather=gather,
    )  # fmt: skip


def _linked(sites: dict[int, str], each: int, *, everyone: bool) -> tuple[str, ...]:
    return tuple(site for other, site in sites.items() if everyone or other == each)
