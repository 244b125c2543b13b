"""Writes docs/results/sgquant.md from its twin."""

from __future__ import annotations

import statistics
from typing import Any

import sgquant_choices
import sgquant_figure
from sgquant_evidence import NOT_RUN, granularity_part, rivals_part, weights_part
from sgquant_procedure import CHOICE_SEEDS, SCHEDULES, TARGETS, changed_of, interval, saving_of, targets_of
from sgquant_runs import HERE, PAIRS, RULES, UNIFORM, judging, losses, points, read, stated, uniform

PAGE = HERE / "sgquant.md"
FLOAT_PAIRS = [*PAIRS, ("graphsage", "cora"), ("graphsage", "citeseer")]
PUBLISHED = {
    ("gcn", "cora"): 0.815, ("gcn", "citeseer"): 0.703, ("gat", "cora"): 0.830, ("gat", "citeseer"): 0.725
}  # fmt: skip
"""Float accuracies in the networks' own papers: Kipf and Welling, table 2; Veličković et al., table 2."""
ABOUT_MEMORY = (
    "Memory is that of features and coefficients against float32: with every value of the input stored, as in SGQuant's "
    "account (dense), and with the input in the smaller of two forms on *both* sides, all values or compressed rows of "
    "those that are not zero (sparse). Coefficients of GCN could be computed from the degrees instead; weights and the "
    "list of edges are not counted. A scale per node is counted as 16 bits."
)
ABOUT_CHOICE = (
    f"`sgquant_procedure.py` says it in full. Every candidate ran with {len(CHOICE_SEEDS)} seeds "
    f"({CHOICE_SEEDS[0]} to {CHOICE_SEEDS[-1]}) of which validation nodes alone were looked at; the twin does not even "
    "hold what those networks answer for test nodes. *Safest*: of the candidates that save as much as the target asks, "
    "the one that changes the fewest of the float network's answers on nodes outside of the test mask; a loss on those nodes cannot be greater than "
    "that share. *Boldest*: of those whose loss on validation nodes is within the target's with 95 % confidence over "
    "seeds, the one that saves most; 500 nodes are too few for such a promise, and the tables below show what it is worth. "
    "(The first rule was the least loss on validation nodes; it took what had gained there by chance, and was replaced before "
    "any candidate met a test node.) An arm reads: bits; quantiser of the input, then of all else; rounded, "
    "tuned for 60 epochs by classes, or distilled for 60 epochs from the float network."
)
ABOUT_TARGETS = (
    "Test nodes, seeds 0 to 19, which chose nothing; points lost against the float network of the same seed, with the "
    "95 % interval of the mean. *Held*: in the mean; *surely*: the whole interval is within the target."
)

ABOUT_FIGURE = (
    "The green area is the target, for GCN on Cora the sterner one; grey: one width for all by `least_error`, rounded. "
    "What loses more than four points lies at the upper edge."
)
ABOUT_SPLITS = (
    "What was chosen on Planetoid's own split, with nodes drawn anew for every seed: 20 of each class to train by, 500 "
    "to choose epochs by, 1000 to judge by."
)


def page() -> None:
    """Write the page."""
    found = read()
    sgquant_figure.draw(found)
    parts = [_head(found), _float_part(found), _choice_part(found), _targets_part(found), _splits_part(found)]
    parts += [
        _ladder_part(found),
        granularity_part(found),
        rivals_part(found),
        weights_part(found),
        sgquant_choices.part(),
    ]
    PAGE.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _head(found: dict[str, Any]) -> str:
    groups = [*found["pairs"].values(), *found["splits"].values()]
    rows = [row for pair in groups for arm in (pair["float"], *pair["arms"].values()) for row in arm.values()]
    return (
        "# Graph networks of few bits, measured\n\n"
        "Written by `sgquant.py` from its twin `sgquant.json`; nothing is typed by hand. "
        f"Command: `{found['command']}`. Machine: {found['machine']}. "
        f"{len(rows)} networks took {sum(row['seconds'] for row in rows):.0f} seconds of it. "
        "A seed draws the first weights and dropout. Differences are between networks of the same seed. "
        "Ranges are measured without test nodes, epochs chosen by validation nodes; widths, rules, tuning and GAT's schedule by the "
        "procedure below. One thing it cannot undo: that a network's bag of words fits one bit with a scale per node follows "
        "from what a bag of words is, but it was noticed on these two graphs. So the page also has fresh random splits."
    )


def _float_part(found: dict[str, Any]) -> str:
    lines = [
        "## Float accuracy",
        "",
        "| network, graph | seeds | test accuracy (sd) | published | within a point |",
        "|---|--:|--:|--:|---|",
    ]
    for name, data in FLOAT_PAIRS:
        accuracies = float_accuracies(found, name, data)
        published = PUBLISHED.get((name, data))
        source = "" if published is None else f"{100 * published:.1f}"
        if len(accuracies) < 2:
            lines.append(f"| {name}, {data} | {len(accuracies)} | {NOT_RUN} | {source} | {NOT_RUN} |")
            continue
        mean, spread = statistics.mean(accuracies), statistics.stdev(accuracies)
        held = "" if published is None else _within_a_point(mean - published)
        lines.append(
            f"| {name}, {data} | {len(accuracies)} | {100 * mean:.2f} ({100 * spread:.2f}) | {source} | {held} |"
        )
    return "\n".join([*lines, "", _schedules(found)])


def _within_a_point(difference: float) -> str:
    return f"{'yes' if abs(difference) <= 0.01 else 'above' if difference > 0 else 'no'}: {points(difference)}"


def float_accuracies(found: dict[str, Any], name: str, data: str) -> list[float]:
    """Return test accuracies of float networks, a seed each."""
    rows = judging(found["pairs"].get(f"{name} {data}", {}).get("float", {}))
    return [row["test"] for row in rows.values()]


def _schedules(found: dict[str, Any]) -> str:
    means = {
        name: statistics.mean(value for by_seed in rows.values() for value in by_seed.values())
        for name, rows in found["schedules"].items()
    }
    if not means:
        return f"GAT's schedule: {NOT_RUN}."
    from bitmixer.graphs.networks.gat import GAT

    used = GAT.schedule
    stated = ", ".join(f"{name} ({SCHEDULES[name]}) {100 * mean:.2f}" for name, mean in means.items())
    return (
        f"GAT's schedule was chosen by validation nodes of both graphs, two seeds; rate, penalty, epochs: {stated}. "
        f"The network has {used.learning_rate:g} {used.weight_decay:g} {used.epochs}."
    )


def _choice_part(found: dict[str, Any]) -> str:
    lines = [
        "## What was chosen, without test nodes",
        "",
        ABOUT_CHOICE,
        "",
        "| network, graph: target | rule | arm | memory, dense | answers changed, % | loss on validation nodes, points |",
        "|---|---|---|--:|--:|--:|",
    ]
    for name, data, target, rule, arm in _chosen(found):
        if arm is None:
            lines.append(f"| {name}, {data}: {target} | {rule} | {'none' if rule else NOT_RUN} | | | |")
            continue
        pair = found["pairs"][f"{name} {data}"]
        rows = {seed: row for seed, row in pair["arms"][arm].items() if int(seed) in CHOICE_SEEDS}
        lost = interval([pair["float"][seed]["validation"] - row["validation"] for seed, row in rows.items()])
        saved, changed = saving_of(pair, arm), 100 * changed_of(pair, arm)
        lines.append(f"| {name}, {data}: {target} | {rule} | {arm} | {saved:.1f}x | {changed:.2f} | {stated(lost)} |")
    return "\n".join(lines)


def _targets_part(found: dict[str, Any]) -> str:
    lines = [
        "## Against the targets",
        "",
        ABOUT_TARGETS,
        "",
        ABOUT_MEMORY,
        "",
        "| network, graph: target | rule | seeds | memory, dense | memory, sparse | loss, points | held |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for name, data, target, rule, arm in _chosen(found):
        if arm is not None:
            pair = found["pairs"][f"{name} {data}"]
            lines.append(f"| {name}, {data}: {target} | {rule} | {_judged(pair, arm, *TARGETS[target])} |")
        elif not rule:
            lines.append(f"| {name}, {data}: {target} | | 0 | | | {NOT_RUN} | {NOT_RUN} |")
    return "\n".join(
        [*lines, "", f"![Accuracy lost over memory saved](../images/{sgquant_figure.FIGURE.name})", "", ABOUT_FIGURE]
    )


def _splits_part(found: dict[str, Any]) -> str:
    lines = [
        "## The same on fresh splits",
        "",
        ABOUT_SPLITS,
        "",
        "| network, graph: target | rule | seeds | memory, dense | memory, sparse | loss, points | held |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for name, data, target, rule, arm in _chosen(found):
        pair = found["splits"].get(f"{name} {data}", {"arms": {}})
        if arm in pair["arms"]:
            lines.append(f"| {name}, {data}: {target} | {rule} | {_judged(pair, arm, *TARGETS[target])} |")
        elif arm is not None:
            lines.append(f"| {name}, {data}: {target} | {rule} | 0 | | | {NOT_RUN} | {NOT_RUN} |")
    return "\n".join(lines)


def _judged(pair: dict[str, Any], arm: str, least_saving: float, greatest_loss: float) -> str:
    lost = losses(pair, arm)
    if len(lost) < 2:
        return f"{len(lost)} | | | {NOT_RUN} | {NOT_RUN}"
    mean, half = interval(lost)
    saved = saving_of(pair, arm)
    held = "no" if mean > greatest_loss or saved < least_saving else "surely" if mean + half <= greatest_loss else "yes"
    dense, sparse = f"{saved:.1f}x", f"{saving_of(pair, arm, 'sparse_bits'):.1f}x"
    return f"{len(lost)} | {dense} | {sparse} | {stated((mean, half))} | {held}"


def _ladder_part(found: dict[str, Any]) -> str:
    lines = [
        "## One width for all, without tuning",
        "",
        "Points of test accuracy lost, by each rule for ranges.",
        "",
        f"| network, graph | bits | seeds | memory, dense | memory, sparse | {' | '.join(f'`{rule}`' for rule in RULES)} |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, data in PAIRS:
        pair = found["pairs"].get(f"{name} {data}", {"arms": {}})
        for bits in UNIFORM:
            arms = [uniform(bits, rule).name for rule in RULES]
            if any(len(judging(pair["arms"].get(arm, {}))) < 2 for arm in arms):
                lines.append(f"| {name}, {data} | {bits} | {NOT_RUN} | | | | | |")
                continue
            dense, sparse = (saving_of(pair, arms[0], form) for form in ("dense_bits", "sparse_bits"))
            cells = " | ".join(stated(interval(losses(pair, arm))) for arm in arms)
            seeds = len(losses(pair, arms[0]))
            lines.append(f"| {name}, {data} | {bits} | {seeds} | {dense:.1f}x | {sparse:.1f}x | {cells} |")
    return "\n".join(lines)


def _chosen(found: dict[str, Any]) -> list[tuple[str, str, str, str, str | None]]:
    """Return (network, graph, target, rule, arm) of every choice; no rule where none was made."""
    rows: list[tuple[str, str, str, str, str | None]] = []
    for name, data in PAIRS:
        for target in targets_of(name, data):
            taken = found["chosen"].get(f"{name} {data}", {}).get(target)
            rows += [(name, data, target, rule, arm) for rule, arm in taken.items()] if taken else [
                (name, data, target, "", None)
            ]  # fmt: skip
    return rows
