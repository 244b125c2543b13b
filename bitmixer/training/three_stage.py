"""Bit-Mixer's three stages: what is quantised, and which assignments each step trains.

Source: Bulat and Tzimiropoulos, ICCV 2021: first one width for the whole network (activations, then weights
too), then progressively random widths per layer with transitional norms.
"""

from __future__ import annotations

import numpy as np

from bitmixer.bitwidths import BitAssignment
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.training.recipe import Stage

RAMP_SHARE = 0.5
"""Share of the last stage over which the largest randomness rises from none to full (our choice)."""


def enter(
    network: MetaQuantizedNetwork, stage: Stage, *, weights_are_calibrated: bool, transitions_are_trained: bool = False
) -> None:
    """Prepare the quantisers and norms of a stage; called once, when it starts.

    Args:
        network: The network.
        stage: The stage.
        weights_are_calibrated: Whether the steps of weights are set already.
        transitions_are_trained: Whether the norms of transitions go on as they are, and do not start from the norms of
            the stages before.
    """
    if stage.name != "activations" and not weights_are_calibrated:
        network.calibrate_weights()
    if stage.name == "transitions" and network.tied and not transitions_are_trained:
        network.start_transitions()


def quantize(network: MetaQuantizedNetwork, stage: Stage) -> None:
    """Set the quantisers as the stage trains them."""
    network.quantize(activations=True, weights=stage.name != "activations")


def assignments(
    network: MetaQuantizedNetwork, stage: Stage, progress: float, generator: np.random.Generator
) -> list[BitAssignment]:
    """Return the assignments that a step trains, widest first.

    Args:
        network: The network.
        stage: The current stage.
        progress: Share of the stage that is done, 0 to 1.
        generator: Source of randomness.
    """
    if stage.name == "planes":
        return [network.assignment]
    everywhere = network.uniform_widths
    drawn = []
    for name in stage.passes:
        if name == "highest":
            drawn.append(network.uniform(everywhere[-1]))
        elif name == "lowest":
            drawn.append(network.uniform(everywhere[0]))
        elif stage.name == "transitions":
            drawn.append(_partly_random(network, min(1.0, progress / RAMP_SHARE), generator))
        else:  # what other passes train already need not be drawn again
            rest = everywhere[:-1] if "highest" in stage.passes else everywhere
            rest = rest[1:] if "lowest" in stage.passes else rest
            choices = rest or everywhere
            drawn.append(network.uniform(choices[int(generator.integers(len(choices)))]))
    return sorted(drawn, key=_mean_bits, reverse=True)


def _partly_random(network: MetaQuantizedNetwork, largest: float, generator: np.random.Generator) -> BitAssignment:
    """Draw a width for the whole network; each site redraws its own with one probability, drawn up to ``largest``.

    Between none and all, so that to the end norms see their statistics under uniform and under mixed widths alike.
    """
    redraw = largest * generator.random()
    widths = network.uniform_widths
    base = network.uniform(widths[int(generator.integers(len(widths)))])
    fresh = BitAssignment.random(network.sites, generator)
    chosen = generator.random(len(network.sites)) < redraw
    return BitAssignment(
        {site.name: (fresh if own else base)[site.name] for site, own in zip(network.sites, chosen, strict=True)}
    )


def _mean_bits(assignment: BitAssignment) -> float:
    return sum(sum(widths) for widths in assignment.values()) / len(assignment)
