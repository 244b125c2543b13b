"""Measures what docs/results/bit-mixer.md says, and writes that page and its figure from the figures.

Usage, with BITMIXER_DATA set (hours on two cores; interrupted, it goes on where it was):
    python docs/results/bit_mixer.py measure [--runs FOLDER]   # trains what is missing; writes bit-mixer.json
    python docs/results/bit_mixer.py collect [--runs FOLDER]   # the same of what is trained already
    python docs/results/bit_mixer.py page                      # writes bit-mixer.md and the figure from it
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from bit_mixer_arms import META, arms
from training_arms import trained

HERE = Path(__file__).parent
TWIN = HERE / "bit-mixer.json"
PAGE = HERE / "bit-mixer.md"
FIGURE = HERE.parent / "images" / "bit_mixer_arms.svg"
SHIPPED = "resnet20_cifar10"
BUDGET = "average_bits<=3"
SEARCH_IMAGES = 2000
SEPARATE = "separate network, {} bits"
SEPARATE_BITS = (8, 4, 2)
LOWEST_TOO = "lowest width in every step too"
NOT_RUN = "not run"
LEFT_END = 70.0
"""Least accuracy that the figure has room for, in percent; what lies below is written at its edge."""


def collect(runs: Path, *, train: bool) -> None:
    """Write the twin; what is not trained is ``None`` unless it is to be trained now."""
    results: dict[str, Any] = {"machine": _machine(), "shipped": _shipped(), "arms": {}, "search": None}
    for name, recipe in arms().items():
        folder = runs / recipe.name
        if not train and not (folder / "checkpoint.json").is_file():
            results["arms"][name] = None
            continue
        checkpoint = trained(name, recipe, runs, first=arms()[META])
        assert checkpoint.metrics is not None
        passes = {len(stage.passes) for stage in recipe.quantized_stages}
        results["arms"][name] = {
            "command": f"bitmixer train {recipe.name} (docs/results/bit_mixer_arms.py)", "device": "CPU",
            "passes_per_step": max(passes), **checkpoint.metrics,
        }  # fmt: skip
        if name == META:
            results["search"] = _search(folder, run=train)
        TWIN.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    TWIN.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _machine() -> str:
    from hwsim import provenance

    return f"{platform.machine()}, CPU, " + ", ".join(map(" ".join, provenance.versions().items()))


def _shipped() -> dict[str, Any] | None:
    from bitmixer.networks.checkpoint import find_checkpoint, shipped_checkpoints

    if SHIPPED not in shipped_checkpoints():
        return None
    metrics = find_checkpoint(SHIPPED).metrics
    assert metrics is not None
    return {"command": f"bitmixer train {SHIPPED}", "device": "CPU", **metrics}


def _search(folder: Path, *, run: bool) -> dict[str, Any] | None:
    from bitmixer.networks.checkpoint import find_checkpoint
    from bitmixer.search.command import SearchRequest, run_search

    kept = folder / "search" / "search.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    elif not run:
        return None
    else:
        request = SearchRequest(
            checkpoint=find_checkpoint(folder), data="cifar10", budget=BUDGET, method="all", images=SEARCH_IMAGES,
            random_assignments=50, seed=1, costs=None, pareto=False, folder=folder / "search",
        )  # fmt: skip
        began = time.perf_counter()
        found = run_search(request)
        found["seconds"] = round(time.perf_counter() - began, 1)
        kept.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    command = f"bitmixer search {folder.name} --data cifar10 --budget '{BUDGET}' --method all --seed 1"
    return {"command": command, "device": "CPU", **found}


def page() -> None:
    """Write the page and its figure."""
    found = json.loads(TWIN.read_text(encoding="utf-8"))
    _draw(found["arms"])
    parts = [_head(found), _shipped_part(found["shipped"]), _arms_part(found["arms"]), _targets_part(found)]
    parts += [_reading(found["arms"])] if found["arms"][LOWEST_TOO] and found["arms"][META] else []
    PAGE.write_text("\n\n".join([*parts, _search_part(found["search"])]) + "\n", encoding="utf-8")


def _head(found: dict[str, Any]) -> str:
    return (
        "# Bit-Mixer, measured\n\n"
        "Written by `bit_mixer.py` from its twin `bit-mixer.json`; nothing is typed by hand. "
        f"Machine: {found['machine']}. Data: CIFAR-10, 50 000 images to train and 10 000 to test, from a JPEG re-encoding of "
        "the original. One seed each: the standard error of an accuracy is about 0.4 points from the test images alone."
    )


def _shipped_part(shipped: dict[str, Any] | None) -> str:
    title = f"## The shipped network: `{SHIPPED}`\n\n"
    if shipped is None:
        return title + f"{NOT_RUN}."
    training = shipped["training"]
    return title + (
        "ResNet-20, width 16, one set of weights, every inner layer at 2, 3, 4 or 8 bits. "
        f"`{shipped['command']}`: {training['epochs']} epochs, {training['seconds'] / 3600:.1f} h on {shipped['device']}, seed "
        f"{training['seed']}.\n\n" + _table([("accuracy", shipped)])
    )


def _table(rows: list[tuple[str, dict[str, Any] | None]]) -> str:
    widths = ("8", "4", "3", "2")
    lines = [
        "| | " + " | ".join(f"{bits} bit" for bits in widths) + " | random, mean | spread | worst |",
        "|---|" + "--:|" * (len(widths) + 3),
    ]
    for name, measured in rows:
        if measured is None:
            lines.append(f"| {name} | " + " | ".join([NOT_RUN] * (len(widths) + 3)) + " |")
            continue
        cells = [_percent(measured["uniform"].get(bits)) for bits in widths]
        random = measured["random"] if len(measured["uniform"]) > 1 else {"mean": None, "std": None, "min": None}
        cells += [_percent(random["mean"]), _percent(random["std"]), _percent(random["min"])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"


def _arms_part(measured: dict[str, Any]) -> str:
    done = next((arm for arm in measured.values() if arm is not None), None)
    about = "" if done is None else (
        f"Every arm sees the training images {done['training']['epochs']} times, the first "
        f"{arms()[META].float_stages[0].epochs} of them as one shared float network; a step of an arm that switches widths "
        "trains two assignments, a step of a separate network one, of the last arm three. Random: 50 assignments, each layer's widths drawn evenly, on all test "
        "images.\n\n![Accuracy of every arm](../images/bit_mixer_arms.svg)\n\n"
    )  # fmt: skip
    return "## What each part is worth: ResNet-8, width 16\n\n" + about + _table(list(measured.items()))


def _targets_part(found: dict[str, Any]) -> str:
    lines = ["## Against the targets", "", "| target | measured | held |", "|---|---|---|"]
    lines += [f"| {target} | {text} | {held} |" for target, text, held in _targets(found)]
    return "\n".join(lines)


def _reading(measured: dict[str, Any]) -> str:
    """Say what the arms tell about the targets that are close or missed."""
    meta, ends, own = (measured[name] for name in (META, LOWEST_TOO, "own-bits norm"))
    gaps = [
        f"{100 * (ends['uniform'][str(bits)] - measured[SEPARATE.format(bits)]['uniform'][str(bits)]):+.2f} at {bits} bits"
        for bits in SEPARATE_BITS
    ]
    apart = 100 * (meta["random"]["mean"] - own["random"]["mean"])
    return (
        "Two bits: the meta-network's steps train the highest widths and one other assignment, so that a uniform 2 bits is "
        f"a small part of what they see. The arm *{LOWEST_TOO}* trains it in every step, at half as much work again; against the "
        f"separate networks it is at {', '.join(gaps)}: what two bits gain, the others pay for in part.\n\n"
        "Norms: what a norm must know is its own producer's width; one set for all widths loses most. That transitional sets, "
        f"which also know the consumer's, are {apart:+.2f} points from sets that do not, is within the error of one seed: "
        "at these few epochs each of the sixteen sets sees a sixteenth of the batches."
    )


def _targets(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    measured, shipped = found["arms"], found["shipped"]
    rows = []
    best = None if shipped is None else shipped["uniform"]["8"]
    rows.append(_target("shipped network at 8 bits: 85 % or more", best, None if best is None else best - 0.85))
    meta = measured[META]
    for bits in SEPARATE_BITS:
        alone, allowed = measured[SEPARATE.format(bits)], 0.015 if bits == 2 else 0.01
        gap = None if meta is None or alone is None else meta["uniform"][str(bits)] - alone["uniform"][str(bits)]
        name = f"{bits} bits: at most {100 * allowed:.1f} points below the separate network"
        rows.append(_target(name, gap, None if gap is None else gap + allowed))
    mean = None if meta is None else sum(meta["uniform"].values()) / len(meta["uniform"])
    for name, key, allowed in (("random mean: at most 1", "mean", 0.01), ("worst of 50: at most 3", "min", 0.03)):
        gap = None if meta is None or mean is None else meta["random"][key] - mean
        rows.append(_target(f"{name} points below the mean of the uniform widths", gap, gap and gap + allowed))
    for other in ("switchable norm, whole-network widths only", "one shared norm", "own-bits norm"):
        arm = measured[other]
        gap = None if meta is None or arm is None else meta["random"]["mean"] - arm["random"]["mean"]
        rows.append(_target(f"random mean above that of: {other}", gap, gap))
    for method in ("greedy", "exact"):
        gap = (
            None
            if found["search"] is None
            else _found(found["search"], method) - found["search"]["random"]["accuracy"]["mean"]
        )
        rows.append(_target(f"{method} search above the random mean, at {BUDGET}", gap, gap))
    return rows


def _target(name: str, value: float | None, margin: float | None) -> tuple[str, str, str]:
    if value is None or margin is None:
        return name, NOT_RUN, NOT_RUN
    text = f"{100 * value:+.2f} points" if "above" in name or "below" in name else f"{100 * value:.2f} %"
    return name, text, "yes" if margin >= 0 else f"no, by {-100 * margin:.2f} points"


def _found(search: dict[str, Any], method: str) -> float:
    return float(next(point["accuracy"] for point in search["found"] if point["method"] == method))


def _search_part(search: dict[str, Any] | None) -> str:
    title = f"## Searching under a budget: {BUDGET}\n\n"
    if search is None:
        return title + f"{NOT_RUN}."
    random = search["random"]["accuracy"]
    points = [
        (point["method"], point["cost"], point["accuracy"]) for point in search["found"] if point["method"] != "random"
    ]
    rows = [f"| {name} | {cost:.3f} | {100 * accuracy:.2f} |" for name, cost, accuracy in points]
    rows.append(
        f"| random, mean of {random['count']} | {search['random']['cost']['mean']:.3f} | {100 * random['mean']:.2f} |"
    )
    rows.append(f"| random, best | | {100 * random['max']:.2f} |")
    return title + (
        f"On the meta-network above; losses from {search['search']['images']} training images, accuracy on all test images. "
        f"`{search['command']}`, {search['seconds']:.0f} s.\n\n| method | average bits | accuracy |\n|---|--:|--:|\n"
        + "\n".join(rows)
    )


def _draw(measured: dict[str, Any]) -> None:
    """Draw a row per arm: a dot per uniform width, and the range of the random assignments."""
    from hwsim.report.style import BLUE, FAINT, INK, ORANGE, SKY, VERMILION, save, styled, titled_figure

    colours = {"8": BLUE, "4": SKY, "3": ORANGE, "2": VERMILION}
    done = [(name, arm) for name, arm in measured.items() if arm is not None]
    with styled():
        figure = titled_figure(
            "ResNet-8 on CIFAR-10: what each part of the training is worth",
            "Dots: all layers at one width (bits written above). Grey: 50 random per-layer assignments: mean, spread, worst.",
            height_inches=1.3 + 0.36 * len(done),
        )  # fmt: skip
        axes = figure.add_axes((0.31, 0.55 / (1.3 + 0.36 * len(done)), 0.66, 1 - 1.3 / (1.3 + 0.36 * len(done))))
        for row, (_, arm) in enumerate(done):
            if len(arm["uniform"]) > 1:
                low, mean, spread = (100 * arm["random"][key] for key in ("min", "mean", "std"))
                axes.plot([low, mean], [row, row], color=FAINT, lw=1.5)
                axes.plot(
                    [mean - spread, mean + spread], [row, row], color=FAINT, lw=6, alpha=0.5, solid_capstyle="butt"
                )
                axes.plot([mean, mean], [row - 0.2, row + 0.2], color=INK, lw=1.5)
            for bits, accuracy in arm["uniform"].items():
                if 100 * accuracy < LEFT_END:
                    axes.annotate(f"\N{BLACK LEFT-POINTING TRIANGLE} {bits} bits: {100 * accuracy:.1f}", (LEFT_END, row), (4, 7),
                                  textcoords="offset points", color=colours[bits], fontsize=7.5)  # fmt: skip
                    continue
                axes.plot(100 * accuracy, row, "o", color=colours[bits], ms=6)
                axes.annotate(
                    bits, (100 * accuracy, row), (0, 6), textcoords="offset points", ha="center", fontsize=7.5
                )
        axes.set_xlim(left=LEFT_END)
        axes.set_yticks(range(len(done)), [name for name, _ in done])
        axes.set_ylim(len(done) - 0.4, -0.7)
        axes.set_xlabel("right of 10 000 test images, %")
        axes.grid(axis="x", color=FAINT, alpha=0.2)
        save(figure, FIGURE)


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
