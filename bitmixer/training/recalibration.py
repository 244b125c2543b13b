"""Norm statistics measured anew, as they are under the final weights.

In training a norm's running statistics lag behind the weights, the more the rarer its transition is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from bitmixer.bitwidths import BitAssignment
from bitmixer.network import MetaQuantizedNetwork


@torch.no_grad()
def recalibrate_norms(network: MetaQuantizedNetwork, batches: Iterable[Tensor], generator: np.random.Generator) -> None:
    """Average the statistics of every batch-norm over batches that run, in turn, under uniform and random widths.

    A transition that no batch took keeps its running statistics.

    Args:
        network: The network; it is left in evaluation mode.
        batches: Batches of inputs, each (n, ...).
        generator: Draws the assignments.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [(norm.momentum, {name: buffer.clone() for name, buffer in norm.named_buffers()}) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
    network.train()
    for number, batch in enumerate(batches):
        everywhere = network.uniform(network.uniform_widths[number // 2 % len(network.uniform_widths)])
        network.assign(BitAssignment.random(network.sites, generator) if number % 2 else everywhere)
        network(batch)
    for norm, (momentum, buffers) in zip(norms, before, strict=True):
        norm.momentum = momentum
        if norm.num_batches_tracked is not None and not int(norm.num_batches_tracked):
            for name, buffer in norm.named_buffers():
                buffer.copy_(buffers[name])
    network.eval()
