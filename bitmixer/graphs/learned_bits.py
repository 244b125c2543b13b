"""Widths learned with the weights, as A2Q does: rounding errors pull them up, a penalty on memory down.

Source: Zhu et al., "A2Q: Aggregation-Aware Quantization for Graph Neural Networks", ICLR 2023. Rates and the weight of
the penalty are those that its public code gives for GCN on Cora, but that steps are learned by their logarithm.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bitmixer.bitwidths import BitAssignment
from bitmixer.errors import QuantizerError
from bitmixer.graphs.memory import StoredValues, stored_values
from bitmixer.graphs.network import GraphNetwork, Schedule
from bitmixer.graphs.quantizers.a2q import A2QQuantizer
from bitmixer.graphs.sites import choices, chosen
from bitmixer.graphs.topology import Topology
from bitmixer.graphs.training import train

STEP_RATE, WIDTH_RATE = 0.04, 0.1
PENALTY = 2.5
BITS_PER_KILOBYTE = 8 * 1024


def learn_bits(
    network: GraphNetwork, topology: Topology, *, mean_bits: float, seed: int, start: int = 4, input_bits: int = 1,
    epochs: int = 120,
) -> BitAssignment:  # fmt: skip
    """Train a float network on, in place, and return the assignment that it learned and now has.

    Args:
        network: A trained network whose form has the quantiser ``a2q``, and another one for the graph's own features.
        topology: The graph.
        mean_bits: What memory is to come to, per value that has learned widths.
        seed: Of dropout.
        start: Bits at first.
        input_bits: Of the graph's own features, which stay.
        epochs: Steps, at half of the network's own rate.

    Raises:
        QuantizerError: No operand has a quantiser that learns widths.
        TrainingError: As in :func:`bitmixer.graphs.training.train`.
    """
    parts = choices(network.sites, "combined")
    own = parts[0].name.partition("/")[0]
    network.assign(
        chosen(network.sites, [(each, input_bits if each.name.startswith(own) else start) for each in parts])
    )
    network.calibrate(topology, [network.assignment])
    learning = _learning(network, topology)
    counts = [torch.tensor(stored.counts) for stored, _ in learning]
    allowed = mean_bits * sum(float(each.sum()) for each in counts) / BITS_PER_KILOBYTE

    def objective() -> Tensor:
        bits = [(each.learned_width() * count).sum() for (_, each), count in zip(learning, counts, strict=True)]
        excess = torch.stack(bits).sum() / BITS_PER_KILOBYTE - allowed
        return PENALTY * excess.relu().square() + torch.stack([each.error for _, each in learning]).sum()

    schedule = network.schedule
    slower = Schedule(learning_rate=schedule.learning_rate / 2, weight_decay=schedule.weight_decay, epochs=epochs)
    for _, each in learning:
        each.learns_widths = True
    train(network, topology, slower, seed=seed, objective=objective, rates=_rates(network))
    for _, each in learning:
        each.learns_widths = False
    assignment = dict(network.assignment)
    for stored, quantizer in learning:
        for each_class, bits in enumerate(quantizer.learned()):
            site = f"{stored.product}/degree{each_class}"
            assignment[site] = assignment[site]._replace(**{stored.operand: bits})
    network.assign(assignment)
    return BitAssignment(assignment)


def _learning(network: GraphNetwork, topology: Topology) -> list[tuple[StoredValues, A2QQuantizer]]:
    """Return the stored operands whose quantiser learns widths, and that quantiser."""
    found = [
        (stored, quantizer)
        for stored in stored_values(network, topology)
        if isinstance(quantizer := network.products[stored.product].stored_quantizer(stored.operand), A2QQuantizer)
    ]
    if not found:
        raise QuantizerError(
            "no operand learns widths: give the form quantizer='a2q', and input_quantizer='node_scale'"
        )
    return found


def _rates(network: GraphNetwork) -> dict[str, float]:
    names = [name for name, module in network.named_modules() if isinstance(module, A2QQuantizer)]
    steps, widths = ([f"{name}.{each}" for name in names] for each in ("log_step", "width"))
    return dict.fromkeys(steps, STEP_RATE) | dict.fromkeys(widths, WIDTH_RATE)
