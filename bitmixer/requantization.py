"""Where a network allows it: from one layer's accumulators to the next layer's codes by integer thresholds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import fx, nn

from bitmixer import operations
from bitmixer.kernels import Thresholds, encoded_codes, find_thresholds
from bitmixer.kernels.bit_planes import Codes, Integers
from bitmixer.layers import Affine, MixedLinear, ShiftedPReLU, Site, TransitionalNorm
from bitmixer.layers.site import whole_numbers
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.operations import is_site, module_of

_WORK = (
    (operations.is_stored, "stored as real numbers, for another reader"),
    (operations.is_join, "a join of real numbers"),
    (operations.is_average, "an average of real numbers"),
    (operations.is_maximum, "a maximum of real numbers"),
    (operations.is_norm, "a norm with statistics of each sample"),
    (lambda node: node.op == "output", "the network's result is real numbers"),
)
"""What the vector unit does with real numbers, by the node that does it."""

_found: WeakKeyDictionary[Site, dict[bytes, Thresholds]] = WeakKeyDictionary()
"""Thresholds behind each site, by the content of the chain that they stand for."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """What leads from the accumulators of a site to the codes of the only site that reads its result.

    All of it keeps the order of numbers in each channel, so that integer thresholds can stand for it.

    Attributes:
        producer: The site.
        between: Batch-norms (or the affines that stand in for them), activations and clamps, in the order of the flow.
        consumer: The site that reads.
    """

    producer: fx.Node
    between: tuple[fx.Node, ...]
    consumer: fx.Node

    @property
    def sites(self) -> tuple[Site, Site]:
        """The layers at both ends."""
        producer, consumer = module_of(self.producer), module_of(self.consumer)
        assert isinstance(producer, Site)
        assert isinstance(consumer, Site)
        return producer, consumer

    def fits(self, accumulators: Integers) -> bool:
        """Whether a channel of the accumulators is one for the whole chain: a batch-norm behind tokens has others."""
        on_tokens = isinstance(self.sites[0], MixedLinear) and accumulators.ndim > 2
        return not (on_tokens and any(isinstance(_norm(layer), nn.BatchNorm1d) for layer in self._layers()))

    def codes(self, accumulators: Integers) -> Codes:
        """Return what the consumer reads, by comparisons of integers; all layers have their current widths.

        Args:
            accumulators: Shape (inputs, channels, *positions), or (inputs, tokens, features) of a linear layer.

        Raises:
            DatapathError: The chain leads to a value that is no number.
        """
        channels = -1 if isinstance(self.sites[0], MixedLinear) else 1
        codes = self.thresholds().requantize(np.moveaxis(accumulators, channels, 1))
        return np.moveaxis(codes.astype(np.int16), 1, channels)  # windows of small codes are faster to pack

    @torch.no_grad()
    def thresholds(self) -> Thresholds:
        """Return the thresholds at the current widths; found once, and again when what they depend on has changed.

        Raises:
            DatapathError: The chain leads to a value that is no number.
        """
        producer, consumer = self.sites
        producer.set_quantizers()
        consumer.set_quantizers()
        known = _found.setdefault(producer, {})
        content = self._content()
        if content not in known:
            known[content] = self._bisected()
        return known[content]

    def _layers(self) -> list[nn.Module]:
        return [layer for node in self.between if (layer := module_of(node)) is not None]

    def _content(self) -> bytes:
        """Return a hash of all that decides the thresholds."""
        producer, consumer = self.sites
        norms = [_norm(layer) for layer in self._layers()]
        quantizer = consumer.activation_quantizer
        described = (producer.scale().dtype, producer.largest_accumulator, quantizer.code_format, norms)
        tensors = [producer.scale(), *quantizer.parameters(), *([] if producer.bias is None else [producer.bias])]
        tensors += [tensor for norm in norms for tensor in norm.state_dict().values()]
        content = hashlib.sha256(repr(described).encode())
        for tensor in tensors:
            content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return content.digest()

    def _bisected(self) -> Thresholds:
        producer, consumer = self.sites
        quantizer, layers = consumer.activation_quantizer, self._layers()
        positions = (1,) * (producer.weight.dim() - 2)

        def chain(accumulators: Integers) -> Integers:
            x = torch.from_numpy(accumulators).to(producer.weight).reshape(*accumulators.shape, *positions)
            x = producer.scaled(x)
            for layer in layers:
                x = layer(x)
            return whole_numbers(quantizer.codes(x)).reshape(accumulators.shape).astype(np.int64)

        return find_thresholds(
            chain,
            codes=encoded_codes(quantizer.code_format.bits, quantizer.code_format.encoding),
            channels=len(producer.weight),
            largest=producer.largest_accumulator,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Accumulators:
    """A site's integer sums on their way to the codes of its consumer, whose thresholds do the work in between."""

    sums: Integers
    chain: Chain


def chains(network: MetaQuantizedNetwork) -> dict[str, Chain | str]:
    """Return what leads to each site's only reader, or why integer thresholds cannot stand for it.

    They can where a site's result goes to one other site and nowhere else, through nothing but batch-norms (or the
    affines that stand in for them), ReLUs and clamps. What meets in a join, waits as a stored copy, is pooled or has
    statistics of each sample is the vector unit's work and keeps its real numbers.
    """
    nodes = {str(node.target): node for node in network.body.graph.nodes if is_site(node)}
    return {site.name: _chain(nodes[site.name]) for site in network.sites}


def integer_thresholds(network: MetaQuantizedNetwork) -> dict[str, Thresholds]:
    """Return the thresholds of every site that allows them, by its name, under the network's current assignment.

    Args:
        network: The network, in evaluation with its quantisers on.
    """
    return {name: chain.thresholds() for name, chain in chains(network).items() if isinstance(chain, Chain)}


def _chain(site: fx.Node) -> Chain | str:
    between: list[fx.Node] = []
    node = site
    while len(node.users) == 1:
        (node,) = node.users
        if is_site(node):
            return Chain(producer=site, between=tuple(between), consumer=node)
        if not _keeps_order(module_of(node)):
            work = next((work for is_kind, work in _WORK if is_kind(node)), "not a batch-norm, ReLU or clamp")
            return f"{node.name}: {work}"
        between.append(node)
    return f"{node.name}: its result has {len(node.users)} readers"


def _keeps_order(layer: nn.Module | None) -> bool:
    """Tell whether a module treats the elements of a channel alike, without turning back."""
    if isinstance(layer, TransitionalNorm):
        return isinstance(_norm(layer), nn.BatchNorm1d | nn.BatchNorm2d | Affine)
    if isinstance(layer, ShiftedPReLU):
        return layer.rises
    return isinstance(layer, nn.ReLU | nn.Hardtanh | nn.Identity | nn.Dropout)


def _norm(layer: nn.Module) -> nn.Module:
    """Return the norm that a transitional one uses; any other module as it is."""
    return layer.norms[layer.current] if isinstance(layer, TransitionalNorm) else layer
