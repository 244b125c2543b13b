"""Run a network under a bit assignment: whole frames in batches, or layer by layer as hardware does."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from bitmixer.bitwidths import (
    BitAssignment,
    BitWidths,
    Datapath,
    checked_datapath,
    require_allowed,
    require_known,
)
from bitmixer.errors import BitWidthError, QuantizerError
from bitmixer.layers import MixedLinear, Site, TransitionalNorm
from bitmixer.network import MetaQuantizedNetwork, transition
from bitmixer.operands import Codes, SiteOperands
from bitmixer.operations import module_of

BATCH_SIZE = 250


@torch.no_grad()
def run(
    network: MetaQuantizedNetwork,
    inputs: Tensor,
    assignment: Mapping[str, BitWidths],
    *,
    batch_size: int = BATCH_SIZE,
    datapath: Datapath = "bit_parallel",
) -> Tensor:
    """Return the logits of all inputs under one assignment, shape (inputs, classes).

    Args:
        network: The network; it is put into evaluation mode.
        inputs: All inputs.
        assignment: The widths of every site.
        batch_size: Inputs that are computed at once; it does not show in the result.
        datapath: How codes are multiplied; ``bit_serial`` takes longer, needs the extra ``kernels``, and gives the
            same bits.

    Raises:
        UnknownSiteError: A name is unknown, or a site is missing.
        BitWidthError: A site does not allow its widths.
        DatapathError: There is no such datapath, or it meets a value that is no number.
        MissingExtraError: The extra of the datapath is not installed.
    """
    network.eval()
    network.use_datapath(datapath)
    network.assign(assignment)
    return torch.cat([network(batch) for batch in torch.split(inputs, batch_size)])


def operands(
    network: MetaQuantizedNetwork, inputs: Tensor, assignment: Mapping[str, BitWidths]
) -> Iterator[SiteOperands]:
    """Yield what each site multiplies, in the order of issue, as inputs pass through a network.

    All of ``inputs`` run at once and their values are kept until the last site: give as many as fit in memory.

    Raises:
        UnknownSiteError: A name is unknown, or a site is missing.
        BitWidthError: A site does not allow its widths.
        QuantizerError: The network's quantisers are off, so that there are no codes.
    """
    stepwise = StepwiseRun(network, inputs)
    for site, widths in BitAssignment(assignment).checked(network.sites).items():
        stepwise.commit(site, widths)
    for named in network.sites:
        yield stepwise.operands(named.name)


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
        datapath: How codes are multiplied, as in :func:`run`.

    Raises:
        DatapathError: There is no such datapath.
    """

    def __init__(self, network: MetaQuantizedNetwork, inputs: Tensor, *, datapath: Datapath = "bit_parallel") -> None:
        self._network = network.eval()
        self._datapath = checked_datapath(datapath)
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
        require_allowed(require_known(site, self._sites), widths)
        if self._widths.setdefault(site, widths) != widths:
            raise BitWidthError(f"site {site!r} is committed at {self._widths[site]} and cannot run at {widths}")

    def advance(self, site: str) -> None:
        """Compute everything up to and including a committed site.

        Raises:
            UnknownSiteError: The network has no such site.
            BitWidthError: The site, or one before it, is not committed.
        """
        require_known(site, self._sites)
        self._value(self._nodes[site])

    def operands(self, site: str) -> SiteOperands:
        """Return what a committed site multiplies; computes what comes before the site, not the site.

        Raises:
            UnknownSiteError: The network has no such site.
            BitWidthError: The site, or one before it, is not committed.
            QuantizerError: The site's quantisers are off, so that there are no codes.
        """
        layer = require_known(site, self._sites).layer
        if not (layer.quantize_weights and layer.quantize_activations):
            raise QuantizerError(
                f"site {site!r} has no integer codes while quantisers are off: call network.quantize()"
            )
        node = self._nodes[site]
        layer.widths = self._widths[site]
        weights, activations = layer.operands(self._value(node.all_input_nodes[0]))
        if isinstance(layer, MixedLinear):  # (inputs, tokens, features) -> (inputs, features, tokens)
            weights = weights.unsqueeze(-1)
            activations = activations.reshape(len(self._inputs), -1, layer.weight.shape[1]).transpose(1, 2)
        return SiteOperands(
            site=site, widths=layer.widths, weights=_on_a_map(weights), activations=_on_a_map(activations)
        )

    def finish(self) -> Tensor:
        """Return the logits.

        Raises:
            BitWidthError: A site is not committed.
        """
        result: Tensor = self._value(self._output)
        return result

    def branch(self, changes: Mapping[str, BitWidths]) -> StepwiseRun:
        """Return a run of the same inputs in which some committed sites have other widths.

        It takes over every value that does not depend on them, so that only what follows is computed again. This
        run stays as it is.

        Raises:
            UnknownSiteError: The network has no such site.
            BitWidthError: A site does not allow its widths.
        """
        branched = StepwiseRun(self._network, self._inputs, datapath=self._datapath)
        for site, widths in {**self._widths, **changes}.items():
            branched.commit(site, widths)
        for node in self._network.body.graph.nodes:  # operands come before their users
            kept = all(operand in branched._values for operand in node.all_input_nodes)
            if kept and node in self._values and branched._key(node) == self._key(node):
                branched._values[node] = self._values[node]
        return branched

    def _key(self, node: fx.Node) -> tuple[int, ...]:
        """Return the bits that a node's own work depends on, beside its operands."""
        module = module_of(node)
        if isinstance(module, Site):
            return self._widths[str(node.target)]
        if isinstance(module, TransitionalNorm):
            return transition(self._widths, *self._network.transitions[str(node.target)])
        return ()

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
        if node.op == "get_attr":  # a parameter that is no layer's: a position embedding, a scale
            return operator.attrgetter(str(node.target))(self._network.body)
        if node.op == "call_method":
            return getattr(arguments[0], str(node.target))(*arguments[1:], **keywords)
        if node.op == "call_function":
            assert callable(node.target)
            return node.target(*arguments, **keywords)
        module = module_of(node)
        assert module is not None
        if isinstance(module, Site):
            module.widths = BitWidths(*self._key(node))
            module.datapath = self._datapath
        elif isinstance(module, TransitionalNorm):
            module.select(*self._key(node))
        return module(*arguments, **keywords)


def _on_a_map(codes: Tensor) -> Codes:
    """Return codes as whole numbers of shape (.., channels, height, width); height 1, where they have none."""
    whole: Codes = codes.cpu().numpy().astype(np.int32)
    return whole if whole.ndim == 4 else whole[:, :, None, :]
