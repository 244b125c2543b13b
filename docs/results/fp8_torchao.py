"""Trains one network of linear layers with our eight-bit floats and with torchao's recipes; for fp8.py.

torchao (https://github.com/pytorch/ao) scales every tensor or row so that its largest element fits E4M3, multiplies only linear
layers, and keeps the weights in float32; on a CPU it emulates. Everything else is the same: first weights, images and their order,
optimiser, and which layers are exempt.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from bitmixer.data import ImageSet, load_image_set
from bitmixer.training.arithmetic import Arithmetic
from bitmixer.training.float8 import Float8Arithmetic
from bitmixer.training.float8_settings import Float8
from bitmixer.training.optimizer import MOMENTUM, Optimizer
from bitmixer.training.ranks import ALONE

DATA, SEEDS = "mnist5k", tuple(range(1, 11))
HIDDEN, EPOCHS, BATCH, LEARNING_RATE = 256, 10, 64, 0.05
RECIPES = ("tensorwise", "rowwise", "rowwise_with_gw_hp")
OURS: dict[str, dict[str, Any] | None] = {
    "float32": None,
    "FP8 with everything": {},
    "FP8, hybrid": {"format": "hybrid"},
    "FP8, hybrid, float32 master": {"format": "hybrid", "master": "float32"},
}
THEIRS = {f"torchao, {recipe}": recipe for recipe in RECIPES}
ARMS = (*OURS, *THEIRS)


def version() -> str:
    """Return that of torchao.

    Raises:
        importlib.metadata.PackageNotFoundError: It is not installed.
    """
    return importlib.metadata.version("torchao")


def measure(name: str, seed: int) -> dict[str, Any]:
    """Train one arm and return its accuracy on the test images."""
    images = load_image_set(DATA)
    torch.manual_seed(seed)
    network = _network(images)
    arithmetic = Arithmetic()
    if name in THEIRS:
        _convert(network, THEIRS[name])
    elif (settings := OURS[name]) is not None:
        arithmetic = Float8Arithmetic(network, Float8.model_validate(settings), seed=seed, ranks=ALONE)
    _train(network, images, arithmetic, seed)
    arithmetic.begin_epoch(EPOCHS)
    with torch.no_grad(), arithmetic.products(is_counted=False):
        found = network(torch.from_numpy(images.test_inputs).flatten(1)).argmax(1)
    return {"accuracy": float((found.numpy() == images.test_labels).mean())}


def _network(images: ImageSet) -> nn.Sequential:
    inputs = images.train_inputs[0].size
    hidden = [layer for _ in range(3) for layer in (nn.Linear(HIDDEN, HIDDEN), nn.ReLU())]
    return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), *hidden, nn.Linear(HIDDEN, 10))


def _convert(network: nn.Sequential, recipe: str) -> None:
    """Put torchao's layers in place of all but the first and the last."""
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    config = dataclasses.replace(Float8LinearConfig.from_recipe_name(recipe), emulate=True)
    ends = {"0", str(len(network) - 1)}
    convert_to_float8_training(network, config=config, module_filter_fn=lambda _, name: name not in ends)


def _train(network: nn.Sequential, images: ImageSet, arithmetic: Arithmetic, seed: int) -> None:
    inputs, labels = torch.from_numpy(images.train_inputs).flatten(1), torch.from_numpy(images.train_labels)
    optimizer = Optimizer(
        weights=torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True),
        steps=torch.optim.SGD([nn.Parameter(torch.zeros(0))], lr=0.0),
    )
    order, batches = torch.Generator().manual_seed(seed), len(labels) // BATCH
    for epoch in range(EPOCHS):
        arithmetic.begin_epoch(epoch)
        shuffled = torch.randperm(len(labels), generator=order)
        for batch in range(batches):
            chosen = shuffled[batch * BATCH : (batch + 1) * BATCH]
            with arithmetic.products(is_counted=False):
                loss = F.cross_entropy(network(inputs[chosen]), labels[chosen].long())
                optimizer.zero_grad()
                (loss * arithmetic.loss_scale).backward()  # type: ignore[no-untyped-call]
            arithmetic.step(optimizer, done=(epoch + (batch + 1) / batches) / EPOCHS)
