"""BSQ: trainable bits under a group Lasso find the precision of every layer.

Source: Yang et al., "BSQ: Exploring Bit-Level Sparsity for Mixed-Precision Neural Network Quantization", ICLR 2021.

The loss is cross-entropy + strength x sum over layers of (share of all weights) x (planes in use) x (sum over planes of
the plane's norm). Every few epochs the bits are made whole, empty outer planes are dropped, and a layer whose codes
outgrew its planes gets one more. Afterwards the precisions stay and the weights are trained on.

Ours, where the paper or its code do otherwise: weights start at what 8 stored bits hold, 7 planes and a sign; the step
is learned as a logarithm, as all steps here; only bits are clamped; of a layer that nothing bypasses, the plane with
the largest norm is not penalised, since without any plane no signal would pass; shortcut projections take part.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bitmixer.bitwidths import BitWidths
from bitmixer.errors import TrainingError
from bitmixer.network import MetaQuantizedNetwork, NamedSite
from bitmixer.quantizers import BitPlaneQuantizer, StepQuantizer
from bitmixer.structure import is_bypassed
from bitmixer.training.recipe import BitSparsity
from bitmixer.training.scheme import PlaneScheme

PINNED_ACTIVATION_BITS = 8
"""Of the inputs of the first and the last layer."""


class PlaneLasso:
    """The group Lasso over bit planes, and the adjustment of precisions.

    Args:
        network: A network whose weights are held as planes (:func:`expand`).
        settings: How strongly, and how often.
    """

    def __init__(self, network: MetaQuantizedNetwork, settings: BitSparsity) -> None:
        self._settings = settings
        self._sites = network.sites
        self._total = sum(site.layer.weight.numel() for site in network.sites)
        nodes = {str(node.target): node for node in network.body.graph.nodes if node.op == "call_module"}
        self._may_vanish = {site.name: is_bypassed(nodes[site.name]) for site in network.sites}

    def begin_epoch(self, epoch: int) -> bool:
        """Adjust the precisions every ``interval`` epochs, first before the first."""
        if epoch % self._settings.interval:
            return False
        self.adjust()
        return True

    def adjust(self) -> None:
        """Adjust every layer's precision to the planes that its weights occupy.

        Raises:
            TrainingError: A layer lost all its weights though every way from input to output leads through it.
        """
        for site in self._sites:
            quantizer = planes_of(site)
            quantizer.adjust()
            if not int(quantizer.precision) and not self._may_vanish[site.name]:
                raise TrainingError(
                    f"site {site.name!r}: every weight is zero, and nothing leads around it: "
                    "lower the strength of bit_sparsity or its stage's learning rate"
                )

    def penalty(self) -> Tensor:
        """Return the weighted sum of all planes' norms (a scalar)."""
        factors = self._factors()
        terms = [factors[site.name] * self._penalised(site) for site in self._sites if int(planes_of(site).precision)]
        return self._settings.strength * torch.stack(terms).sum() if terms else torch.zeros(())

    def _penalised(self, site: NamedSite) -> Tensor:
        norms = planes_of(site).norms()
        return norms.sum() if self._may_vanish[site.name] else norms.sum() - norms[norms.argmax()]

    def _factors(self) -> dict[str, float]:
        """Return what a layer's planes weigh: its share of all bits of memory, or one mean for all layers."""
        own = {
            site.name: site.layer.weight.numel() * int(planes_of(site).precision) / self._total for site in self._sites
        }
        return own if self._settings.reweighed else dict.fromkeys(own, sum(own.values()) / len(own))

    def after_step(self) -> None:
        """Keep all bits in their range."""
        for site in self._sites:
            planes_of(site).clamp_bits()

    def measured(self) -> dict[str, float]:
        """Return the mean precision as of the last adjustment."""
        precisions = {site.name: int(planes_of(site).precision) for site in self._sites}
        weights = {site.name: site.layer.weight.numel() for site in self._sites}
        return {"bits_per_weight": sum(precisions[name] * count for name, count in weights.items()) / self._total}


def starting_scheme(network: MetaQuantizedNetwork, settings: BitSparsity) -> dict[str, BitWidths]:
    """Return the widths at which a search starts, of the sites of a network that was converted in any way."""
    first, last = network.sites[0].name, network.sites[-1].name
    ends = {first: PINNED_ACTIVATION_BITS, last: PINNED_ACTIVATION_BITS}
    return {
        site.name: BitWidths(max(network.bits), ends.get(site.name, settings.activation_bits)) for site in network.sites
    }


def expand(network: MetaQuantizedNetwork) -> None:
    """Let every site hold its weights as bit planes; they start when its weights are calibrated."""
    for site in network.sites:
        site.layer.weight_quantizer = BitPlaneQuantizer(site.layer.widths.weight, site.layer.weight)


def planes_of(site: NamedSite) -> BitPlaneQuantizer:
    """Return the planes of a site of an expanded network."""
    quantizer = site.layer.weight_quantizer
    assert isinstance(quantizer, BitPlaneQuantizer)
    return quantizer


def scheme_of(network: MetaQuantizedNetwork) -> PlaneScheme:
    """Return the precisions of an expanded network as they are now."""
    return PlaneScheme(
        planes={site.name: int(planes_of(site).precision) for site in network.sites},
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
            planes, steps = planes_of(found), site.layer.weight_quantizer
            assert isinstance(steps, StepQuantizer)
            codes, step = planes.encode(site.layer.weight)
            site.layer.weight.copy_(codes * step)
            steps.log_steps[str(site.layer.widths.weight)].copy_(step.log())
            if not int(planes.precision):
                site.layer.weight.requires_grad_(False)
