"""The page and the figure on training in eight-bit floats, from its twin."""

from __future__ import annotations

import math
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import fp8_torchao
from fp8_arms import ABLATIONS, EVERYTHING, NEAREST, NO_SCALING, REAL, SEEDS

PAGE = Path(__file__).parent / "fp8.md"
FIGURE = PAGE.parent.parent / "images" / "fp8.svg"
NOT_RUN = "not run"
TARGET_POINTS = 0.4
CURVES = (REAL, NEAREST, EVERYTHING)
FIRST = str(SEEDS[0])

Results = dict[str, Any]


def write(results: Results) -> None:
    """Write the page, and the figure where one of its arms is trained."""
    parts = [
        _head(results), _pair(results), _ablations(results), _errors(results), _norms(results), _low_bit(results),
        _bit_sparsity(results), _linear(results),
    ]  # fmt: skip
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    if any(_of(results, name) for name in CURVES):
        draw(results)


def _of(results: Results, name: str, seed: int | str = FIRST) -> Results | None:
    found: Results | None = results["arms"].get(name, {}).get(str(seed))
    return found


def _head(results: Results) -> str:
    return (
        "# Training in eight-bit floats, measured\n\n"
        "Written by `fp8.py` from its twin `fp8.json`; nothing is typed by hand. "
        f"Command: `{results['command']}`. Machine: {results['machine']}; one thread, beside other work, so that seconds are "
        f"no benchmark (`benchmarks/float8_step.py` is). Method: Mellempudi et al., arXiv 1905.12334 "
        "([recipes.md](../recipes.md#eight-bit-floats)).\n\n"
        f"ResNet-8 (width 16) on CIFAR-10, from a JPEG re-encoding of the original: {results['epochs']} epochs of 50 000 images, "
        "the same images in the same order in every arm of a seed. That is short, chosen for one CPU: accuracies are those of a "
        "quick training, and differences count. Real numbers are multiplied in float32; eight-bit floats, which "
        "bfloat16 holds exactly, in bfloat16 with sums in float32, which leave the product rounded to bfloat16: a handicap for FP8. "
        "10 000 test images, measured with the products that trained the network."
    )


def _pair(results: Results) -> str:
    rows, differences = [], []
    for seed in results["seeds"]:
        real, narrow = _of(results, REAL, seed), _of(results, EVERYTHING, seed)
        if real and narrow:
            differences.append(100 * (narrow["accuracy"] - real["accuracy"]))
        shown = f"{differences[-1]:+.2f}" if real and narrow else NOT_RUN
        rows.append(f"| {seed} | {_percent(real)} | {_percent(narrow)} | {shown} |")
    table = "| seed | float32, % | FP8 with everything, % | difference, points |\n|--:|--:|--:|--:|\n" + "\n".join(rows)
    return f"## The pair\n\n{table}\n\n{_verdict(differences, len(results['seeds']))}"


def _verdict(differences: list[float], seeds: int) -> str:
    if not differences:
        return f"Target: at most {TARGET_POINTS} points below float32: {NOT_RUN}."
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    verdict = "held" if mean >= -TARGET_POINTS else f"missed by {-TARGET_POINTS - mean:.2f} points"
    return (
        f"Mean difference over {len(differences)} of {seeds} seeds: {mean:+.2f} points, standard error {error:.2f}. "
        f"Target: at most {TARGET_POINTS} points below float32: {verdict}."
    )


def _ablations(results: Results) -> str:
    base = _of(results, EVERYTHING)
    rows = []
    for name in (REAL, EVERYTHING, *ABLATIONS):
        arm = _of(results, name)
        if arm is None:
            rows.append(f"| {name} | {NOT_RUN} | | | | | |")
            continue
        last = arm["history"][-1]
        gap = f"{100 * (arm['accuracy'] - base['accuracy']):+.2f}" if base else NOT_RUN
        rows.append(
            f"| {name} | {_percent(arm)} | {gap} | {last['loss']:.3f} | {_share(_lost(last))} | "
            f"{_number(last.get('loss_scale'))} | {_number(last.get('skipped_steps'))} |"
        )
    plain = _of(results, "plain dynamic")
    same = (
        " Enhanced scaling differs from plain dynamic scaling only once gradients overflow; here they did not, so both are the same "
        "training."
        if base and plain and base["history"][-1]["loss"] == plain["history"][-1]["loss"]
        else ""
    )
    return (
        f"## What each part is worth (seed {FIRST})\n\n"
        "Every arm changes one thing in FP8 with everything. One seed: two trainings of different seeds lie about as far apart "
        "as the column above shows. Constant 1 is the arm without scaling."
        f"{same}\n\n"
        "| arm | accuracy, % | against everything, points | training loss | errors lost, mean of layers | last loss scale | steps skipped |\n"
        "|---|--:|--:|--:|--:|--:|--:|\n" + "\n".join(rows)
    )


def _errors(results: Results) -> str:
    arms = {name: arm for name in (NO_SCALING, EVERYTHING) if (arm := _of(results, name))}
    title = "## Errors lost to underflow, layer by layer\n\n"
    if not arms:
        return title + f"{NOT_RUN}."
    lost = {name: arm["history"][-1]["lost_errors"] for name, arm in arms.items()}
    layers = next(iter(lost.values()))
    rows = [f"| {layer} | " + " | ".join(_share(found[layer]) for found in lost.values()) + " |" for layer in layers]
    return (
        f"{title}Share of the non-zero elements of a layer's errors that are zero in E5M2, in the last step of the last epoch.\n\n"
        f"| layer | {' | '.join(lost)} |\n|---|{'--:|' * len(lost)}\n" + "\n".join(rows)
    )


def _norms(results: Results) -> str:
    arms = {name: arm for name in CURVES if (arm := _of(results, name))}
    title = "## Growth of the weights\n\n"
    if not arms:
        return title + f"{NOT_RUN}."
    rows = [
        f"| {epoch + 1} | "
        + " | ".join(f"{arm['history'][epoch]['half_squared_norm']:.1f}" for arm in arms.values())
        + " |"
        for epoch in range(results["epochs"])
    ]
    missing = [name for name in CURVES if name not in arms]
    return (
        f"{title}Half of the sum of all squared weights after each epoch (the L2 penalty before its factor)"
        f"{'; ' + ', '.join(missing) + ': ' + NOT_RUN if missing else ''}.\n\n| epoch | {' | '.join(arms)} |\n"
        f"|--:|{'--:|' * len(arms)}\n"
        + "\n".join(rows)
        + f"\n\n![Errors lost and growth of weights](../images/{FIGURE.name})"
    )


def _low_bit(results: Results) -> str:
    names = list(results["low_bit"])
    bits = ("8", "4", "2")
    rows = []
    for name in names:
        done = [arm for arm in results["low_bit"][name].values() if arm]
        if not done:
            rows.append(f"| {name} | {NOT_RUN} | | | |")
            continue
        uniform = [f"{100 * statistics.mean(arm['uniform'][width] for arm in done):.2f}" for width in bits]
        mixed = 100 * statistics.mean(arm["random"]["mean"] for arm in done)
        rows.append(f"| {name} ({len(done)} seeds) | {' | '.join(uniform)} | {mixed:.2f} |")
    return (
        "## Few bits forward, eight-bit floats backward\n\n"
        "The three stages of run-time bits (`recipes/resnet8_digits.yaml`, 80 epochs on the 8x8 digits; 359 test images, of which one is "
        "0.28 points): the forward product multiplies codes of 2, 4 or 8 bits, both backward products read eight-bit floats. "
        "Mean accuracy over seeds, %.\n\n"
        f"| training | {' | '.join(f'uniform {width}' for width in bits)} | random per layer |\n|---|--:|--:|--:|--:|\n"
        + "\n".join(rows)
    )


def _bit_sparsity(results: Results) -> str:
    rows = []
    for name, found in results["bit_sparsity"].items():
        done = [arm for arm in found.values() if arm]
        accuracies = [100 * accuracy for arm in done for accuracy in arm["uniform"].values()]
        planes = [arm["scheme"]["bits_per_weight"] for arm in done]
        rows.append(
            f"| {name} | {len(done)} | {_mean_and_error(accuracies)} | {_mean_and_error(planes)} |"
            if done
            else f"| {name} | 0 | {NOT_RUN} | |"
        )
    return (
        "## BSQ in eight-bit floats\n\n"
        "BSQ ([bsq.md](bsq.md)) looks for the planes of bits that every layer needs: ResNet-8 (width 8) on the 8x8 digits, 70 epochs, "
        "strength 0.1, activations of 4 bits. Mean over seeds and standard error.\n\n"
        "| training | seeds | accuracy, % | bits found per weight |\n|---|--:|--:|--:|\n" + "\n".join(rows)
    )


def _linear(results: Results) -> str:
    linear = results["linear"]
    real = linear["arms"].get(REAL, {})
    rows, versions = [], set()
    for name in fp8_torchao.ARMS:
        own = linear["arms"].get(name, {})
        versions |= {arm["torchao"] for arm in own.values()}
        if not own:
            rows.append(f"| {name} | 0 | {NOT_RUN} | |")
            continue
        gaps = [100 * (arm["accuracy"] - real[seed]["accuracy"]) for seed, arm in own.items() if seed in real]
        accuracies = [100 * arm["accuracy"] for arm in own.values()]
        difference = "" if name == REAL else _mean_and_error(gaps)
        rows.append(f"| {name} | {len(own)} | {_mean_and_error(accuracies)} | {difference} |")
    return (
        "## Beside torchao's recipes\n\n"
        f"Five linear layers of {fp8_torchao.HIDDEN} on {linear['data']} (1500 test images), {linear['epochs']} epochs, as torchao "
        f"{', '.join(sorted(versions))} multiplies linear layers alone. It scales each tensor or row to the range of E4M3 and keeps "
        "float32 weights; ours scales the loss and keeps float16 weights unless the row says otherwise. First and last layer multiply "
        "real numbers in all. Mean over seeds and standard error; differences are paired by seed.\n\n"
        "| training | seeds | accuracy, % | less float32, points |\n|---|--:|--:|--:|\n" + "\n".join(rows)
    )


def _mean_and_error(values: list[float]) -> str:
    if len(values) < 2:
        return f"{statistics.mean(values):.2f}"
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values) / math.sqrt(len(values)):.2f}"


def draw(results: Results) -> None:
    """Draw the errors lost per layer, and the growth of the weights."""
    from hwsim.report.style import BLUE, FAINT, ORANGE, VERMILION, Label, label_right, save, styled, titled_figure

    colours = {REAL: FAINT, NEAREST: VERMILION, EVERYTHING: BLUE, NO_SCALING: ORANGE}
    with styled():
        figure = titled_figure(
            "ResNet-8 on CIFAR-10 in eight-bit floats",
            "Left: share of each layer's errors that rounding makes zero, last step. Right: half of the sum of squared weights.",
            height_inches=3.9,
        )  # fmt: skip
        left, right = figure.add_axes((0.16, 0.14, 0.3, 0.62)), figure.add_axes((0.57, 0.14, 0.25, 0.62))
        for offset, name in ((-0.2, NO_SCALING), (0.2, EVERYTHING)):
            arm = _of(results, name)
            if arm is None:
                continue
            lost = arm["history"][-1]["lost_errors"]
            places = [place + offset for place in range(len(lost))]
            left.barh(places, [100 * share for share in lost.values()], height=0.38, color=colours[name], label=name)
            left.set_yticks(range(len(lost)), list(lost), fontsize=7.5)
        left.set_ylim(left.get_ylim()[::-1])
        left.locator_params(axis="x", nbins=4)
        left.set_xlabel("errors lost, %")
        if left.patches:
            left.legend(frameon=False, fontsize=7.5, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
        labels = []
        for name in CURVES:
            arm = _of(results, name)
            if arm is not None:
                norms = [row["half_squared_norm"] for row in arm["history"]]
                right.plot(range(1, len(norms) + 1), norms, color=colours[name], lw=1.8, marker="o", ms=3)
                labels.append(Label(norms[-1], name, colours[name]))
        label_right(right, labels)
        right.set_xticks(range(1, results["epochs"] + 1))
        right.set_xlabel("epoch")
        save(figure, FIGURE)


def _percent(arm: Results | None) -> str:
    return NOT_RUN if arm is None else f"{100 * arm['accuracy']:.2f}"


def _lost(row: Results) -> float | None:
    lost = row.get("lost_errors")
    return statistics.mean(lost.values()) if lost else None


def _share(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2g} %"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
