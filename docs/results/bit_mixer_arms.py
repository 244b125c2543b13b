"""The arms of the comparison in bit-mixer.md: one recipe each, all from recipes/resnet8_cifar10.yaml.

Every arm sees the same images equally often, from the same float network on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bitmixer.training.recipe import Recipe, find_recipe, load_recipe

sys.path.insert(0, str(Path(__file__).parent))

from training_arms import changed, stage

META = "meta-network"


def arms() -> dict[str, Recipe]:
    """Return the arms in the order in which they are trained."""
    base = load_recipe(find_recipe("resnet8_cifar10"))
    return {name: changed(base, name, changes) for name, changes in _changes(base)}


def _changes(base: Recipe) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what each arm changes in the meta-network's recipe."""
    epochs = {each.name: each.epochs for each in base.stages}
    later = epochs["weights"] + epochs["transitions"]
    yield META, {}
    for bits in (8, 4, 2):
        alone = [
            stage(base, "activations", passes=("highest",)),
            stage(base, "weights", epochs=later, passes=("highest",)),
        ]
        yield f"separate network, {bits} bits", {"bits": (bits,), "stages": alone}
    uniform = [stage(base, "activations"), stage(base, "weights", epochs=later)]
    yield "switchable norm, whole-network widths only", {"norm": "producer", "stages": uniform}
    yield "one shared norm", {"norm": "shared"}
    yield "own-bits norm", {"norm": "producer"}
    first, second = epochs["activations"], epochs["weights"]
    yield "without stage I", {"stages": [stage(base, "weights", epochs=first + second), stage(base, "transitions")]}
    yield (
        "without stage II",
        {"stages": [stage(base, "activations", epochs=first + second), stage(base, "transitions")]},
    )
    yield "without distillation", {"distillation": {"teacher": "none"}}
    yield "untied", {"tied": False}
    both_ends = ("highest", "lowest", "random")
    sandwich = [
        stage(base, "activations"),
        *(stage(base, name, passes=both_ends) for name in ("weights", "transitions")),
    ]
    yield "lowest width in every step too", {"stages": sandwich}
