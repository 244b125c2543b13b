"""Where a network allows it: from one layer's accumulators to the next layer's codes by integer thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx, nn

from bitmixer.kernels import Thresholds, encoded_codes, find_thresholds
from bitmixer.kernels.bit_planes import Integers
from bitmixer.layers import Affine, Site, TransitionalNorm
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.operations import module_of


def integer_thresholds(network: MetaQuantizedNetwork) -> dict[str, Thresholds]:
    """Return the thresholds of every site that allows them, by its name, under the network's current assignment.

    A site allows them if its result goes to one other site and nowhere else, through nothing but batch-norms (or the
    affines that stand in for them) and ReLUs. What meets in a join, waits as a stored copy, is pooled or has statistics
    of each sample is the vector unit's work and keeps its real numbers.

    Args:
        network: The network, in evaluation with its quantisers on.
    """
    found = {}
    for site in network.sites:
        node = next(node for node in network.body.graph.nodes if node.target == site.name)
        between, reader = _way_to_reader(node)
        if reader is not None:
            found[site.name] = _thresholds(site.layer, between, reader)
    return found


def _way_to_reader(node: fx.Node) -> tuple[list[nn.Module], Site | None]:
    between: list[nn.Module] = []
    while len(node.users) == 1:
        (node,) = node.users
        module = module_of(node)
        if isinstance(module, Site):
            return between, module
        if module is None or not _keeps_order(module):
            break
        between.append(module)
    return between, None


def _keeps_order(module: nn.Module) -> bool:
    """Tell whether a module treats the elements of a channel alike, without turning back."""
    if isinstance(module, TransitionalNorm):
        return isinstance(module.norms[module.current], nn.BatchNorm1d | nn.BatchNorm2d | Affine)
    return isinstance(module, nn.ReLU | nn.Identity)


@torch.no_grad()
def _thresholds(site: Site, between: Sequence[nn.Module], reader: Site) -> Thresholds:
    site.set_quantizers()
    reader.set_quantizers()
    quantizer = reader.activation_quantizer
    positions = (1,) * (site.weight.dim() - 2)

    def chain(accumulators: Integers) -> Integers:
        x = torch.from_numpy(accumulators).to(site.weight).reshape(*accumulators.shape, *positions)
        x = site.scaled(x)
        for module in between:
            x = module(x)
        codes: Integers = quantizer.codes(x).reshape(accumulators.shape).to("cpu", torch.int64).numpy()
        return codes

    return find_thresholds(
        chain,
        codes=encoded_codes(quantizer.code_format.bits, quantizer.code_format.encoding),
        channels=len(site.weight),
        largest=site.largest_accumulator,
    )
