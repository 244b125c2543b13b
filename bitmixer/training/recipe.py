"""Training recipes: what is trained, on what, for how long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

import bitmixer
from bitmixer.bitwidths import checked_bits
from bitmixer.data import DATA_SETS
from bitmixer.documents import Problem, Section, load_document
from bitmixer.errors import BitmixerError, DocumentError, did_you_mean
from bitmixer.networks.registry import ARCHITECTURES

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class Augmentation(Section):
    """Random changes of training images.

    Attributes:
        shift: Largest shift in pixels, each way.
        noise: Largest standard deviation of added Gaussian noise; each image draws its own up to it.
    """

    shift: int = Field(default=0, ge=0)
    noise: NotNegative = 0.0


class Stage(Section):
    """One of the three stages, in their order.

    Attributes:
        name: ``activations`` (weights stay real, one width for the whole network), ``weights`` (both
            quantised, one width), ``transitions`` (both, per-layer widths grow more random).
        epochs: Passes over the training images.
        learning_rate: Peak of a cosine schedule.
    """

    name: Literal["activations", "weights", "transitions"]
    epochs: int = Field(ge=1)
    learning_rate: Positive


class Recipe(Section):
    """A training from scratch to a checkpoint.

    Attributes:
        name: Name of the checkpoint.
        architecture: A registered architecture.
        width: Channels of its first stage.
        data: A registered data set.
        bits: Widths that a layer can take.
        seed: Everything random follows from it.
        batch_size: Images per step.
        weight_decay: Decoupled weight decay of the weights (not of steps and norms).
        distillation: Weight of the divergence from the highest width's predictions.
        random_assignments: Per-layer assignments trained at each step of the last stage.
        augmentation: Random changes of training images.
        stages: The three stages.
    """

    schema_version: Literal[1]
    name: str = Field(pattern=r"^[a-z0-9_]+$")
    architecture: str
    width: int = Field(ge=1)
    data: str
    bits: tuple[int, ...]
    residual_bits: int = Field(default=8, ge=2, le=8)
    seed: int = Field(ge=0)
    batch_size: int = Field(ge=2)
    weight_decay: NotNegative = 5e-5
    distillation: NotNegative = 1.0
    random_assignments: int = Field(default=2, ge=1)
    augmentation: Augmentation = Augmentation()
    stages: tuple[Stage, ...]

    def contradictions(self) -> Iterator[Problem]:
        """Yield widths, architectures and data sets that do not exist, and stages out of order."""
        try:
            checked_bits(self.bits)
        except BitmixerError as error:
            yield Problem(("bits",), str(error))
        if self.architecture not in ARCHITECTURES:
            known = did_you_mean(self.architecture, ARCHITECTURES)
            yield Problem(("architecture",), f"unknown architecture {self.architecture!r}: {known}")
        if self.data not in DATA_SETS:
            yield Problem(("data",), f"unknown data set {self.data!r}: {did_you_mean(self.data, DATA_SETS)}")
        names = [stage.name for stage in self.stages]
        if names != ["activations", "weights", "transitions"]:
            found = ", ".join(names) or "none"
            yield Problem(("stages",), f"stages {found}: expected activations, weights, transitions")


def packaged_recipes() -> Path:
    """Return the folder of recipes: inside an installed package, or at the top of a source checkout."""
    package = Path(bitmixer.__file__).parent
    installed = package / "packaged" / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def find_recipe(name_or_path: str) -> Path:
    """Return the file of a packaged recipe's name, or the path itself.

    Raises:
        DocumentError: Nothing is at this path, and no packaged recipe has this name.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    names = [file.stem for file in packaged_recipes().glob("*.yaml")]
    if name_or_path in names:
        return packaged_recipes() / f"{name_or_path}.yaml"
    raise DocumentError(f"recipe {name_or_path!r} is neither a file nor packaged: {did_you_mean(path.stem, names)}")


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        DocumentError: Missing or invalid; the message names file, line and column.
    """
    return load_document(path, Recipe)
