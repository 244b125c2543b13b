"""Run a network under a bit assignment: whole frames in batches, or layer by layer as hardware does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from bitmixer.bitwidths import BitWidths, require_allowed
from bitmixer.errors import BitWidthError, UnknownSiteError, did_you_mean
from bitmixer.layers import Site, TransitionalNorm
from bitmixer.network import MetaQuantizedNetwork, transition
from bitmixer.operations import module_of

BATCH_SIZE = 250


@torch.no_grad()
def run(
    network: MetaQuantizedNetwork,
    inputs: Tensor,
    assignment: Mapping[str, BitWidths],
    *,
    batch_size: int = BATCH_SIZE,
) -> Tensor:
    """Return the logits of all inputs under one assignment, shape (inputs, classes)."""
    network.eval()
    network.assign(assignment)
    return torch.cat([network(batch) for batch in torch.split(inputs, batch_size)])


class _Committed(dict[str, BitWidths]):
    """Widths that are fixed; asking for those of a site that is not committed is an error."""

    def __missing__(self, site: str) -> BitWidths:
        raise BitWidthError(f"site {site!r} is not committed: commit it before a layer needs its widths")


class StepwiseRun:
    """One batch of inputs on its way through a network, layer by layer, resumable between layers.

    Several runs may be under way at once: each sets the widths of what it computes, when it computes it.

    Args:
        network: The network; it is put into evaluation mode.
        inputs: A batch of inputs.
    """

    def __init__(self, network: MetaQuantizedNetwork, inputs: Tensor) -> None:
        self._network = network.eval()
        self._inputs = inputs
        self._sites = {site.name: site for site in network.sites}
        self._widths = _Committed()
        self._values: dict[fx.Node, Any] = {}
        self._nodes = {str(node.target): node for node in network.body.graph.nodes if node.op == "call_module"}
        self._output = next(node for node in network.body.graph.nodes if node.op == "output")

    def commit(self, site: str, widths: BitWidths) -> None:
        """Fix a site's widths; they cannot be changed any more.

        Raises:
            UnknownSiteError: The network has no such site.
            BitWidthError: The site does not allow these widths, or was committed with others.
        """
        self._require_known(site)
        require_allowed(self._sites[site], widths)
        if self._widths.setdefault(site, widths) != widths:
            raise BitWidthError(f"site {site!r} is committed at {self._widths[site]} and cannot run at {widths}")

    def advance(self, site: str) -> None:
        """Compute everything up to and including a committed site.

        Raises:
            UnknownSiteError: The network has no such site.
            BitWidthError: The site, or one before it, is not committed.
        """
        self._require_known(site)
        self._value(self._nodes[site])

    def finish(self) -> Tensor:
        """Return the logits.

        Raises:
            BitWidthError: A site is not committed.
        """
        result: Tensor = self._value(self._output)
        return result

    def _require_known(self, site: str) -> None:
        if site not in self._sites:
            raise UnknownSiteError(f"site {site!r} is not in this network: {did_you_mean(site, self._sites)}")

    @torch.no_grad()
    def _value(self, node: fx.Node) -> Any:
        # Iterative: the way back through many residual blocks is longer than Python's call stack.
        pending = [node]
        while pending:
            current = pending[-1]
            missing = [operand for operand in current.all_input_nodes if operand not in self._values]
            if missing:
                pending.extend(missing)
                continue
            pending.pop()
            if current not in self._values:
                self._values[current] = self._compute(current)
        return self._values[node]

    def _compute(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._inputs
        arguments = fx.node.map_arg(node.args, self._values.__getitem__)
        keywords = fx.node.map_arg(node.kwargs, self._values.__getitem__)
        if node.op == "output":
            return arguments[0]
        if node.op == "call_method":
            return getattr(arguments[0], str(node.target))(*arguments[1:], **keywords)
        if node.op == "call_function":
            assert callable(node.target)
            return node.target(*arguments, **keywords)
        module = module_of(node)
        assert module is not None
        if isinstance(module, Site):
            module.widths = self._widths[str(node.target)]
        elif isinstance(module, TransitionalNorm):
            module.select(*transition(self._widths, *self._network.transitions[str(node.target)]))
        return module(*arguments, **keywords)
