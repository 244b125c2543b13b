"""The arms of the comparison in bsq.md: one recipe each, all from recipes/bsq_resnet8_cifar10.yaml.

Every arm sees the same number of images. All but those from scratch start from one float network, and spend on the rest
what BSQ spends on its planes and its fine-tuning.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitmixer.bitwidths import BitWidths
from bitmixer.documents import Section
from bitmixer.networks.checkpoint import Checkpoint, NetworkForm, find_checkpoint, original_of
from bitmixer.training.loop import FLOAT_STATE, train
from bitmixer.training.recipe import Recipe, find_recipe, load_recipe

STRENGTHS = (0.01, 0.02, 0.05, 0.1)
MIDDLE = 0.05
"""The strength at which the reweighing is taken away."""
UNIFORM_BITS = (4, 3, 2)
ACTIVATIONS, ENDS = 4, BitWidths(8, 8)
CSQ = {"target_bits": 2.5, "strength": 0.02, "activation_bits": ACTIVATIONS}
SCRATCH = {
    "name": "weights", "optimizer": "sgd", "weight_decay": 5.0e-4, "learning_rate": 0.1, "warm_up": 0.15,
    "step_learning_rate": 1.0e-3, "passes": ["highest"],
}  # fmt: skip
"""As the float stage, at half its rate: the whole training with quantisers on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One training.

    Attributes:
        name: What the page calls it.
        kind: ``bsq``, ``scratch``, ``uniform``, ``ablation`` or ``csq``.
        recipe: How it is trained; ``None`` while the scheme that it needs is not found.
    """

    name: str
    kind: str
    recipe: Recipe | None


def arms(runs: Path) -> list[Arm]:
    """Return the arms in the order in which they are trained."""
    base = load_recipe(find_recipe("bsq_resnet8_cifar10"))
    found = [Arm(name=_bsq(strength), kind="bsq", recipe=_with_strength(base, strength)) for strength in STRENGTHS]
    first = sorted(found, key=lambda arm: arm.name != _bsq(MIDDLE))  # the middle one's scheme is trained first
    scratch = [
        Arm(name=f"scratch, scheme of {arm.name}", kind="scratch", recipe=_from_scratch(base, arm, runs))
        for arm in first
    ]
    uniform = [
        Arm(name=f"uniform LSQ, {bits} bits", kind="uniform", recipe=_uniform(base, bits)) for bits in UNIFORM_BITS
    ]
    name = f"{_bsq(MIDDLE)}, not reweighed"
    plain = Arm(name=name, kind="ablation", recipe=_with_strength(base, MIDDLE, reweighed=False))
    within = Arm(name=f"CSQ, {CSQ['target_bits']} bits", kind="csq", recipe=_within_budget(base))
    return [*found, scratch[0], *uniform, plain, within, *scratch[1:]]


def epochs_of(recipe: Recipe) -> int:
    """Return how often an arm sees the training images."""
    return sum(stage.epochs for stage in recipe.stages)


def _bsq(strength: float) -> str:
    return f"BSQ {strength:g}"


def _with_strength(base: Recipe, strength: float, **changes: Any) -> Recipe:
    assert base.bit_sparsity is not None
    settings = base.bit_sparsity.model_copy(update={"strength": strength, **changes})
    suffix = f"_{strength:g}".replace(".", "_") + "_plain" * bool(changes)
    return Recipe.model_validate(_fields(base) | {"name": base.name + suffix, "bit_sparsity": _fields(settings)})


def _within_budget(base: Recipe) -> Recipe:
    content = _fields(base) | {"name": "csq_resnet8_cifar10", "continuous_sparsity": CSQ}
    del content["bit_sparsity"]
    for stage in content["stages"]:
        if stage["name"] == "planes":
            stage["weight_decay"] = 0.0  # it would pull every bit and every plane towards undecided
    return Recipe.model_validate(content)


def _from_scratch(base: Recipe, arm: Arm, runs: Path) -> Recipe | None:
    assert arm.recipe is not None
    if not (runs / arm.recipe.name / "checkpoint.json").is_file():
        return None
    form = find_checkpoint(runs / arm.recipe.name).form
    assert form is not None
    assert form.scheme is not None
    stages = [SCRATCH | {"epochs": epochs_of(base)}]
    return _fixed(base, f"{arm.recipe.name}_scratch", form.scheme, "symmetric", stages)


def _uniform(base: Recipe, bits: int) -> Recipe:
    from bitmixer import convert

    form = NetworkForm(
        architecture=base.architecture, width=base.width, input_channels=3, classes=10, bits=(8,), residual_bits=8
    )  # fmt: skip
    sites = convert(original_of(form), [8]).sites
    scheme = {site.name: BitWidths(bits, ACTIVATIONS) for site in sites} | {sites[0].name: ENDS, sites[-1].name: ENDS}
    tuning = next(stage for stage in base.stages if stage.name == "weights")
    later = sum(stage.epochs for stage in base.quantized_stages)
    stages = [*map(_fields, base.float_stages), _fields(tuning) | {"epochs": later}]
    return _fixed(base, f"uniform_resnet8_cifar10_{bits}", scheme, "lsq", stages)


def _fixed(
    base: Recipe, name: str, scheme: dict[str, BitWidths], quantizer: str, stages: list[dict[str, Any]]
) -> Recipe:
    content = _fields(base) | {"name": name, "quantizer": quantizer, "stages": stages}
    del content["bit_sparsity"]
    bits = sorted({widths.weight for widths in scheme.values()})
    return Recipe.model_validate(content | {"bits": bits, "scheme": {site: list(w) for site, w in scheme.items()}})


def _fields(section: Section) -> dict[str, Any]:
    return section.model_dump(mode="json", exclude_defaults=True)


def trained(arm: Arm, runs: Path) -> Checkpoint:
    """Train an arm, or go on with it, or return it where it is done; the float stage is shared by all."""
    assert arm.recipe is not None
    folder = runs / arm.recipe.name
    if (folder / "checkpoint.json").is_file():
        return find_checkpoint(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if arm.recipe.float_stages and not (folder / FLOAT_STATE).is_file():
        shared = next(iter(sorted(runs.glob(f"*resnet8_cifar10*/{FLOAT_STATE}"))), None)
        if shared is not None:
            shutil.copyfile(shared, folder / FLOAT_STATE)
    text = f"# {arm.name}\n{json.dumps(_fields(arm.recipe), indent=1)}\n"
    checkpoint = train(arm.recipe, text, folder, progress=lambda row: print(arm.name, row, flush=True))
    assert checkpoint is not None
    return checkpoint
