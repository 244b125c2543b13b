"""The arms of the comparison in fp8.md, in the order in which they are trained.

All arms train the float stage of recipes/float8_resnet8_cifar10.yaml on the same images equally often; what differs is the
arithmetic. Those of the low-bit part train recipes/resnet8_digits.yaml whole, and BSQ in the same network on the same digits.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitmixer.training.recipe import Recipe, find_recipe, load_recipe

sys.path.insert(0, str(Path(__file__).parent))

EPOCHS = 4
SEEDS = (1, 2, 3)
REAL, EVERYTHING = "float32", "FP8 with everything"
NO_SCALING, NEAREST = "no loss scaling", "nearest-even only"
CONSTANT = "constant {}"
ONLY_NEAREST = dict.fromkeys(("weights", "activations", "errors", "gradients", "master"), "nearest")
ABLATIONS: dict[str, dict[str, Any]] = {
    NO_SCALING: {"loss_scaling": {"kind": "none"}},
    NEAREST: {"rounding": ONLY_NEAREST},
    "float32 master weights": {"master": "float32"},
    "no layer exempt": {"exempt": []},
    "float16 master, nearest": {"rounding": {"master": "nearest"}},
    CONSTANT.format(1000): {"loss_scaling": {"kind": "constant", "scale": 1000.0}},
    CONSTANT.format(128): {"loss_scaling": {"kind": "constant", "scale": 128.0}},
    CONSTANT.format(10000): {"loss_scaling": {"kind": "constant", "scale": 10000.0}},
    "plain dynamic": {"loss_scaling": {"kind": "dynamic"}},
    "hybrid: E4M3 forward": {"format": "hybrid"},
}
"""What each of the later arms changes in FP8 with everything; constant 1 is the arm without scaling."""

BIT_SPARSITY: dict[str, Any] = {
    "name": "bsq_resnet8_digits", "bits": [8], "norm": "shared", "quantizer": "symmetric",
    "distillation": {"teacher": "none"}, "bit_sparsity": {"strength": 0.1, "activation_bits": 4, "interval": 5},
    "stages": [
        {"name": "float", "epochs": 20, "learning_rate": 4.0e-3},
        {"name": "planes", "epochs": 30, "optimizer": "sgd", "learning_rate": 0.1, "step_learning_rate": 1.0e-3},
        {"name": "weights", "epochs": 20, "learning_rate": 1.0e-3, "passes": ["highest"]},
    ],
}  # fmt: skip
"""As recipes/bsq_resnet8_cifar10.yaml, for the digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One training.

    Attributes:
        name: What differs.
        recipe: What is trained, seed included.
    """

    name: str
    recipe: Recipe

    @property
    def folder(self) -> str:
        """Name of its folder."""
        words = "".join(letter if letter.isalnum() else " " for letter in self.name.lower()).split()
        return f"{'_'.join(words)}_seed{self.recipe.seed}"


def arms() -> list[Arm]:
    """Return the arms: the pair for every seed, then the ablations with the first."""
    pair = [_arm(name, seed, settings) for seed in SEEDS for name, settings in ((REAL, None), (EVERYTHING, {}))]
    return pair + [_arm(name, SEEDS[0], settings) for name, settings in ABLATIONS.items()]


def _arm(name: str, seed: int, settings: dict[str, Any] | None) -> Arm:
    """Return an arm: eight-bit floats are multiplied as bfloat16, which holds them exactly, real ones as float32."""
    content = load_recipe(find_recipe("float8_resnet8_cifar10")).model_dump(mode="json", exclude_defaults=True)
    content["stages"][0]["epochs"] = EPOCHS
    changes = {"seed": seed, "float8": settings, "precision": "float32" if settings is None else "bfloat16"}
    return Arm(name=name, recipe=Recipe.model_validate(content | changes))


def low_bit_arms() -> list[Arm]:
    """Return the three stages of run-time bits on the digits, in real numbers and in eight-bit floats."""
    content = load_recipe(find_recipe("resnet8_digits")).model_dump(mode="json", exclude_defaults=True)
    return [
        Arm(name=f"three stages, {name}", recipe=Recipe.model_validate(content | {"seed": seed, "float8": settings}))
        for seed in SEEDS
        for name, settings in ((REAL, None), (EVERYTHING, {}))
    ]


def bit_sparsity_arms() -> list[Arm]:
    """Return BSQ on the digits, in real numbers and in eight-bit floats: planes, then the scheme that they leave."""
    content = load_recipe(find_recipe("resnet8_digits")).model_dump(mode="json", exclude_defaults=True) | BIT_SPARSITY
    return [
        Arm(name=f"BSQ, {name}", recipe=Recipe.model_validate(content | {"seed": seed, "float8": settings}))
        for seed in SEEDS
        for name, settings in ((REAL, None), (EVERYTHING, {}))
    ]
