"""CSQ: planes fade in and out smoothly until as many are left as a budget allows.

Source: Xiao et al., "CSQ: Growing Mixed-Precision Quantization Scheme with Bi-level Continuous Sparsification", DAC
2023 (arXiv 2212.02770). Of the paper we read the abstract: the form of the gates and of the penalty is our reading,
the numbers are our choice.

Bits and the selection of planes are sigmoids whose temperature rises through the stage, so that nothing is rounded and
no gradient is passed straight through. The penalty is strength x (mean bits now - target) x sum of selections: it
closes planes while the network is over its budget and opens them while it is under. Where the paper's sum has all
planes, ours has those at the ends of a layer's planes: only they make its width smaller or larger, and a gap between
planes would save hardware nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bitmixer.network import MetaQuantizedNetwork, NamedSite
from bitmixer.quantizers.soft_planes import SoftPlaneQuantizer
from bitmixer.training.recipe import ContinuousSparsity


class PlaneSelection:
    """The budget on selected planes, and the temperature.

    Args:
        network: A network whose weights are held as soft planes.
        settings: The budget, and how strongly it pulls.
        epochs: Length of the stage.
    """

    stage = "planes"

    def __init__(self, network: MetaQuantizedNetwork, settings: ContinuousSparsity, epochs: int) -> None:
        self._settings = settings
        self._sites = network.sites
        self._epochs = epochs
        self._total = sum(site.layer.weight.numel() for site in network.sites)

    def begin_epoch(self, epoch: int) -> bool:
        """Raise the temperature, from 1 in the first epoch to the final one in the last, by one factor each time."""
        share = epoch / max(1, self._epochs - 1)
        for site in self._sites:
            held_by(site).temperature.fill_(self._settings.final_temperature**share)
        return False

    def penalty(self) -> Tensor:
        """Return the pull towards the budget (a scalar)."""
        excess = self._mean_bits() - self._settings.target_bits
        ends = [_at_the_ends(held_by(site), closing=excess > 0.0) for site in self._sites]
        return self._settings.strength * excess * torch.stack(ends).sum()

    def after_step(self) -> None:
        """Do nothing: nothing has a range."""

    def finish(self) -> None:
        """Do nothing: codes are whole already."""

    def measured(self) -> dict[str, float]:
        """Return the mean width of what is selected."""
        return {"bits_per_weight": self._mean_bits()}

    def _mean_bits(self) -> float:
        bits = (site.layer.weight.numel() * len(_span(held_by(site))) for site in self._sites)
        return sum(bits) / self._total


def _span(held: SoftPlaneQuantizer) -> range:
    """Return the planes from the lowest to the highest that is selected."""
    on = held.selected().nonzero().flatten().tolist()
    return range(on[0], on[-1] + 1) if on else range(0)


def _at_the_ends(held: SoftPlaneQuantizer, *, closing: bool) -> Tensor:
    """Return the sum of the selections of a layer's outermost planes, or of those next to them outside (a scalar)."""
    span, count = _span(held), len(held.planes)
    ends = {span.start, span.stop - 1} if closing else {span.start - 1, span.stop}
    return held.selections()[[plane for plane in sorted(ends) if 0 <= plane < count]].sum()


def held_by(site: NamedSite) -> SoftPlaneQuantizer:
    """Return the soft planes of a site of an expanded network."""
    quantizer = site.layer.weight_quantizer
    assert isinstance(quantizer, SoftPlaneQuantizer)
    return quantizer
