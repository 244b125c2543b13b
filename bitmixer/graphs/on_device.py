"""A graph network made ready for a device: no operand stays a real number, and any may be at any of its widths.

:mod:`bitmixer.graphs.switchable` trains for the widths of what SGQuant stores, features and coefficients. Hardware
multiplies weights and messages of few bits, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.graphs.network import GraphNetwork
from bitmixer.graphs.switchable import train_in_turns
from bitmixer.graphs.topology import Topology
from bitmixer.graphs.training import judge


def train_for_device(
    network: GraphNetwork, topology: Topology, widths: Sequence[int], *, seed: int, epochs: int = 200
) -> None:
    """Train a float network on, in place, so that every operand of every site may be at any of ``widths``.

    Steps take turns: all operands at one width, from the highest to the lowest, then each at a drawn one. The epoch
    kept is the one with the least loss of validation nodes at the lowest width.

    Args:
        network: A trained network.
        topology: The graph.
        widths: Widths of weights, features, coefficients and messages.
        seed: Of drawn assignments and dropout.
        epochs: Steps, at half of the network's own rate.

    Raises:
        TrainingError: As in :func:`bitmixer.graphs.training.train`.
        BitWidthError: The network was not built for a width.
    """
    uniform = [_uniform(network, bits) for bits in sorted(widths, reverse=True)]
    network.calibrate_weights()
    turns = _turns(network, widths, np.random.default_rng(seed))
    train_in_turns(network, topology, uniform, turns, seed=seed, epochs=epochs)


def device_metrics(
    network: GraphNetwork, topology: Topology, widths: Sequence[int], *, data: str, seed: int
) -> dict[str, Any]:  # fmt: skip
    """Return what a checkpoint says of its network: the share of test nodes named rightly with all operands at a width.

    Args:
        network: The network.
        topology: The graph.
        widths: The widths to measure.
        data: Name of the graph.
        seed: Of the training, for the record.
    """
    accuracies = {}
    for bits in sorted(widths):
        network.assign(_uniform(network, bits))
        accuracies[str(bits)] = judge(network, topology).test
    return {"data": data, "uniform": accuracies, "inputs": int(topology.graph.test_mask.sum()), "seed": seed}


def _uniform(network: GraphNetwork, bits: int) -> BitAssignment:
    return BitAssignment({site.name: BitWidths(bits, bits) for site in network.sites})


def _turns(network: GraphNetwork, widths: Sequence[int], generator: np.random.Generator) -> Iterator[BitAssignment]:
    uniform = [_uniform(network, bits) for bits in sorted(widths, reverse=True)]
    while True:
        yield from uniform
        drawn = generator.choice(np.array(widths), size=(len(network.sites), 2)).tolist()
        yield BitAssignment(
            {site.name: BitWidths(*pair) for site, pair in zip(network.sites, drawn, strict=True)}
        )  # fmt: skip
