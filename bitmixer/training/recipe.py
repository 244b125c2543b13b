"""Training recipes: what is trained, on what, for how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

import bitmixer
from bitmixer.bitwidths import ENDS, End, NormKey, checked_bits, is_width
from bitmixer.data import DATA_SETS, TRAINING_IMAGES
from bitmixer.documents import Problem, Section, load_document
from bitmixer.errors import BitmixerError, DocumentError, did_you_mean
from bitmixer.networks.registry import ARCHITECTURES
from bitmixer.quantizers import Granularity, QuantizerName
from bitmixer.training.float8_settings import Float8

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Pass = Literal["highest", "lowest", "random"]

STAGES = ("float", "activations", "planes", "weights", "transitions")


class Augmentation(Section):
    """Random changes of training images.

    Attributes:
        shift: Largest shift in pixels, each way.
        mirror: Whether half of the images are mirrored left to right.
        noise: Largest standard deviation of added Gaussian noise; each image draws its own up to it.
    """

    shift: int = Field(default=0, ge=0)
    mirror: bool = False
    noise: NotNegative = 0.0


class Distillation(Section):
    """What else than the labels teaches.

    Attributes:
        teacher: ``highest`` (the predictions of the highest width teach all others), ``recursive`` (every pass
            of a step is taught by the next wider one: Yu et al., "Any-Precision Deep Neural Networks", AAAI 2021),
            ``float`` (the real-valued network of the recipe's first stage teaches all), ``none``.
        weight: Weight of the divergence beside the cross-entropy.
        temperature: Both sides' logits are divided by it, and the divergence is multiplied by its square
            (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015).
    """

    teacher: Literal["highest", "recursive", "float", "none"] = "highest"
    weight: NotNegative = 1.0
    temperature: Positive = 1.0


class BitSparsity(Section):
    """How the stage ``planes`` looks for the precision of every layer: BSQ (Yang et al., ICLR 2021).

    Attributes:
        strength: Weight of the group Lasso over bit planes (the paper's alpha).
        activation_bits: Activation bits of all layers but the first and the last, which read 8 bits.
        interval: Epochs between two adjustments of the precisions.
        reweighed: Whether a layer's planes weigh as much as its share of all bits of memory; else all layers' alike.
    """

    strength: NotNegative
    activation_bits: int = Field(default=4, ge=1, le=8)
    interval: int = Field(ge=1)
    reweighed: bool = True


class ContinuousSparsity(Section):
    """How the stage ``planes`` looks for the precision of every layer within a budget: CSQ (Xiao et al., DAC 2023).

    Attributes:
        target_bits: Mean bits of magnitude per weight that the network shall have.
        strength: How strongly it is pulled there.
        activation_bits: Activation bits of all layers but the first and the last, which read 8 bits.
        final_temperature: By what the sigmoids of bits and planes are sharpened in the last epoch; 1 in the first.
    """

    target_bits: Positive
    strength: NotNegative
    activation_bits: int = Field(default=4, ge=1, le=8)
    final_temperature: float = Field(default=200.0, ge=1.0)


Sparsity = BitSparsity | ContinuousSparsity


class ColumnSparsity(Section):
    """How the stage ``transitions`` empties bit columns of weights, at every width, for arrays that skip them.

    Attributes:
        strength: Weight of the group Lasso over columns; it multiplies the columns per read of the weights.
        group: Input channels of a column: 8, 16 or 32 in BitWave (arXiv 2507.12444).
        rows: Output channels that wait for one another; 1 empties columns of each output channel by itself.
    """

    strength: NotNegative
    group: int = Field(default=8, ge=1)
    rows: int = Field(default=1, ge=1)


class Stage(Section):
    """One stage of a training.

    Attributes:
        name: ``float`` (quantisers off), ``activations`` (weights stay real, one width for the whole network),
            ``planes`` (the bits of all weights are trained, and layers lose planes), ``weights`` (both quantised, one
            width), ``transitions`` (both, per-layer widths grow more random).
        epochs: Passes over the training images.
        optimizer: What trains weights and norms, starting afresh: ``adamw``, or ``sgd`` (gradient descent with Nesterov
            momentum 0.9). Quantisation steps are trained by AdamW in both.
        weight_decay: Decoupled for ``adamw``, an L2 penalty for ``sgd``; the training's where not given.
        learning_rate: Peak of a cosine schedule.
        warm_up: Share of the stage over which the rates first rise to their peaks.
        step_learning_rate: Peak for quantisation steps; that of the weights where not given.
        passes: The assignments that every step trains, each a forward and a backward pass: the ``highest``
            widths, the ``lowest``, or ``random`` ones. Highest, lowest and random together are the "sandwich"
            of Yu and Huang, "Universally Slimmable Networks", ICCV 2019.
    """

    name: Literal["float", "activations", "planes", "weights", "transitions"]
    epochs: int = Field(ge=1)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: NotNegative | None = None
    learning_rate: Positive
    warm_up: float = Field(default=0.0, ge=0.0, lt=1.0)
    step_learning_rate: Positive | None = None
    passes: tuple[Pass, ...] = Field(default=("highest", "random"), min_length=1)

    def contradictions(self) -> Iterator[Problem]:
        """Yield passes and steps' rates where there are no widths yet."""
        if self.name in ("float", "planes") and "passes" in self.model_fields_set:
            sentence = f"the stage {self.name} has no widths to pass through: leave it out"
            yield Problem(("passes",), sentence, about_key=True)
        if self.name == "float" and self.step_learning_rate is not None:
            yield Problem(("step_learning_rate",), "the float stage has no steps: leave it out", about_key=True)
        if self.name != "float" and self.optimizer == "sgd" and self.step_learning_rate is None:
            yield Problem(
                ("optimizer",),
                "AdamW trains the quantisation steps, at rates far below those of sgd: "
                "add a step_learning_rate, 1.0e-3 for example",
            )

    @property
    def peak_step_learning_rate(self) -> float:
        """Peak of the steps' learning rate."""
        return self.learning_rate if self.step_learning_rate is None else self.step_learning_rate


class Training(Section):
    """How a network is trained, whatever the network and the images.

    Attributes:
        seed: Everything random follows from it.
        batch_size: Images per step.
        weight_decay: Decay of the weights (not of steps and norms), where a stage does not give its own.
        distillation: What else than the labels teaches.
        augmentation: Random changes of training images.
        step_learning_rates: Width -> factor on the learning rate of the quantisation steps that belong to it alone
            (Double Rounding, arXiv 2502.01199, section 3.2, makes lower widths learn slower); 1 where not given.
        precision: Type of the products in training; ``bfloat16`` is faster where the processor multiplies it.
        float8: Products of eight-bit floats in all stages, and how; products of real numbers where not given.
        column_sparsity: How the stage ``transitions`` empties bit columns of weights; not at all where not given.
        recalibration_batches: Batches under random widths from which norm statistics are averaged anew at
            the end (0: the running averages stay).
        stages: The stages, in the order float, activations, planes, weights, transitions; each may be left out.
    """

    seed: int = Field(ge=0)
    batch_size: int = Field(ge=2)
    weight_decay: NotNegative = 5e-5
    distillation: Distillation = Distillation()
    augmentation: Augmentation = Augmentation()
    step_learning_rates: Mapping[str, Positive] = {}
    precision: Literal["float32", "bfloat16"] = "float32"
    float8: Float8 | None = None
    column_sparsity: ColumnSparsity | None = None
    recalibration_batches: int = Field(default=0, ge=0)
    stages: tuple[Stage, ...] = Field(min_length=1)

    def contradictions(self) -> Iterator[Problem]:
        """Yield stages out of order, and passes that lack the teacher."""
        names = [stage.name for stage in self.stages]
        if names != [name for name in STAGES if name in names] or names == ["float"]:
            yield Problem(
                ("stages",),
                f"stages {', '.join(names)}: expected some of {', '.join(STAGES)}, in this order, and not float alone",
            )
        if self.column_sparsity is not None and "transitions" not in names:
            yield Problem(
                ("column_sparsity",), "empties columns in the stage 'transitions': add that stage, or leave this out"
            )
        if self.distillation.teacher in ("highest", "recursive"):
            for index, stage in enumerate(self.stages):
                if stage.name != "float" and "highest" not in stage.passes:
                    yield Problem(
                        ("stages", index, "passes"),
                        f"the teacher '{self.distillation.teacher}' needs the pass 'highest' in every step: add it",
                    )

    @property
    def quantized_stages(self) -> tuple[Stage, ...]:
        """The stages in which a meta-quantized network is trained."""
        return tuple(stage for stage in self.stages if stage.name != "float")

    @property
    def float_stages(self) -> tuple[Stage, ...]:
        """The stage in which the original is trained, if there is one."""
        return tuple(stage for stage in self.stages if stage.name == "float")


class Recipe(Training):
    """A training from scratch to a checkpoint.

    Attributes:
        name: Name of the checkpoint.
        architecture: A registered architecture.
        width: Channels of its first stage.
        data: A registered data set.
        bits: Widths that a layer can take.
        tied: Whether a layer's weights and activations share one width.
        norm: What chooses a norm: both neighbours' widths, its producer's alone, or nothing (one shared norm).
        residual_bits: Width of tensors that wait in memory for a shortcut or a join.
        quantizer: ``nested``, ``lsq`` (independent steps per width), ``dorefa`` (with PACT activations) or ``binary``
            (one bit as binary networks have it).
        granularity: Weight steps per ``tensor`` or per output ``channel``.
        scheme: Site -> its weight and activation bits, for a network that never changes them.
        bit_sparsity: How the stage ``planes`` finds such a scheme; ``bits`` is then the one width at which it starts.
        continuous_sparsity: Another way to find one, instead.
        pinned: Which of the ``first`` and the ``last`` layer are kept at 8 bits.
    """

    schema_version: Literal[1]
    name: str = Field(pattern=r"^[a-z0-9_]+$")
    architecture: str
    width: int = Field(ge=1)
    data: str
    bits: tuple[int, ...]
    tied: bool = True
    norm: NormKey = "transition"
    residual_bits: int = Field(default=8, ge=2, le=8)
    quantizer: QuantizerName = "nested"
    granularity: Granularity = "tensor"
    pinned: tuple[End, ...] = ENDS
    scheme: Mapping[str, tuple[int, int]] | None = None
    bit_sparsity: BitSparsity | None = None
    continuous_sparsity: ContinuousSparsity | None = None

    @property
    def sparsity(self) -> Sparsity | None:
        """How the stage ``planes`` finds a scheme, where there is such a stage."""
        return self.bit_sparsity or self.continuous_sparsity

    def contradictions(self) -> Iterator[Problem]:
        """Yield widths, architectures and data sets that do not exist."""
        yield from super().contradictions()
        if self.distillation.teacher == "float" and not self.float_stages:
            yield Problem(
                ("distillation", "teacher"),
                "there is no float network to learn from: add a first stage 'float', or choose highest",
            )
        try:
            checked_bits(self.bits)
        except BitmixerError as error:
            yield Problem(("bits",), str(error))
        if self.architecture not in ARCHITECTURES:
            known = did_you_mean(self.architecture, ARCHITECTURES)
            yield Problem(("architecture",), f"unknown architecture {self.architecture!r}: {known}")
        if self.data not in DATA_SETS:
            yield Problem(("data",), f"unknown data set {self.data!r}: {did_you_mean(self.data, DATA_SETS)}")
        elif self.batch_size > TRAINING_IMAGES[self.data]:
            most = TRAINING_IMAGES[self.data]
            sentence = f"{self.batch_size} is more than the {most} training images of {self.data}: make it smaller"
            yield Problem(("batch_size",), sentence)
        if self.column_sparsity is not None and self.quantizer == "dorefa":
            sentence = "codes of dorefa are odd numbers, in which no column is empty: choose another quantizer"
            yield Problem(("column_sparsity",), sentence)
        yield from self._contradictions_of_a_fixed_network()
        for width in self.step_learning_rates:
            if width not in map(str, self.bits):
                bits = ", ".join(map(str, self.bits))
                yield Problem(("step_learning_rates", width), f"no layer has {width} bits: expected one of {bits}")

    def _contradictions_of_a_fixed_network(self) -> Iterator[Problem]:
        """Yield what a scheme, or the search for one, does not go with."""
        stages = {stage.name for stage in self.stages}
        sections = {"bit_sparsity": self.bit_sparsity, "continuous_sparsity": self.continuous_sparsity}
        given = [name for name, section in sections.items() if section is not None]
        if ("planes" in stages) != bool(given):
            sentence = (
                f"a stage 'planes' and one of the sections {', '.join(sections)} need each other: give both or none"
            )
            yield Problem(("stages",), sentence)
        if len(given) > 1:
            yield Problem((given[1],), f"{given[0]} looks for a scheme already: leave one of them out")
        if not given and self.scheme is None:
            return
        for index, stage in enumerate(self.stages):
            if stage.name in ("activations", "weights") and stage.passes != ("highest",):
                sentence = "a network whose widths are fixed has one pass: write passes: [highest]"
                yield Problem(("stages", index), sentence)
        for site, widths in (self.scheme or {}).items():
            if widths[0] not in self.bits or not is_width(widths[1]):
                known = ", ".join(map(str, self.bits))
                sentence = (
                    f"{list(widths)}: expected weight bits out of {known} (see bits), activation bits from 1 to 8"
                )
                yield Problem(("scheme", site), sentence)
        if "transitions" in stages:
            yield Problem(("stages",), "widths that a scheme fixes have no transitions: leave that stage out")
        if self.scheme is not None and given:
            yield Problem(("scheme",), "is what the stage 'planes' looks for: leave it out")
        if not given:
            return
        if self.quantizer != "symmetric" or self.granularity != "tensor" or self.norm != "shared":
            sentence = "weights in bit planes need quantizer: symmetric, granularity: tensor and norm: shared"
            yield Problem((given[0],), sentence)
        if len(self.bits) != 1 or self.bits[0] < 2:
            yield Problem(("bits",), "is the one width at which the search for a scheme starts: 8, for example")


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
