"""Measures what docs/results/bcnn.md says of binary networks, and writes that page from the figures.

Usage, with BITMIXER_DATA set (an hour on one core; interrupted, it goes on where it was):
    python docs/results/bcnn.py measure [--runs FOLDER]   # trains what is missing; writes bcnn.json
    python docs/results/bcnn.py collect [--runs FOLDER]   # the same of what is trained already
    python docs/results/bcnn.py page                      # writes bcnn.md from it
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bitmixer.training.recipe import Recipe, find_recipe, load_recipe

sys.path.insert(0, str(Path(__file__).parent))

import bcnn_sizes
import bcnn_switching
from training_arms import changed, stage, trained

HERE = Path(__file__).parent
TWIN = HERE / "bcnn.json"
PAGE = HERE / "bcnn.md"
TWO_STEP, DIRECT, ACTIVATIONS, REAL_STEM, ALONE = (
    "two steps", "direct", "activations only", "real stem", "two steps, without distillation",
)  # fmt: skip
PACKED = (TWO_STEP, DIRECT)
"""Arms whose networks are packed, too."""
FROM_FLOAT = 0.06
"""How far below the float network of its shape the binary one may be, at a full recipe."""
NOT_RUN = "not run"


def arms() -> dict[str, Recipe]:
    """Return the arms in the order in which they are trained; all see the same images equally often."""
    base = load_recipe(find_recipe("bcnn_cifar10"))
    return {name: changed(base, name, changes) for name, changes in _changes(base)}


def _changes(base: Recipe) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what each arm changes in the recipe of two steps."""
    epochs = sum(each.epochs for each in base.quantized_stages)
    yield TWO_STEP, {}
    yield DIRECT, {"stages": [stage(base, "weights", epochs=epochs)]}
    yield ACTIVATIONS, {"stages": [stage(base, "activations", epochs=epochs)]}
    yield REAL_STEM, {"architecture": "bcnn_space_to_depth_real_stem", "pinned": ["first", "last"]}
    yield ALONE, {"distillation": {"teacher": "none"}}


def collect(runs: Path, *, train: bool) -> None:
    """Write the twin; what is not trained is ``None`` unless it is to be trained now."""
    results: dict[str, Any] = {
        "machine": _machine(), "arms": dict.fromkeys(arms()), "switching": bcnn_switching.measured(),
    }  # fmt: skip
    for name, recipe in arms().items():
        folder = runs / recipe.name
        if train or (folder / "checkpoint.json").is_file():
            checkpoint = trained(name, recipe, runs, first=arms()[TWO_STEP])
            assert checkpoint.metrics is not None
            results["arms"][name] = {
                "command": f"bitmixer train {recipe.name} (docs/results/bcnn.py)",
                **checkpoint.metrics, "accuracy": _accuracies(folder, recipe),
            }  # fmt: skip
        TWIN.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    packed = tuple(recipe.name for name, recipe in arms().items() if name in PACKED)
    results["packed"] = bcnn_sizes.measured(runs, packed)
    TWIN.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _machine() -> str:
    from hwsim import provenance

    return f"{platform.machine()}, CPU, " + ", ".join(map(" ".join, provenance.versions().items()))


def _accuracies(folder: Path, recipe: Recipe) -> dict[str, float | None]:
    """Return the accuracy of the float network, with signs for activations alone, and with signs for both.

    The first two leave weights real; ``None`` where the training had other aims.
    """
    import torch

    from bitmixer.networks.checkpoint import find_checkpoint, load_network, original_of
    from bitmixer.training.loop import FLOAT_STATE

    checkpoint = find_checkpoint(folder)
    assert checkpoint.form is not None
    original = original_of(checkpoint.form)
    original.load_state_dict(torch.load(folder / FLOAT_STATE, weights_only=True)["network"])
    found = {"float": _accuracy(original.eval(), recipe.data), "activations": None, "both": None}
    network = load_network(checkpoint)
    if recipe.stages[-1].name == "activations":
        network.quantize(weights=False)
        found["activations"] = _accuracy(network, recipe.data)
    else:
        found["both"] = _accuracy(network, recipe.data)
    return found


def _accuracy(network: Any, data: str) -> float:
    import torch

    from bitmixer.data import load_data

    inputs, labels = load_data(data)
    with torch.no_grad():
        predictions = torch.cat([network(batch).argmax(dim=1) for batch in torch.split(inputs, 250)])
    return float((predictions == labels).double().mean())


def page() -> None:
    """Write the page."""
    found = json.loads(TWIN.read_text(encoding="utf-8"))
    parts = [_head(found), _arms_part(found["arms"]), _targets_part(found["arms"])]
    parts += [bcnn_switching.part(found["switching"]), bcnn_sizes.part(found["packed"])]
    PAGE.write_text("\n\n".join(parts) + "\n")


def _head(found: dict[str, Any]) -> str:
    return (
        "# Binary networks, measured\n\n"
        "Written by `bcnn.py` from its twin `bcnn.json`; nothing is typed by hand. "
        f"Machine: {found['machine']}. Data: CIFAR-10, 50 000 images to train and 10 000 to test, from a JPEG re-encoding of "
        "the original. One seed each: the standard error of an accuracy is about 0.4 points from the test images alone."
    )


def _arms_part(measured: dict[str, Any]) -> str:
    base = arms()[TWO_STEP]
    epochs = {each.name: each.epochs for each in base.stages}
    about = (
        f"Every arm starts from a float network of its shape ({epochs['float']} epochs; one for all but the real stem), which "
        f"also teaches, and then sees the training images {epochs['activations'] + epochs['weights']} times: two steps are "
        f"{epochs['activations']} epochs with signs for activations alone and {epochs['weights']} with signs for both; direct "
        "takes signs for both from the first. All convolutions are binary, the stem and those that halve the map too; in the arm "
        "with a real stem the first one has 8 bits. The classifier has 8 bits."
    )
    lines = [
        f"## What two steps are worth: `{base.architecture}`, width {base.width}",
        "",
        about,
        "",
        "| arm | float network | binary activations, real weights | all binary | seconds |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, arm in measured.items():
        if arm is None:
            lines.append(f"| {name} | {NOT_RUN} | {NOT_RUN} | {NOT_RUN} | {NOT_RUN} |")
            continue
        cells = [_percent(arm["accuracy"][key]) for key in ("float", "activations", "both")]
        lines.append(f"| {name} | {' | '.join(cells)} | {arm['training']['seconds']:.0f} |")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def _targets_part(measured: dict[str, Any]) -> str:
    lines = ["## Against the targets", "", "| target | measured | held |", "|---|---|---|"]
    both = {name: None if arm is None else arm["accuracy"]["both"] for name, arm in measured.items()}
    float_network = None if measured[TWO_STEP] is None else measured[TWO_STEP]["accuracy"]["float"]
    lines.append(_target("two steps above direct", both[TWO_STEP], both[DIRECT], 0.0))
    lines.append(_target("at most 6 points below the float network", both[TWO_STEP], float_network, FROM_FLOAT))
    return "\n".join(lines)


def _target(name: str, value: float | None, other: float | None, allowed: float) -> str:
    if value is None or other is None:
        return f"| {name} | {NOT_RUN} | {NOT_RUN} |"
    gap = value - other
    held = "yes" if gap + allowed >= 0 else f"no, by {-100 * (gap + allowed):.2f} points"
    return f"| {name} | {100 * gap:+.2f} points | {held} |"


def main() -> None:
    """Run one of the three verbs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("measure", "collect", "page"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    if arguments.verb == "page":
        page()
    else:
        collect(arguments.runs, train=arguments.verb == "measure")


if __name__ == "__main__":
    main()
