"""Measures what docs/results/fp8.md says, and writes that page and its figure from the figures.

Usage, with BITMIXER_DATA set and torchao installed (an hour or two on one core; interrupted, it goes on where it was):
    python docs/results/fp8.py measure [--runs FOLDER]   # trains what is missing; writes fp8.json arm by arm
    python docs/results/fp8.py collect [--runs FOLDER]   # the same of what is trained already
    python docs/results/fp8.py page                      # writes fp8.md and the figure from it
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import fp8_arms
import fp8_page
import fp8_torchao
from fp8_arms import Arm

HERE = Path(__file__).parent
TWIN = HERE / "fp8.json"
BATCH = 500
RESULT = "result.json"


def collect(runs: Path, *, train: bool) -> None:
    """Write the twin; what is not trained is ``None`` unless it is to be trained now."""
    results: dict[str, Any] = {
        "command": "python docs/results/fp8.py measure", "machine": _machine(), "epochs": fp8_arms.EPOCHS,
        "seeds": list(fp8_arms.SEEDS), "arms": {}, "low_bit": {}, "bit_sparsity": {},
    }  # fmt: skip
    for is_trained in (False, True) if train else (False,):  # what is there first, as training takes long
        _collect(results, "low_bit", fp8_arms.low_bit_arms(), _whole, runs, train=is_trained)
        _collect(results, "bit_sparsity", fp8_arms.bit_sparsity_arms(), _whole, runs, train=is_trained)
        _collect_linear(results, runs, train=is_trained)
        _collect(results, "arms", fp8_arms.arms(), _float_stage, runs, train=is_trained)


def _collect(
    results: dict[str, Any],
    part: str,
    arms: list[Arm],
    measure: Callable[[Arm, Path], dict[str, Any]],
    runs: Path,
    *,
    train: bool,
) -> None:
    for arm in arms:
        file = runs / arm.folder / RESULT
        if train and not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(measure(arm, file.parent), indent=1), encoding="utf-8")
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        results[part].setdefault(arm.name, {})[str(arm.recipe.seed)] = found
        TWIN.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _collect_linear(results: dict[str, Any], runs: Path, *, train: bool) -> None:
    """Collect the networks of linear layers, ours and torchao's."""
    found = results["linear"] = {"data": fp8_torchao.DATA, "epochs": fp8_torchao.EPOCHS, "arms": {}}
    for name in fp8_torchao.ARMS:
        for seed in fp8_torchao.SEEDS:
            file = runs / "linear" / f"{name.replace(' ', '_')}_seed{seed}.json"
            if train and not file.is_file():
                file.parent.mkdir(parents=True, exist_ok=True)
                measured = fp8_torchao.measure(name, seed) | {"torchao": fp8_torchao.version()}
                file.write_text(json.dumps(measured), encoding="utf-8")
                print(file.stem, measured, flush=True)
            if file.is_file():
                found["arms"].setdefault(name, {})[str(seed)] = json.loads(file.read_text(encoding="utf-8"))
    TWIN.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _machine() -> str:
    from hwsim import provenance

    return f"{platform.machine()}, CPU, " + ", ".join(map(" ".join, provenance.versions().items()))


def _whole(arm: Arm, folder: Path) -> dict[str, Any]:
    """Train a recipe to its checkpoint."""
    from bitmixer.training.loop import train

    checkpoint = train(arm.recipe, f"# {arm.name}\n", folder, progress=_shown(arm))
    assert checkpoint is not None
    assert checkpoint.metrics is not None
    kept = ("data_sha256", "uniform", "random", "scheme", "training")
    return {key: checkpoint.metrics[key] for key in kept if key in checkpoint.metrics}


def _float_stage(arm: Arm, folder: Path) -> dict[str, Any]:
    """Train a float network, and measure it with the products that trained it and with real ones."""
    import torch

    from bitmixer.data import load_image_set
    from bitmixer.training.arithmetic import Arithmetic
    from bitmixer.training.float8 import Float8Arithmetic
    from bitmixer.training.loop import train_float
    from bitmixer.training.ranks import ALONE

    images = load_image_set(arm.recipe.data)
    network, history = train_float(arm.recipe, images, folder, progress=_shown(arm))
    network.eval()

    @torch.no_grad()
    def accuracy(arithmetic: Arithmetic) -> float:
        right = 0
        arithmetic.begin_epoch(len(history))
        with arithmetic.products(is_counted=False):
            for start in range(0, len(images.test_labels), BATCH):
                logits = network(torch.from_numpy(images.test_inputs[start : start + BATCH]))
                right += int((logits.argmax(1).numpy() == images.test_labels[start : start + BATCH]).sum())
        return right / len(images.test_labels)

    settings = arm.recipe.float8
    own = Arithmetic() if settings is None else Float8Arithmetic(network, settings, seed=arm.recipe.seed, ranks=ALONE)
    return {"accuracy": accuracy(own), "accuracy_of_real_products": accuracy(Arithmetic()), "history": history}


def _shown(arm: Arm) -> Callable[[dict[str, Any]], None]:
    def progress(row: dict[str, Any]) -> None:
        shown = {key: value for key, value in row.items() if key != "lost_errors"}
        print(arm.folder, shown, flush=True)

    return progress


def main() -> None:
    """Run one of the three verbs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("measure", "collect", "page"))
    parser.add_argument("--runs", type=Path, default=Path("runs/fp8"))
    arguments = parser.parse_args()
    if arguments.verb == "page":
        fp8_page.write(json.loads(TWIN.read_text(encoding="utf-8")))
    else:
        from bitmixer.allocation import keep_freed_memory

        keep_freed_memory()
        collect(arguments.runs, train=arguments.verb == "measure")


if __name__ == "__main__":
    main()
