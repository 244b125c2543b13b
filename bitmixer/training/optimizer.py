"""AdamW, with what each group of parameters needs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from bitmixer.quantizers import NestedWeightQuantizer, StepQuantizer
from bitmixer.training.recipe import Training


def build_optimizer(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Return AdamW that decays weights but neither steps nor norms; steps have their width's learning rate."""
    factors = dict(_step_factors(network, training.step_learning_rates))
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for parameter in network.parameters():
        if parameter not in factors:
            (decayed if parameter.dim() > 1 else kept).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": training.weight_decay, "factor": 1.0},
        {"params": kept, "weight_decay": 0.0, "factor": 1.0},
    ]
    for factor in sorted(set(factors.values())):
        steps = [parameter for parameter, own in factors.items() if own == factor]
        groups.append({"params": steps, "weight_decay": 0.0, "factor": factor})
    return torch.optim.AdamW(groups, lr=0.0)


def set_learning_rate(optimizer: torch.optim.Optimizer, peak: float, done: float) -> float:
    """Set the rate of a cosine schedule of which the share ``done`` has passed, and return it."""
    rate = peak * 0.5 * (1.0 + math.cos(math.pi * done))
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    return rate


def _step_factors(network: nn.Module, factors: Mapping[str, float]) -> Iterator[tuple[nn.Parameter, float]]:
    for module in network.modules():
        if isinstance(module, StepQuantizer):
            for bits, log_step in module.log_steps.items():
                if bits in factors:
                    yield log_step, factors[bits]
        elif isinstance(module, NestedWeightQuantizer) and module.widths[0] == 1 and "1" in factors:
            yield module.log_sign_step, factors["1"]
