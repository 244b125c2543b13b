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
from bitmixer.kernels.bit_planes import Codes as AnyCodes
from bitmixer.layers import MixedLinear, Site, TransitionalNorm
from bitmixer.layers.site import whole_numbers
from bitmixer.network import MetaQuantizedNetwork, transition
from bitmixer.operands import Codes, SiteOperands
from bitmixer.operations import module_of
from bitmixer.requantization import Accumulators, Chain, chains

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
            same bits. It requantises by integer thresholds where the network allows it
            (:func:`requantization`).

    Raises:
        UnknownSiteError: A name is unknown, or a site is missing.
        BitWidthError: A site does not allow its widths.
        DatapathError: There is no such datapath, or it meets a value that is no number.
        MissingExtraError: The extra of the datapath is not installed.
    """
    network.eval()
    network.use_datapath(datapath)
    network.assign(assignment)
    batches = torch.split(inputs, batch_size)
    if datapath == "bit_parallel":
        return torch.cat([network(batch) for batch in batches])
    return torch.cat(
        [_committed_run(network, batch, network.assignment, datapath).finish(forget=True) for batch in batches]
    )


def requantization(
    network: MetaQuantizedNetwork, inputs: Tensor, assignment: Mapping[str, BitWidths]
) -> dict[str, str]:
    """Say how the bit-serial datapath leads from each site's accumulators to what follows.

    Args:
        network: The network; it is put into evaluation mode.
        inputs: The first of them runs.
        assignment: The widths of every site.

    Returns:
        Site -> ``thresholds``, or why its accumulators are scaled to real numbers instead.

    Raises:
        UnknownSiteError: A name is unknown, or a site is missing.
        BitWidthError: A site does not allow its widths.
        MissingExtraError: The extra ``kernels`` is not installed.
    """
    stepwise = _committed_run(network, inputs[:1], assignment, "bit_serial")
    stepwise.finish()
    return stepwise.requantization


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
    stepwise = _committed_run(network, inputs, assignment, "bit_parallel")
    for named in network.sites:
        yield stepwise.operands(named.name)


def _committed_run(
    network: MetaQuantizedNetwork, inputs: Tensor, assignment: Mapping[str, BitWidths], datapath: Datapath
) -> StepwiseRun:
    stepwise = StepwiseRun(network, inputs, datapath=datapath)
    for site, widths in BitAssignment(assignment).checked(network.sites).items():
        stepwise.commit(site, widths)
    return stepwise


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
        self._chains = chains(network) if datapath == "bit_serial" else {}
        self._requantization: dict[str, str] = {}

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
        read = self._value(node.all_input_nodes[0])
        self._switch(node)
        weights, activations = whole_numbers(layer.weight_codes()), self._codes(layer, read)
        if isinstance(layer, MixedLinear):  # (inputs, tokens, features) -> (inputs, features, tokens)
            weights = weights[..., None]
            activations = activations.reshape(len(self._inputs), -1, layer.weight.shape[1]).swapaxes(1, 2)
        return SiteOperands(
            site=site, widths=layer.widths, weights=_on_a_map(weights), activations=_on_a_map(activations)
        )

    @property
    def requantization(self) -> dict[str, str]:
        """What :func:`requantization` says, of the sites that were computed so far on the bit-serial datapath."""
        return {site: self._requantization[site] for site in self._sites if site in self._requantization}

    def finish(self, *, forget: bool = False) -> Tensor:
        """Return the logits.

        Args:
            forget: Let go of every value as soon as nothing waits for it; nothing else can be asked of the run then.

        Raises:
            BitWidthError: A site is not committed.
        """
        result: Tensor = self._value(self._output, forget=forget)
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
        branched._requantization.update(self._requantization)  # widths do not show in it
        return branched

    def _key(self, node: fx.Node) -> tuple[int, ...]:
        """Return the bits that a node's own work depends on, beside its operands."""
        module = module_of(node)
        if isinstance(module, Site):
            return self._widths[str(node.target)]
        if isinstance(module, TransitionalNorm):
            return transition(self._widths, *self._network.transitions[str(node.target)])
        return ()

    def _switch(self, node: fx.Node) -> None:
        """Set what a node computes with to the widths of this run."""
        module = module_of(node)
        if isinstance(module, Site):
            module.widths = BitWidths(*self._key(node))
            module.datapath = self._datapath
        elif isinstance(module, TransitionalNorm):
            module.select(*self._key(node))

    @torch.no_grad()
    def _value(self, node: fx.Node, *, forget: bool = False) -> Any:
        # Iterative: the way back through many residual blocks is longer than Python's call stack.
        pending = [node]
        while pending:
            current = pending[-1]
            missing = [operand for operand in current.all_input_nodes if operand not in self._values]
            if missing:
                pending.extend(missing)
                continue
            pending.pop()
            if current in self._values:
                continue
            self._values[current] = self._compute(current)
            for operand in current.all_input_nodes if forget else ():
                if all(user in self._values for user in operand.users):
                    self._values[operand] = None
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
        return self._called(node, arguments, keywords)

    def _called(self, node: fx.Node, arguments: Any, keywords: Any) -> Any:
        """Return the result of a module."""
        module, read = module_of(node), self._values[node.all_input_nodes[0]]
        assert module is not None
        if isinstance(module, Site) and self._datapath == "bit_serial" and module.multiplies_codes:
            return self._multiplied(node, module, read)
        if isinstance(read, Accumulators):
            return read
        self._switch(node)
        return module(*arguments, **keywords)

    def _multiplied(self, node: fx.Node, site: Site, read: Tensor | Accumulators) -> Tensor | Accumulators:
        """Return a site's accumulators where thresholds follow, else what they are worth."""
        self._switch(node)
        sums = site.bit_serial_sums(self._codes(site, read))
        chain = self._chains[str(node.target)]
        if isinstance(chain, Chain):
            chain = chain if chain.fits(sums) else f"{chain.between[0].name}: a batch-norm over tokens"
        self._requantization[str(node.target)] = chain if isinstance(chain, str) else "thresholds"
        if isinstance(chain, Chain):
            return Accumulators(sums=sums, chain=chain)
        return site.scaled(torch.from_numpy(sums).to(read if isinstance(read, Tensor) else site.weight))

    def _codes(self, site: Site, read: Tensor | Accumulators) -> AnyCodes:
        """Return the codes of what a site reads."""
        if isinstance(read, Tensor):
            site.set_quantizers()
            return whole_numbers(site.activation_quantizer.codes(read))
        for node in (read.chain.producer, *read.chain.between):  # others may have switched them since
            self._switch(node)
        return read.chain.codes(read.sums)


def _on_a_map(codes: AnyCodes) -> Codes:
    """Return codes in shape (.., channels, height, width); height 1, where they have none."""
    whole: Codes = codes.astype(np.int32)
    return whole if whole.ndim == 4 else whole[:, :, None, :]
