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

from bitmixer.network import MetaQuantizedNetwork, NamedSite
from bitmixer.quantizers import BitPlaneQuantizer
from bitmixer.training.expansion import scheme_of, without_a_way_around
from bitmixer.training.recipe import BitSparsity


class PlaneLasso:
    """The group Lasso over bit planes, and the adjustment of precisions.

    Args:
        network: A network whose weights are held as planes (:func:`expand`).
        settings: How strongly, and how often.
    """

    stage = "planes"

    def __init__(self, network: MetaQuantizedNetwork, settings: BitSparsity) -> None:
        self._settings = settings
        self._sites = network.sites
        self._total = sum(site.layer.weight.numel() for site in network.sites)
        self._network = network
        self._needed = without_a_way_around(network)

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
            planes_of(site).adjust()
        scheme_of(self._network)

    def finish(self) -> None:
        """Adjust the precisions for the last time.

        Raises:
            TrainingError: As :meth:`adjust`.
        """
        self.adjust()

    def penalty(self) -> Tensor:
        """Return the weighted sum of all planes' norms (a scalar)."""
        factors = self._factors()
        terms = [factors[site.name] * self._penalised(site) for site in self._sites if int(planes_of(site).precision)]
        return self._settings.strength * torch.stack(terms).sum() if terms else torch.zeros(())

    def _penalised(self, site: NamedSite) -> Tensor:
        norms = planes_of(site).norms()
        return norms.sum() - norms[norms.argmax()] if site.name in self._needed else norms.sum()

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


def planes_of(site: NamedSite) -> BitPlaneQuantizer:
    """Return the planes of a site of an expanded network."""
    quantizer = site.layer.weight_quantizer
    assert isinstance(quantizer, BitPlaneQuantizer)
    return quantizer
