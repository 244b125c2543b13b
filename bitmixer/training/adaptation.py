"""A network that is in use learns on, a batch at a time, in eight-bit floats: on a device, from what comes its way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer.bitwidths import BitAssignment
from bitmixer.layers import TransitionalNorm
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.training.float8 import Float8Arithmetic
from bitmixer.training.float8_settings import Float8, LossScaling
from bitmixer.training.optimizer import MOMENTUM, Optimizer
from bitmixer.training.ranks import ALONE

Learned = Literal["all", "norms_and_classifier"]
NumberFormat = Literal["e5m2", "e4m3", "hybrid"]


class FieldLearner:
    """Fine-tunes a meta-quantized network under one assignment; between two steps it answers as before.

    Quantisation steps stay as they are, and so do the norms of transitions that the assignment does not take.

    Args:
        network: The network, quantisers on; it is changed in place, and left in evaluation mode.
        assignment: The widths at which it learns.
        learned: All weights and norms, or norms and the last layer alone.
        form: What its layers multiply, none of them exempt.
        learning_rate: Of gradient descent with Nesterov momentum 0.9.
        seed: Of all rounding at random.
    """

    def __init__(
        self, network: MetaQuantizedNetwork, assignment: BitAssignment, *, learned: Learned, form: NumberFormat,
        learning_rate: float, seed: int,
    ) -> None:  # fmt: skip
        self._network = network
        self._assignment = assignment
        self._steps = 0
        settings = Float8(format=form, exempt=(), loss_scaling=LossScaling(kind="dynamic", scale=1024.0))
        self._arithmetic = Float8Arithmetic(network, settings, seed=seed, ranks=ALONE)
        chosen = list(_learned(network, learned))
        for parameter in network.parameters():
            parameter.requires_grad_(any(parameter is each for each in chosen))
        groups = [[each for each in chosen if each.dim() > 1], [each for each in chosen if each.dim() <= 1]]
        self._optimizer = Optimizer(
            weights=torch.optim.SGD(
                [{"params": group} for group in groups], lr=learning_rate, momentum=MOMENTUM, nesterov=True
            ),
            steps=torch.optim.SGD([{"params": []}], lr=0.0),
        )

    def learn(self, inputs: Tensor, labels: Tensor) -> float:
        """Take one step on a batch, and return its loss before the step.

        Args:
            inputs: As the network takes them, (n, ...); two or more.
            labels: Their classes, (n,).
        """
        self._arithmetic.begin_epoch(self._steps)
        self._steps += 1
        self._network.assign(self._assignment)
        self._network.train()
        self._optimizer.zero_grad()
        with self._arithmetic.products(is_counted=False):
            loss = F.cross_entropy(self._network(inputs), labels)
            (loss * self._arithmetic.loss_scale).backward()  # type: ignore[no-untyped-call]
        self._arithmetic.step(self._optimizer, done=0.0)
        self._network.eval()
        return float(loss.detach())


def _learned(network: MetaQuantizedNetwork, learned: Learned) -> Iterator[nn.Parameter]:
    """Yield the parameters that change."""
    sites = network.sites if learned == "all" else network.sites[-1:]
    for site in sites:
        yield from (each for each in (site.layer.weight, site.layer.bias) if isinstance(each, nn.Parameter))
    for module in network.modules():
        if isinstance(module, TransitionalNorm):
            yield from module.parameters()


@torch.no_grad()
def changes_since(before: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return the entries of a network's state that differ from an earlier one."""
    whole = torch.contiguous_format
    return {
        name: value.clone(memory_format=whole)
        for name, value in network.state_dict().items()
        if not torch.equal(value, before[name])
    }
