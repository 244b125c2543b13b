"""Queries of a graph's nodes, answered by one pass over the graph under the widths of the moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bitmixer.bitwidths import BitAssignment, BitWidths, require_allowed, require_known
from bitmixer.errors import BitWidthError
from bitmixer.graphs.network import GraphNetwork
from bitmixer.graphs.topology import Topology


class NodeQueries:
    """Answers queries: input i is the i-th of the nodes that judge.

    Args:
        network: The network; it is put into evaluation mode.
        topology: The graph.
        sites: Names of the sites that hardware has, in the order of issue: those of classes that have nodes.
    """

    def __init__(self, network: GraphNetwork, topology: Topology, sites: Sequence[str]) -> None:
        self._network = network.eval()
        self._topology = topology
        self._nodes = topology.graph.test_mask.nonzero().squeeze(1)
        self._by_name = {site.name: site for site in network.sites}
        self.sites = tuple(sites)

    @torch.no_grad()
    def logits(self, assignment: Mapping[str, BitWidths], queries: Sequence[int]) -> Tensor:
        """Return (queries, classes).

        Raises:
            UnknownSiteError: A name is unknown.
            BitWidthError: A site that hardware has is missing, or does not allow its widths.
        """
        for name in self.sites:
            if name not in assignment:
                raise BitWidthError(f"site {name!r} is not committed: commit it before the pass ends")
        # Classes without a node have no site, and their widths change nothing.
        empty = {name: site.allowed[-1] for name, site in self._by_name.items() if name not in self.sites}
        self._network.assign(BitAssignment({**empty, **assignment}))
        found: Tensor = self._network(self._topology)[self._nodes[list(queries)]]
        return found

    def run(self, queries: Sequence[int]) -> QueryRun:
        """Begin a pass that answers some queries."""
        return QueryRun(self, queries)

    def checked(self, site: str, widths: BitWidths) -> None:
        """Check that a site exists and allows these widths.

        Raises:
            UnknownSiteError: It does not exist.
            BitWidthError: It does not allow them.
        """
        require_allowed(require_known(site, self._by_name), widths)


class QueryRun:
    """A pass on its way, as hardware issues its sites; what they compute is known when all of them have run.

    Args:
        queries: The network and its graph.
        inputs: The queries of the frame.
    """

    def __init__(self, queries: NodeQueries, inputs: Sequence[int]) -> None:
        self._queries = queries
        self._inputs = list(inputs)
        self._widths: dict[str, BitWidths] = {}

    def commit(self, site: str, widths: BitWidths) -> None:
        """Fix a site's widths; they cannot be changed any more.

        Raises:
            UnknownSiteError: The network has no such site.
            BitWidthError: The site does not allow these widths, or was committed with others.
        """
        self._queries.checked(site, widths)
        if self._widths.setdefault(site, widths) != widths:
            raise BitWidthError(f"site {site!r} is committed at {self._widths[site]} and cannot run at {widths}")

    def advance(self, site: str) -> None:
        """Note that a committed site runs.

        Raises:
            BitWidthError: It is not committed.
        """
        if site not in self._widths:
            raise BitWidthError(f"site {site!r} is not committed: commit it before it runs")

    def finish(self) -> Tensor:
        """Return the logits (queries, classes).

        Raises:
            BitWidthError: A site is not committed.
        """
        return self._queries.logits(self._widths, self._inputs)
