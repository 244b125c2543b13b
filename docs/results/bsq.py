"""Measures what docs/results/bsq.md says, and writes that page and its figures from the numbers.

Usage, with BITMIXER_DATA set (hours on one core; interrupted, it goes on where it was):
    python docs/results/bsq.py measure [--runs FOLDER] [--only KIND]   # trains what is missing; writes bsq.json
                                                                       # (--only columns: that part of it alone)
    python docs/results/bsq.py collect [--runs FOLDER]                 # the same of what is trained already
    python docs/results/bsq.py page                                    # writes bsq.md and the figures from it

The meta-network that is searched is that of bit_mixer.py, in the same folder of runs.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import bsq_columns
import bsq_columns_page
import bsq_hardware_page
from bsq_arms import MIDDLE, Arm, arms, epochs_of, trained
from bsq_hardware import hardware

HERE = Path(__file__).parent
TWIN = HERE / "bsq.json"
PAGE = HERE / "bsq.md"
FIGURE = HERE.parent / "images" / "bsq_trade_off.svg"
META = "resnet8_cifar10"
SEARCH_IMAGES = 2000
METHODS = "greedy,exact"
NOT_RUN = "not run"
SAME_BITS = 0.05
"""Difference in stored bits per weight that counts as none."""
TRAINING_IMAGES = 50_000
KINDS = ("bsq", "scratch", "uniform", "ablation", "csq", "columns")


def collect(runs: Path, *, train: bool, only: str | None = None) -> None:
    """Write the twin; what is not trained is ``None`` unless it is to be trained now."""
    kept = json.loads(TWIN.read_text(encoding="utf-8")).get("columns") if TWIN.is_file() else None
    results: dict[str, Any] = {"machine": _machine(), "arms": {}, "search": None, "hardware": None, "columns": kept}
    for number in range(len(arms(runs))):
        arm = arms(runs)[number]  # anew: a scheme may have been found since
        done = arm.recipe is not None and (runs / arm.recipe.name / "checkpoint.json").is_file()
        wanted = train and arm.recipe is not None and only in (None, arm.kind)
        results["arms"][arm.name] = _measured(arm, runs) if done or wanted else None
        _write(results)
    results["search"] = _searched(results["arms"], runs, run=train and only is None)
    results["hardware"] = hardware(runs, results["arms"])
    _write(results)


def collect_columns(runs: Path, *, train: bool) -> None:
    """Write what is measured of the column Lasso into the twin, arm by arm; all else in it stays."""
    results = json.loads(TWIN.read_text(encoding="utf-8"))
    found = results["columns"] = {"machine": _machine(), "networks": {}}
    for network in bsq_columns.EPOCHS:
        own = found["networks"][network] = dict.fromkeys(bsq_columns.SETTINGS)
        for arm in bsq_columns.arms(network):
            own[arm.name] = bsq_columns.measured(arm, runs, train=train)
            _write(results)


def _write(results: dict[str, Any]) -> None:
    TWIN.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _machine() -> str:
    from hwsim import provenance

    return f"{platform.machine()}, CPU, " + ", ".join(map(" ".join, provenance.versions().items()))


def _measured(arm: Arm, runs: Path) -> dict[str, Any]:
    checkpoint = trained(arm, runs)
    assert arm.recipe is not None
    assert checkpoint.metrics is not None
    graph, training = checkpoint.graph, checkpoint.metrics["training"]
    (accuracy,) = checkpoint.metrics["uniform"].values()
    batches = TRAINING_IMAGES // arm.recipe.batch_size
    weights = {layer.name: layer.weights for layer in graph.layers}
    return {
        "kind": arm.kind, "recipe": arm.recipe.name, "command": f"bitmixer train {arm.recipe.name} (docs/results/bsq_arms.py)",
        "seed": training["seed"], "epochs": training["epochs"], "seconds": training["seconds"],
        "images": epochs_of(arm.recipe) * batches * arm.recipe.batch_size, "accuracy": accuracy,
        "stored_bits_per_weight": graph.stored_weight_bits / sum(weights.values()),
        "inner_stored_bits_per_weight": _inner(graph), "weights": weights,
        "scheme": checkpoint.metrics.get("scheme"),
        "widths": {layer.name: list(layer.allowed[0]) for layer in graph.layers},
    }  # fmt: skip


def _inner(graph: Any) -> float:
    """Return the mean stored bits of all layers but the first and the last, which the meta-network pins."""
    layers = graph.layers[1:-1]
    return float(
        sum(layer.weights * layer.allowed[0].weight for layer in layers) / sum(layer.weights for layer in layers)
    )


def _searched(measured: dict[str, Any], runs: Path, *, run: bool) -> list[dict[str, Any]] | None:
    """Search the meta-network for assignments that store as many bits as each scheme does in the inner layers."""
    if not (runs / META / "checkpoint.json").is_file():
        return None
    found: list[dict[str, Any]] = []
    for name, arm in measured.items():
        if arm is None or arm["kind"] != "bsq":
            continue
        limit = round(arm["inner_stored_bits_per_weight"], 4)
        file = runs / META / f"search-{limit}" / "search.json"
        if file.is_file() or run:
            found += _points(name, limit, file, run=run)
    return found or None


def _points(name: str, limit: float, file: Path, *, run: bool) -> list[dict[str, Any]]:
    from bitmixer.networks.checkpoint import find_checkpoint
    from bitmixer.search.command import SearchRequest, run_search

    if not file.is_file():
        request = SearchRequest(
            checkpoint=find_checkpoint(file.parent.parent), data="cifar10", budget=f"average_weight_bits<={limit}",
            method=METHODS, images=SEARCH_IMAGES, random_assignments=0, seed=1, costs=None, pareto=False,
            folder=file.parent,
        )  # fmt: skip
        run_search(request)
    graph = find_checkpoint(file.parent.parent).graph
    points = []
    for point in json.loads(file.read_text(encoding="utf-8"))["found"]:
        if point["file"] is None:  # a uniform width, which the page has as an arm
            continue
        widths = json.loads((file.parent / point["file"]).read_text(encoding="utf-8"))
        total = sum(layer.weights for layer in graph.layers)
        points.append({
            "budget_of": name, "budget": f"average_weight_bits<={limit}", "method": point["method"],
            "accuracy": point["accuracy"], "widths": widths,
            "stored_bits_per_weight": sum(layer.weights * widths[layer.name][0] for layer in graph.layers) / total,
        })  # fmt: skip
    return points


def page() -> None:
    """Write the page and its figure."""
    found = json.loads(TWIN.read_text(encoding="utf-8"))
    _draw(found)
    bsq_hardware_page.draw(found["hardware"])
    columns = found.get("columns")
    bsq_columns_page.draw(columns)
    parts = [
        _head(found), _arms_part(found), _reading(found), bsq_hardware_page.part(found["hardware"]),
        bsq_columns_page.part(columns),
    ]  # fmt: skip
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _head(found: dict[str, Any]) -> str:
    return (
        "# BSQ, measured\n\n"
        "Written by `bsq.py` from its twin `bsq.json`; nothing is typed by hand. BSQ ([quantizers.md](../quantizers.md)) trains "
        "the bits of all weights under a group Lasso and drops planes that become empty; the strength of the Lasso trades "
        f"bits for accuracy. ResNet-8, width 16, CIFAR-10, 4-bit activations. Machine: {found['machine']}. Data: 50 000 images "
        "to train and 10 000 to test, from a JPEG re-encoding of the original. One seed each: the standard error of an "
        "accuracy is about 0.4 points from the test images alone."
    )


def _arms_part(found: dict[str, Any]) -> str:
    done = [arm for arm in found["arms"].values() if arm is not None]
    images = sorted({arm["images"] for arm in done})
    seen = f"Every arm sees {' or '.join(f'{count:,}' for count in images)} images. " if images else ""
    lines = [
        "## The trade-off and what it is compared with", "",
        seen + "All arms but those from scratch share the first 16 of 26 epochs, a float network. `bits` are bits of magnitude "
        "per weight, as the paper counts; `stored` has the sign, which memory holds. Compression is against 32 bits, of all "
        "weights of convolutions and linear layers. Uniform LSQ and the searched meta-network (that of [bit-mixer.md](bit-mixer.md), "
        "whose steps train two assignments each) keep the first and the last layer at 8 bits. `before` is right "
        "after the last adjustment, `after` with the scheme fixed and the weights trained on.", "",
        "![Accuracy against stored bits per weight](../images/bsq_trade_off.svg)", "",
        "| arm | bits | stored | compression | stored compression | before, % | after, % | minutes |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        *(_row(name, arm) for name, arm in found["arms"].items()),
        *(_search_row(point) for point in found["search"] or []),
    ]  # fmt: skip
    if not found["search"]:
        lines.append("| greedy and exact search on the meta-network |" + f" {NOT_RUN} |" * 7)
    if not found["search"] or None in found["arms"].values():
        lines += ["", (
            "What is not run is run by `python docs/results/bsq.py measure`; the search needs the meta-network, which "
            "`python docs/results/bit_mixer.py measure` trains into the same folder."
        )]  # fmt: skip
    return "\n".join(lines)


def _row(name: str, arm: dict[str, Any] | None) -> str:
    if arm is None:
        return f"| {name} |" + f" {NOT_RUN} |" * 7
    scheme, stored = arm["scheme"], arm["stored_bits_per_weight"]
    own = ("", "", "") if scheme is None else (
        f"{scheme['bits_per_weight']:.2f}", f"{scheme['compression']:.1f}", f"{100 * scheme['accuracy_before_fine_tuning']:.2f}"
    )  # fmt: skip
    cells = [own[0], f"{stored:.2f}", own[1], f"{32 / stored:.1f}", own[2], f"{100 * arm['accuracy']:.2f}"]
    return f"| {name} | " + " | ".join([*cells, f"{arm['seconds'] / 60:.0f}"]) + " |"


def _search_row(point: dict[str, Any]) -> str:
    stored = point["stored_bits_per_weight"]
    name = f"{point['method']} search, bits of {point['budget_of']}"
    return f"| {name} | | {stored:.2f} | | {32 / stored:.1f} | | {100 * point['accuracy']:.2f} | |"


def _reading(found: dict[str, Any]) -> str:
    lines = ["## What was asked", "", "| question | measured | held |", "|---|--:|---|"]
    lines += [f"| {question} | {text} | {held} |" for question, text, held in _answers(found["arms"])]
    lines += ["", (
        "BSQ's public code trains 350 epochs on planes and 300 on the scheme; here planes have 6 and the scheme 4, in which the "
        "Lasso must be many times stronger for planes to go at all. What is lost against uniform LSQ and against training from "
        "scratch belongs to trainings of this length, and says nothing of long ones."
    )]  # fmt: skip
    planes = {name: arm["scheme"]["planes"] for name, arm in found["arms"].items() if arm and arm["scheme"]}
    if planes:
        sites = list(next(iter(planes.values())))
        lines += ["", "Bits of magnitude per layer (0: no weights are left, a shortcut leads around it):", ""]
        lines += ["| layer | " + " | ".join(planes) + " |", "|---|" + "--:|" * len(planes)]
        lines += [f"| {site} | " + " | ".join(str(own[site]) for own in planes.values()) + " |" for site in sites]
    return "\n".join(lines)


def _answers(measured: dict[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    bsq = [(name, arm) for name, arm in measured.items() if name.startswith("BSQ") and "not" not in name]
    bits = [None if arm is None else arm["scheme"]["bits_per_weight"] for _, arm in bsq]
    known = None not in bits
    held = _held(known, known and bits == sorted(bits, reverse=True))
    rows.append(
        ("a stronger Lasso leaves fewer bits", " > ".join(f"{b:.2f}" for b in bits) if known else NOT_RUN, held)
    )
    for name, arm in bsq:
        before = None if arm is None else arm["accuracy"] - arm["scheme"]["accuracy_before_fine_tuning"]
        rows.append(_difference(f"{name}: fine-tuning gains", before))
        scratch = measured[f"scratch, scheme of {name}"]
        gap = None if arm is None or scratch is None else arm["accuracy"] - scratch["accuracy"]
        rows.append(_difference(f"{name}: above the same scheme from scratch", gap))
    plain, own = measured[f"BSQ {MIDDLE:g}, not reweighed"], measured[f"BSQ {MIDDLE:g}"]
    rows += [_above_uniform(name, arm, measured) for name, arm in bsq]
    rows.append(_of_large_layers(own, plain))
    return rows


def _above_uniform(name: str, arm: dict[str, Any] | None, measured: dict[str, Any]) -> tuple[str, str, str]:
    """Compare with the best uniform LSQ that stores no more bits."""
    uniform = [other for key, other in measured.items() if key.startswith("uniform")]
    gap = None
    if arm is not None and None not in uniform:
        stored = arm["stored_bits_per_weight"] + SAME_BITS
        rivals = [other["accuracy"] for other in uniform if other["stored_bits_per_weight"] <= stored]
        gap = arm["accuracy"] - max(rivals) if rivals else None
    return _difference(f"{name}: above the best uniform LSQ of no more stored bits", gap)


def _of_large_layers(own: dict[str, Any] | None, plain: dict[str, Any] | None) -> tuple[str, str, str]:
    """Compare the mean planes of the two largest layers, and of the others, with and without reweighing."""
    question = f"BSQ {MIDDLE:g}: reweighing takes bits from the two largest layers and leaves them to the others"
    if own is None or plain is None:
        return question, NOT_RUN, NOT_RUN
    largest = sorted(own["weights"], key=own["weights"].get, reverse=True)[:2]
    means = []
    for arm in (own, plain):
        planes = arm["scheme"]["planes"]
        others = [bits for site, bits in planes.items() if site not in largest]
        means.append((sum(planes[site] for site in largest) / 2, sum(others) / len(others)))
    (large, small), (plain_large, plain_small) = means
    text = f"{large:.1f} and {small:.1f} planes; without: {plain_large:.1f} and {plain_small:.1f}"
    return question, text, _held(True, large < plain_large and small > plain_small)


def _difference(question: str, gap: float | None) -> tuple[str, str, str]:
    text = NOT_RUN if gap is None else f"{100 * gap:+.2f} points"
    return question, text, _held(gap is not None, gap is not None and gap > 0)


def _held(known: bool, holds: bool) -> str:
    return NOT_RUN if not known else "yes" if holds else "no"


def _draw(found: dict[str, Any]) -> None:
    """Draw accuracy against stored bits: BSQ before and after fine-tuning, and what it is compared with."""
    from hwsim.report.style import BLUE, FAINT, GREEN, INK, ORANGE, SERIES, SKY, VERMILION, save, styled, titled_figure

    series: dict[str, tuple[list[tuple[float, float]], str, str]] = {
        "BSQ before fine-tuning": ([], SKY, "o"), "BSQ": ([], BLUE, "o"), "same scheme from scratch": ([], VERMILION, "s"),
        "uniform LSQ": ([], INK, "D"), "not reweighed": ([], ORANGE, "^"), "CSQ": ([], SERIES[3], "v"), "greedy and exact search": ([], GREEN, "x"),
    }  # fmt: skip
    names = {
        "bsq": "BSQ",
        "scratch": "same scheme from scratch",
        "uniform": "uniform LSQ",
        "ablation": "not reweighed",
        "csq": "CSQ",
    }
    for arm in filter(None, found["arms"].values()):
        series[names[arm["kind"]]][0].append((arm["stored_bits_per_weight"], 100 * arm["accuracy"]))
        if arm["kind"] == "bsq":
            before = 100 * arm["scheme"]["accuracy_before_fine_tuning"]
            series["BSQ before fine-tuning"][0].append((arm["stored_bits_per_weight"], before))
    for point in found["search"] or []:
        series["greedy and exact search"][0].append((point["stored_bits_per_weight"], 100 * point["accuracy"]))
    with styled():
        figure = titled_figure(
            "ResNet-8 on CIFAR-10: bits that training leaves, and what they are worth",
            "Stored bits have the sign. Activations: 4 bits (searched networks: as many as the weights).", height_inches=4.0,
        )  # fmt: skip
        axes = figure.add_axes((0.09, 0.14, 0.87, 0.66))
        for name, (points, colour, marker) in series.items():
            if points:
                line = "-" if name.startswith("BSQ") else ""
                axes.plot(*zip(*sorted(points), strict=True), marker=marker, ls=line, color=colour, label=name, ms=5)
        axes.set_xlabel("stored bits per weight")
        axes.set_ylabel("right of 10 000 test images, %")
        axes.grid(color=FAINT, alpha=0.2)
        if axes.lines:
            axes.legend(loc="lower right", frameon=False, fontsize=8)
        save(figure, FIGURE)


def main() -> None:
    """Run one of the three verbs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("measure", "collect", "page"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--only", choices=KINDS, help="train arms of this kind alone")
    arguments = parser.parse_args()
    if arguments.verb == "page":
        page()
    elif arguments.only == "columns":
        collect_columns(arguments.runs, train=arguments.verb == "measure")
    else:
        collect(arguments.runs, train=arguments.verb == "measure", only=arguments.only)


if __name__ == "__main__":
    main()
