"""What docs/results/sgquant.py measures beside its targets: granularities, alternative quantisers, quantised weights."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path
from typing import Any

from sgquant_procedure import CHOICE_SEEDS, interval, saving_of
from sgquant_runs import PAIRS, Arm, at_few_bits, float_network, input_and_rest, losses, stated, topology_of, write

Bits = tuple[tuple[str, int], ...]
"""(Pattern of names, width)."""
GRANULARITIES = ("uniform", "component", "layer", "topology", "combined")
BUDGET = 16.0
MOST_LISTED = 10_000
"""Assignments that are listed, or drawn evenly where there are more."""
OPTIONS = 40
"""Assignments of one granularity that are looked at; more are drawn from, evenly."""
NOT_RUN = "not run"
ABOUT_GRANULARITY = (
    f"At most 1/{BUDGET:.0f} of float32's memory, dense; ranges per class by `least_error`; rounded, not tuned. Of up to "
    f"{OPTIONS} assignments of each granularity that fit, the one is taken that changes the fewest of the float network's answers on nodes "
    f"outside of the test mask, over {len(CHOICE_SEEDS)} seeds that do not judge. All choose among those of `uniform`, too, `combined` among all."
)
ABOUT_RIVALS = (
    "Input of one bit by `node_scale`, all else of two bits, tuned by classes for 60 epochs from the same float networks; A2Q "
    "learns its widths, within two bits per value, for 120 epochs. Points of test accuracy lost."
)
ABOUT_WEIGHTS = (
    "Weights and messages, which SGQuant leaves real, have the bits of all else, so that combinations multiply whole numbers; the input "
    "has one bit by `node_scale`, weights a step of their width alone. Points of test accuracy lost. Weights are not counted as memory."
)


def granular_arm(granularity: str, bits: Bits) -> Arm:
    """Return the arm of an assignment that a granularity allows."""
    return Arm(bits=bits, label=f"{granularity}: " + ", ".join(f"{pattern} {width}" for pattern, width in bits))


def rivals() -> list[Arm]:
    """Return quantisers that are compared at the same bits."""
    two = input_and_rest(1, 2)
    tuned = [Arm(**two, input_rule="node_scale", rule=rule, tuning="tuned") for rule in ("least_error", "degree_quant")]
    learned = Arm(
        bits=two["bits"], label="input 1, all else 2 on average", input_rule="node_scale", rule="a2q",
        tuning="learned", mean_bits=2.0,
    )  # fmt: skip
    return [*tuned, learned]


def weighted() -> list[Arm]:
    """Return arms whose weights and messages are quantised."""
    return [
        Arm(
            bits=(("input", 1), ("*", bits)), label=f"all of {bits} bits but the input of 1",
            input_rule="node_scale", tuning=tuning, rest=bits,
        )
        for bits in (8, 4)
        for tuning in ("rounded", "distilled")
    ]  # fmt: skip


def choose_assignments(found: dict[str, Any], runs: Path) -> None:
    """Take, for every pair and granularity, the assignment within the budget that changes the fewest answers."""
    for name, data in PAIRS:
        if f"{name} {data}" not in found["granularity"]:
            found["granularity"][f"{name} {data}"] = _assignments(name, data, runs)
            write(found)


def _assignments(name: str, data: str, runs: Path) -> dict[str, Any]:
    topology = topology_of(data)
    networks = {seed: float_network(name, topology, seed, runs / f"{name}_{data}_{seed}.pt") for seed in CHOICE_SEEDS}
    taken: dict[str, Any] = {}
    measured: dict[str, list[tuple[float, Bits, float]]] = {}
    for granularity in GRANULARITIES:
        options = _options(networks[CHOICE_SEEDS[0]], topology, granularity)
        measured[granularity] = [(_changed(name, networks, topology, bits), bits, saving) for bits, saving in options]
        contained = measured if granularity == "combined" else dict.fromkeys(("uniform", granularity))
        changed, bits, saving = min((row for each in contained for row in measured[each]), key=lambda row: row[0])
        taken[granularity] = {
            "options": len(options), "changed": round(changed, 5), "saving": round(saving, 3),
            "bits": [f"{pattern} {width}" for pattern, width in bits],
        }  # fmt: skip
    return taken


def _options(network: Any, topology: Any, granularity: str) -> list[tuple[Bits, float]]:
    """Return assignments within the budget, as patterns and widths, and what they save."""
    import numpy as np

    from bitmixer.graphs.selection import BitProblem

    problem = BitProblem.of(network, topology, granularity=granularity)
    if len(problem.widths) ** len(problem.choices) <= MOST_LISTED:
        every = np.array(list(itertools.product(problem.widths, repeat=len(problem.choices))))
    else:
        every = problem.drawn(np.random.default_rng(0), MOST_LISTED)
    fitting = every[problem.savings(every) >= BUDGET]
    if len(fitting) > OPTIONS:
        fitting = fitting[np.random.default_rng(1).choice(len(fitting), OPTIONS, replace=False)]
    form = {"uniform": "*", "component": "*.{}/*", "layer": "{}.*", "topology": "*/{}", "combined": "{}"}[granularity]
    patterns = [form.format(choice.name) for choice in problem.choices]
    return [
        (tuple(zip(patterns, bits, strict=True)), saving)
        for bits, saving in zip(fitting.tolist(), problem.savings(fitting).tolist(), strict=True)
    ]


def _changed(name: str, networks: dict[int, Any], topology: Any, bits: Bits) -> float:
    from bitmixer.graphs.training import logits

    shares = []
    for seed, network in networks.items():
        rounded = at_few_bits(name, network, Arm(bits=bits, label=""), topology, seed)
        differs = logits(rounded, topology).argmax(dim=1) != logits(network, topology).argmax(dim=1)
        shares.append(float(differs[~topology.graph.test_mask].double().mean()))
    return statistics.mean(shares)


def granular_arms(found: dict[str, Any], name: str, data: str) -> dict[str, Arm]:
    """Return the arm that was taken for every granularity."""
    taken = found["granularity"].get(f"{name} {data}", {})
    return {
        each: granular_arm(each, tuple((text.rsplit(" ", 1)[0], int(text.rsplit(" ", 1)[1])) for text in row["bits"]))
        for each, row in taken.items()
    }


def granularity_part(found: dict[str, Any]) -> str:
    """Return the part of the page on granularities."""
    lines = [
        "## Granularity, at equal memory",
        "",
        ABOUT_GRANULARITY,
        "",
        "| network, graph | granularity | assignments | memory, dense | memory, sparse | answers changed, % | seeds | loss, points |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, data in PAIRS:
        pair, arms = found["pairs"].get(f"{name} {data}", {}), granular_arms(found, name, data)
        for granularity in GRANULARITIES:
            arm = arms.get(granularity)
            lost = losses(pair, arm.name) if arm else []
            if arm is None or len(lost) < 2:
                lines.append(f"| {name}, {data} | {granularity} | {NOT_RUN} | | | | | |")
                continue
            row = found["granularity"][f"{name} {data}"][granularity]
            dense, sparse = (saving_of(pair, arm.name, form) for form in ("dense_bits", "sparse_bits"))
            lines.append(
                f"| {name}, {data} | {granularity} | {row['options']} | {dense:.1f}x | {sparse:.1f}x | "
                f"{100 * row['changed']:.2f} | {len(lost)} | {stated(interval(lost))} |"
            )
    return "\n".join(lines)


def rivals_part(found: dict[str, Any]) -> str:
    """Return the part of the page on alternative quantisers."""
    head = "## Degree-Quant and A2Q"
    return "\n".join([head, "", ABOUT_RIVALS, "", *_table(found, {arm.rule: arm for arm in rivals()})])


def weights_part(found: dict[str, Any]) -> str:
    """Return the part of the page on quantised weights."""
    arms = {f"{arm.rest} bits, {arm.tuning}": arm for arm in weighted()}
    return "\n".join(["## Weights quantised, too", "", ABOUT_WEIGHTS, "", *_table(found, arms)])


def _table(found: dict[str, Any], arms: dict[str, Arm]) -> list[str]:
    lines = [
        "| network, graph | arm | seeds | memory, dense | memory, sparse | loss, points |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for name, data in PAIRS:
        pair = found["pairs"].get(f"{name} {data}", {"arms": {}})
        for label, arm in arms.items():
            lost = losses(pair, arm.name)
            if len(lost) < 2:
                lines.append(f"| {name}, {data} | {label} | {len(lost)} | | | {NOT_RUN} |")
                continue
            dense, sparse = (saving_of(pair, arm.name, form) for form in ("dense_bits", "sparse_bits"))
            lines.append(
                f"| {name}, {data} | {label} | {len(lost)} | {dense:.1f}x | {sparse:.1f}x | {stated(interval(lost))} |"
            )
    return lines
