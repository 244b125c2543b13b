"""Training of graph networks: full batches, the epoch chosen by validation nodes; test nodes decide nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bitmixer.bitwidths import BitWidths
from bitmixer.errors import TrainingError
from bitmixer.graphs.network import GraphNetwork, Schedule, without_dropout
from bitmixer.graphs.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Shares of nodes that are classified rightly.

    Attributes:
        validation: Of the nodes that choices are made by.
        test: Of the nodes that judge.
    """

    validation: float
    test: float


def train(
    network: GraphNetwork, topology: Topology, schedule: Schedule, *, seed: int,
    before_step: Callable[[], None] = lambda: None, before_validation: Callable[[], None] = lambda: None,
    teacher: Tensor | None = None, objective: Callable[[], Tensor] | None = None,
    rates: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """Train in place, and keep the epoch with the least loss of validation nodes.

    The network's assignment holds throughout, unless one of the two functions changes it.

    Args:
        network: The network.
        topology: The graph.
        schedule: Rate, penalty and epochs.
        seed: Of dropout.
        before_step: Called before every step.
        before_validation: Called before the loss of validation nodes is measured, after every step.
        teacher: (nodes, classes) logits to come close to on all nodes but those of the test mask, in place of classes
            (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015). The epoch kept is the one that comes
            closest on validation nodes.
        objective: What is added to the loss, after every pass; it also counts when an epoch is chosen.
        rates: Rates of parameters, by their names, that have others and no penalty.

    Raises:
        TrainingError: The graph has no node to train by, or none to choose by, or the loss is not finite.
    """
    graph = topology.graph
    if not (bool(graph.train_mask.any()) and bool(graph.val_mask.any())):
        raise TrainingError("graph without train_mask or val_mask: mark nodes to train by and nodes to choose by")
    optimizer = _optimizer(network, schedule, rates or {})
    learned_from = graph.train_mask if teacher is None else ~graph.test_mask
    goals = graph.y if teacher is None else teacher.softmax(dim=1)
    torch.manual_seed(seed)
    least, best = torch.inf, copy.deepcopy(network.state_dict())
    for epoch in range(schedule.epochs):
        before_step()
        network.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(network(topology)[learned_from], goals[learned_from])
        if objective is not None:
            loss = loss + objective()
        if not bool(torch.isfinite(loss)):
            raise TrainingError(f"the loss is not finite after {epoch} epochs: lower the learning rate")
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        before_validation()
        remaining = float(F.cross_entropy(logits(network, topology)[graph.val_mask], goals[graph.val_mask]))
        if objective is not None:
            remaining += float(objective().detach())
        if remaining < least:
            least, best = remaining, copy.deepcopy(network.state_dict())
    network.load_state_dict(best)
    network.eval()


def fine_tune(
    network: GraphNetwork, topology: Topology, assignment: Mapping[str, BitWidths], *, seed: int, epochs: int = 60,
    distilled: bool = False,
) -> None:  # fmt: skip
    """Train on under an assignment, with straight-through gradients, at half of the network's own rate.

    ``distilled``: without dropout, towards what the network answers under its present assignment, real numbers say.

    Raises:
        TrainingError: As in :func:`train`.
        UnknownSiteError: As in :meth:`GraphNetwork.assign`; so is ``BitWidthError``.
    """
    teacher = logits(network, topology) if distilled else None
    network.assign(assignment)
    network.calibrate(topology, [assignment])
    schedule = network.schedule
    shorter = Schedule(learning_rate=schedule.learning_rate / 2, weight_decay=schedule.weight_decay, epochs=epochs)
    with without_dropout(network) if distilled else nullcontext():
        train(network, topology, shorter, seed=seed, teacher=teacher)
    network.calibrate(topology, [assignment])


@torch.no_grad()
def logits(network: GraphNetwork, topology: Topology) -> Tensor:
    """Return (nodes, classes) what the network says under its assignment."""
    network.eval()
    said: Tensor = network(topology)
    return said


def judge(network: GraphNetwork, topology: Topology) -> Judged:
    """Return the accuracies under the network's assignment."""
    graph = topology.graph
    right = logits(network, topology).argmax(dim=1) == graph.y
    return Judged(
        validation=float(right[graph.val_mask].double().mean()), test=float(right[graph.test_mask].double().mean())
    )


def _optimizer(network: GraphNetwork, schedule: Schedule, rates: Mapping[str, float]) -> torch.optim.Optimizer:
    parameters = [(name, each) for name, each in network.named_parameters() if each.requires_grad and name not in rates]
    groups: list[dict[str, Any]] = [
        {"params": [each for name, each in parameters if network.decays(name) == decays], "weight_decay": penalty}
        for decays, penalty in ((True, schedule.weight_decay), (False, 0.0))
    ]
    groups += [
        {"params": [network.get_parameter(name)], "lr": rate, "weight_decay": 0.0} for name, rate in rates.items()
    ]
    return torch.optim.Adam([group for group in groups if group["params"]], lr=schedule.learning_rate)
