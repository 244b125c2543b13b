"""The arms of the comparison in bit-mixer.md: one recipe each, all from recipes/resnet8_cifar10.yaml.

Every arm sees the same images equally often, from the same float network on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bitmixer.documents import Section
from bitmixer.networks.checkpoint import Checkpoint, find_checkpoint
from bitmixer.training.loop import FLOAT_STATE, train
from bitmixer.training.recipe import Recipe, Stage, find_recipe, load_recipe

META = "meta-network"


def arms() -> dict[str, Recipe]:
    """Return the arms in the order in which they are trained."""
    base = load_recipe(find_recipe("resnet8_cifar10"))
    return {name: _changed(base, name, changes) for name, changes in _changes(base)}


def _changes(base: Recipe) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what each arm changes in the meta-network's recipe."""
    epochs = {stage.name: stage.epochs for stage in base.stages}
    later = epochs["weights"] + epochs["transitions"]
    yield META, {}
    for bits in (8, 4, 2):
        alone = [
            _stage(base, "activations", passes=("highest",)),
            _stage(base, "weights", epochs=later, passes=("highest",)),
        ]
        yield f"separate network, {bits} bits", {"bits": (bits,), "stages": alone}
    uniform = [_stage(base, "activations"), _stage(base, "weights", epochs=later)]
    yield "switchable norm, whole-network widths only", {"norm": "producer", "stages": uniform}
    yield "one shared norm", {"norm": "shared"}
    yield "own-bits norm", {"norm": "producer"}
    first, second = epochs["activations"], epochs["weights"]
    yield "without stage I", {"stages": [_stage(base, "weights", epochs=first + second), _stage(base, "transitions")]}
    yield (
        "without stage II",
        {"stages": [_stage(base, "activations", epochs=first + second), _stage(base, "transitions")]},
    )
    yield "without distillation", {"distillation": {"teacher": "none"}}
    yield "untied", {"tied": False}
    both_ends = ("highest", "lowest", "random")
    sandwich = [
        _stage(base, "activations"),
        *(_stage(base, name, passes=both_ends) for name in ("weights", "transitions")),
    ]
    yield "lowest width in every step too", {"stages": sandwich}


def _stage(base: Recipe, name: str, **changes: Any) -> Stage:
    (own,) = (stage for stage in base.stages if stage.name == name)
    return own.model_copy(update=changes)


def _changed(base: Recipe, name: str, changes: dict[str, Any]) -> Recipe:
    content = _fields(base) | changes
    if "stages" in changes:
        content["stages"] = [_fields(stage) for stage in (*base.float_stages, *changes["stages"])]
    return Recipe.model_validate(content | {"name": f"{base.name}_{_slug(name)}" if changes else base.name})


def _fields(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude_defaults=True)


def _slug(name: str) -> str:
    return "_".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())


def trained(name: str, recipe: Recipe, runs: Path) -> Checkpoint:
    """Train an arm, or go on with it, or return it where it is done; the float stage is shared by all."""
    folder = runs / recipe.name
    if (folder / "checkpoint.json").is_file():
        return find_checkpoint(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shared = runs / arms()[META].name / FLOAT_STATE
    if shared.is_file() and not (folder / FLOAT_STATE).is_file():
        shutil.copyfile(shared, folder / FLOAT_STATE)
    text = f"# {name}\n{json.dumps(_fields(recipe), indent=1)}\n"
    checkpoint = train(recipe, text, folder, progress=lambda row: print(name, row, flush=True))
    assert checkpoint is not None
    return checkpoint
