"""Networks whose weights are held as planes while a method looks for precisions, and networks at those precisions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bitmixer.bitwidths import BitWidths
from bitmixer.errors import TrainingError
from bitmixer.network import MetaQuantizedNetwork, NamedSite
from bitmixer.quantizers import Quantizer, StepQuantizer
from bitmixer.quantizers.bit_planes import fewest_planes
from bitmixer.structure import is_bypassed
from bitmixer.training.scheme import PlaneScheme

PINNED_ACTIVATION_BITS = 8
"""Of the inputs of the first and the last layer."""


def starting_scheme(network: MetaQuantizedNetwork, activation_bits: int) -> dict[str, BitWidths]:
    """Return the widths at which a search starts, of the sites of a network that was converted in any way."""
    first, last = network.sites[0].name, network.sites[-1].name
    ends = {first: PINNED_ACTIVATION_BITS, last: PINNED_ACTIVATION_BITS}
    return {site.name: BitWidths(max(network.bits), ends.get(site.name, activation_bits)) for site in network.sites}


def expand(network: MetaQuantizedNetwork, hold: Callable[[int, Tensor], Quantizer]) -> None:
    """Let every site hold its weights as planes; they start when its weights are calibrated.

    Args:
        network: The network, at the scheme at which the search starts.
        hold: Returns what holds a weight tensor, from its stored bits and the tensor.
    """
    for site in network.sites:
        site.layer.weight_quantizer = hold(site.layer.widths.weight, site.layer.weight)


def without_a_way_around(network: MetaQuantizedNetwork) -> frozenset[str]:
    """Return the sites that every way from the network's input to its output leads through."""
    nodes = {str(node.target): node for node in network.body.graph.nodes if node.op == "call_module"}
    return frozenset(site.name for site in network.sites if not is_bypassed(nodes[site.name]))


def scheme_of(network: MetaQuantizedNetwork) -> PlaneScheme:
    """Return the planes that the weights of an expanded network need now.

    Raises:
        TrainingError: A layer lost all its weights though every way from input to output leads through it.
    """
    planes = {site.name: _fewest(site)[2] for site in network.sites}
    for name in without_a_way_around(network):
        if not planes[name]:
            raise TrainingError(
                f"site {name!r}: every weight is zero, and nothing leads around it: lower the strength of the search, "
                "or the learning rate of the stage 'planes'"
            )
    return PlaneScheme(
        planes=planes,
        weights={site.name: site.layer.weight.numel() for site in network.sites},
        activations={site.name: site.layer.widths.activation for site in network.sites},
    )


def collapse(expanded: MetaQuantizedNetwork, network: MetaQuantizedNetwork) -> None:
    """Give a network, converted to the scheme that was found, what the expanded one learned.

    It computes the same afterwards. Layers without planes stay zero: their weights are not trained on.

    Args:
        expanded: The network that found the scheme.
        network: The twin of the same original with the scheme's assignment, quantiser ``symmetric``, norm ``shared``.
    """
    state = {name: value for name, value in expanded.state_dict().items() if "weight_quantizer" not in name}
    network.load_state_dict(state, strict=False)
    with torch.no_grad():
        for found, site in zip(expanded.sites, network.sites, strict=True):
            codes, step, planes = _fewest(found)
            steps = site.layer.weight_quantizer
            assert isinstance(steps, StepQuantizer)
            site.layer.weight.copy_(codes * step)
            steps.log_steps[str(site.layer.widths.weight)].copy_(step.log())
            if not planes:
                site.layer.weight.requires_grad_(False)


def _fewest(site: NamedSite) -> tuple[Tensor, Tensor, int]:
    codes, step = site.layer.weight_quantizer.encode(site.layer.weight)
    return fewest_planes(codes, step)
