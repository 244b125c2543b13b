"""Bit-Mixer's three stages: what is quantised, and which assignments each step trains.

Source: Bulat and Tzimiropoulos, ICCV 2021: first one width for the whole network (activations, then weights
too), then progressively random widths per layer with transitional norms. Every step also trains the highest
width, whose predictions teach the others ("sandwich" and in-place distillation; our choice).
"""

from __future__ import annotations

import numpy as np

from bitmixer.bitwidths import BitAssignment
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.training.recipe import Stage

RAMP_SHARE = 0.5
"""Share of the last stage over which the randomness rises from none to full."""


def enter(network: MetaQuantizedNetwork, stage: Stage) -> None:
    """Turn on the quantisers of a stage; called once, when it starts."""
    if stage.name == "weights":
        network.calibrate_weights()
    elif stage.name == "transitions":
        network.start_transitions()


def quantize(network: MetaQuantizedNetwork, stage: Stage) -> None:
    """Set the quantisers as the stage trains them."""
    network.quantize(activations=True, weights=stage.name != "activations")


def students(
    network: MetaQuantizedNetwork, stage: Stage, progress: float, count: int, generator: np.random.Generator
) -> list[BitAssignment]:
    """Return the assignments that a step trains besides the highest width.

    Args:
        network: The network.
        stage: The current stage.
        progress: Share of the stage that is done, 0 to 1.
        count: Number of per-layer assignments in the last stage.
        generator: Source of randomness.
    """
    if stage.name != "transitions":
        return [network.uniform(int(generator.choice(network.bits[:-1] or network.bits)))]
    redraw = min(1.0, progress / RAMP_SHARE)
    return [_partly_random(network, redraw, generator) for _ in range(count)]


def _partly_random(network: MetaQuantizedNetwork, redraw: float, generator: np.random.Generator) -> BitAssignment:
    """Draw a width for the whole network; each site redraws its own with probability ``redraw``."""
    base = network.uniform(int(generator.choice(network.bits)))
    fresh = BitAssignment.random(network.sites, generator)
    chosen = generator.random(len(network.sites)) < redraw
    return BitAssignment(
        {site.name: (fresh if own else base)[site.name] for site, own in zip(network.sites, chosen, strict=True)}
    )
