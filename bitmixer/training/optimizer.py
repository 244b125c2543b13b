"""What trains a network: an optimiser for weights and norms, one for quantisation steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bitmixer.quantizers import NestedWeightQuantizer, Quantizer, StepQuantizer
from bitmixer.training.recipe import Stage, Training

MOMENTUM = 0.9
"""Nesterov momentum of gradient descent (He et al., "Deep Residual Learning", CVPR 2016, section 4.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """Two optimisers that step together.

    Attributes:
        weights: That of weights and norms.
        steps: That of quantisation steps.
    """

    weights: torch.optim.Optimizer
    steps: torch.optim.Optimizer

    @property
    def decaying(self) -> list[torch.Tensor]:
        """The weights of layers, which decay; norms, biases and steps do not."""
        decaying: list[torch.Tensor] = self.weights.param_groups[0]["params"]
        return decaying

    @torch.no_grad()
    def half_squared_norm(self) -> float:
        """Return half of the sum of all squared weights: what an L2 penalty of 1 would cost."""
        return sum(0.5 * float(weight.square().sum()) for weight in self.decaying)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.weights.zero_grad(set_to_none=True)
        self.steps.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Change all parameters."""
        self.weights.step()
        self.steps.step()

    def set_learning_rates(self, stage: Stage, done: float) -> float:
        """Set the rates of when the share ``done`` of a stage has passed, and return that of the weights."""
        share = schedule(done, warm_up=stage.warm_up)
        for group in self.weights.param_groups:
            group["lr"] = stage.learning_rate * share
        for group in self.steps.param_groups:
            group["lr"] = stage.peak_step_learning_rate * share * group["factor"]
        return stage.learning_rate * share

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both."""
        return {"weights": self.weights.state_dict(), "steps": self.steps.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state_dict` returned."""
        self.weights.load_state_dict(state["weights"])
        self.steps.load_state_dict(state["steps"])


def schedule(done: float, *, warm_up: float) -> float:
    """Return the share of the peak rate: a line up over the share ``warm_up`` of a stage, then half a cosine down."""
    if done < warm_up:
        return done / warm_up
    return 0.5 * (1.0 + math.cos(math.pi * (done - warm_up) / (1.0 - warm_up)))


def build_optimizer(network: nn.Module, training: Training, stage: Stage) -> Optimizer:
    """Return the optimiser of a network for one stage, in which weights decay, and neither steps nor norms do.

    Steps are logarithms, so that a change means the same whatever their size. Their gradients do not have that
    property, hence AdamW for them, which takes out the size of gradients, whatever trains the weights.
    """
    factors = dict(_step_factors(network, training.step_learning_rates))
    weights: list[nn.Parameter] = []
    norms: list[nn.Parameter] = []
    for parameter in network.parameters():
        if parameter not in factors:
            (weights if parameter.dim() > 1 else norms).append(parameter)
    weight_decay = training.weight_decay if stage.weight_decay is None else stage.weight_decay
    decay: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": norms, "weight_decay": 0.0},
    ]
    steps: list[dict[str, Any]] = [
        {"params": [step for step, own in factors.items() if own == factor], "weight_decay": 0.0, "factor": factor}
        for factor in sorted({1.0, *factors.values()})
    ]
    return Optimizer(
        weights=torch.optim.SGD(decay, lr=0.0, momentum=MOMENTUM, nesterov=True)
        if stage.optimizer == "sgd"
        else torch.optim.AdamW(decay, lr=0.0),
        steps=torch.optim.AdamW(steps, lr=0.0),
    )


def _step_factors(network: nn.Module, factors: Mapping[str, float]) -> Iterator[tuple[nn.Parameter, float]]:
    """Yield every quantisation step and its factor on the learning rate."""
    for module in network.modules():
        if isinstance(module, Quantizer):
            for name, step in module.named_parameters():
                if name not in ("planes", "selection"):  # those are weights
                    yield step, 1.0
        if isinstance(module, StepQuantizer):
            for bits, log_step in module.log_steps.items():
                if bits in factors:
                    yield log_step, factors[bits]
        elif isinstance(module, NestedWeightQuantizer) and hasattr(module, "log_sign_step") and "1" in factors:
            yield module.log_sign_step, factors["1"]
