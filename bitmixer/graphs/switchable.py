"""One graph network for all of its widths, switchable per product, layer and degree class without training again.

As Bit-Mixer's networks for images: every step trains under another assignment, so that one set of weights serves them
all; ranges are kept per class and width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bitmixer.bitwidths import BitAssignment
from bitmixer.graphs.network import GraphNetwork
from bitmixer.graphs.sites import choices, chosen
from bitmixer.graphs.topology import Topology
from bitmixer.graphs.training import train


def train_switchable(
    network: GraphNetwork, topology: Topology, widths: Sequence[int], *, seed: int, epochs: int = 200
) -> None:
    """Train a float network on, in place, to run at any of ``widths``, each stored operand at its own.

    Steps take turns: all operands at one width, from the highest to the lowest, then each at a drawn one. The epoch
    kept is the one with the least loss of validation nodes at the lowest width.

    Args:
        network: A trained network.
        topology: The graph.
        widths: Widths of features and coefficients.
        seed: Of drawn assignments and dropout.
        epochs: Steps, at half of the network's own rate.

    Raises:
        TrainingError: As in :func:`bitmixer.graphs.training.train`.
        BitWidthError: The network was not built for a width.
    """
    uniform = uniform_assignments(network, widths)
    turns = _turns(network, widths, np.random.default_rng(seed))
    train_in_turns(network, topology, uniform, turns, seed=seed, epochs=epochs)


def train_in_turns(
    network: GraphNetwork,
    topology: Topology,
    uniform: Sequence[BitAssignment],
    turns: Iterator[BitAssignment],
    *,
    seed: int,
    epochs: int,
) -> None:
    """Train a network on, in place, each step under the next assignment.

    Args:
        network: A trained network.
        topology: The graph.
        uniform: Assignments that ranges are measured for; the epoch kept is the best on validation nodes at the last.
        turns: The assignment of each step.
        seed: Of dropout.
        epochs: Steps, at half of the network's own rate.

    Raises:
        TrainingError: As in :func:`bitmixer.graphs.training.train`.
        BitWidthError: The network was not built for a width.
    """
    network.calibrate(topology, uniform)
    slower = replace(network.schedule, learning_rate=network.schedule.learning_rate / 2, epochs=epochs)
    train(
        network, topology, slower, seed=seed, before_step=lambda: network.assign(next(turns)),
        before_validation=lambda: network.assign(uniform[-1]),
    )  # fmt: skip
    network.calibrate(topology, uniform)


def uniform_assignments(network: GraphNetwork, widths: Sequence[int]) -> list[BitAssignment]:
    """Return one assignment per width, all stored operands at it, from the highest width to the lowest."""
    everything = choices(network.sites, "uniform")
    return [chosen(network.sites, [(choice, bits) for choice in everything]) for bits in sorted(widths, reverse=True)]


def random_assignment(
    network: GraphNetwork, widths: Sequence[int], generator: np.random.Generator
) -> BitAssignment:  # fmt: skip
    """Return an assignment with a width drawn for every layer, operand and degree class."""
    parts = choices(network.sites, "combined")
    drawn = generator.choice(np.array(widths), size=len(parts)).tolist()
    return chosen(network.sites, list(zip(parts, drawn, strict=True)))


def _turns(network: GraphNetwork, widths: Sequence[int], generator: np.random.Generator) -> Iterator[BitAssignment]:
    uniform = uniform_assignments(network, widths)
    while True:
        yield from uniform
        yield random_assignment(network, widths, generator)
