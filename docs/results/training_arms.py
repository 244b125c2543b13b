"""Arms of a comparison of trainings: recipes that each change something in a first one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from bitmixer.documents import Section
from bitmixer.networks.checkpoint import Checkpoint, find_checkpoint
from bitmixer.training.loop import FLOAT_STATE, train
from bitmixer.training.recipe import Recipe, Stage


def stage(base: Recipe, name: str, **changes: Any) -> Stage:
    """Return a stage of a recipe with changes."""
    (own,) = (stage for stage in base.stages if stage.name == name)
    return own.model_copy(update=changes)


def changed(base: Recipe, name: str, changes: dict[str, Any]) -> Recipe:
    """Return a recipe with changes; its stages are those behind the float one."""
    content = _fields(base) | changes
    if "stages" in changes:
        content["stages"] = [_fields(stage) for stage in (*base.float_stages, *changes["stages"])]
    return Recipe.model_validate(content | {"name": f"{base.name}_{_slug(name)}" if changes else base.name})


def _fields(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude_defaults=True)


def _slug(name: str) -> str:
    return "_".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split())


def trained(name: str, recipe: Recipe, runs: Path, *, first: Recipe) -> Checkpoint:
    """Train an arm, or go on with it, or return it where it is done; the float stage is that of ``first`` where it fits."""
    folder = runs / recipe.name
    if (folder / "checkpoint.json").is_file():
        return find_checkpoint(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shared = runs / first.name / FLOAT_STATE
    if recipe.architecture == first.architecture and shared.is_file() and not (folder / FLOAT_STATE).is_file():
        shutil.copyfile(shared, folder / FLOAT_STATE)
    text = f"# {name}\n{json.dumps(_fields(recipe), indent=1)}\n"
    checkpoint = train(recipe, text, folder, progress=lambda row: print(name, row, flush=True))
    assert checkpoint is not None
    return checkpoint
