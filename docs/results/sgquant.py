"""Measures what docs/results/sgquant.md says of graph networks of few bits, and writes that page from the figures.

Usage, with BITMIXER_DATA set (20 minutes on one core; interrupted, it goes on where it was):
    python docs/results/sgquant.py measure [--seeds 20]   # runs what is missing; writes sgquant.json after every seed
    python docs/results/sgquant.py page                   # writes sgquant.md from it
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import sgquant_choices

HERE = Path(__file__).parent
TWIN = HERE / "sgquant.json"
PAGE = HERE / "sgquant.md"
PAIRS = [(network, data) for network in ("gcn", "agnn", "gat") for data in ("cora", "citeseer")]
UNIFORM = (8, 4, 2, 1)
RULES = ("extremes", "mean_extremes", "least_error")
LAYERWISE = "input 1, all else 4"
NODEWISE = "input 1 with a range per node, all else 8"
TUNED = (LAYERWISE, NODEWISE)
PUBLISHED = {
    ("gcn", "cora"): 0.815, ("gcn", "citeseer"): 0.703, ("gat", "cora"): 0.830, ("gat", "citeseer"): 0.725
}  # fmt: skip
"""Float accuracies in the networks' own papers: Kipf and Welling, table 2; Veličković et al., table 2."""
SAVING, LOSS = 16.0, 0.004
CORA_SAVING, CORA_LOSS = 30.0, 0.005
NOT_RUN = "not run"
ABOUT = (
    "Points of test accuracy against the float network of the same seed. Memory is that of features and coefficients "
    "against float32: with every value of the input stored, as in SGQuant's account, and with the input in the smaller "
    "of two forms on *both* sides, all values or compressed rows of those that are not zero. Coefficients of GCN could be "
    "computed from the degrees instead; weights and the list of edges are not counted. Rounded: without fine-tuning, by each rule for ranges. "
    "Fine-tuned: for 60 epochs, by `least_error`. Ranges per node are counted as 64 bits each."
)
BLOCK = 5
"""Seeds of one pair in a row, before the next pair's turn."""


def measure(seeds: int) -> None:
    """Run every pair with every seed that the twin does not have."""
    found = json.loads(TWIN.read_text(encoding="utf-8")) if TWIN.is_file() else {"pairs": {}}
    found |= {"machine": _machine(), "command": "python docs/results/sgquant.py measure"}
    for first in range(0, seeds, BLOCK):
        for network, data in PAIRS:
            pair = found["pairs"].setdefault(f"{network} {data}", {"storage": {}, "runs": {}})
            for seed in range(first, min(first + BLOCK, seeds)):
                if NODEWISE not in pair["runs"].get(str(seed), {"tuned": ()})["tuned"]:
                    storages, pair["runs"][str(seed)] = _run(network, data, seed)
                    pair["storage"] = storages
                    TWIN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _machine() -> str:
    from hwsim import provenance

    return f"{platform.machine()}, CPU, one thread, " + ", ".join(map(" ".join, provenance.versions().items()))


def _run(name: str, data: str, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the memory of every arm, and the accuracies of one seed: float, without and with fine-tuning."""
    import dataclasses

    import torch

    from bitmixer.data.planetoid import load_planetoid
    from bitmixer.graphs.memory import real_storage, storage
    from bitmixer.graphs.network import GraphNetworkForm
    from bitmixer.graphs.networks import create_graph_network
    from bitmixer.graphs.sites import choices, chosen
    from bitmixer.graphs.topology import Topology
    from bitmixer.graphs.training import fine_tune, judge, train

    torch.set_num_threads(1)
    began = time.process_time()
    graph = load_planetoid(data).row_normalized()
    topology = Topology(graph)
    torch.manual_seed(seed)
    network = create_graph_network(name, GraphNetworkForm(features=graph.features, classes=graph.classes))
    train(network, topology, network.schedule, seed=seed)
    row: dict[str, Any] = {"float": dataclasses.asdict(judge(network, topology)), "rounded": {}, "tuned": {}}
    combined = choices(network.sites, "combined")
    storages = {"float": _sizes(real_storage(network, topology))}
    for arm, bits in _arms(combined).items():
        assignment = chosen(network.sites, list(zip(combined, bits, strict=True)))
        storages[arm] = _sizes(storage(network, topology, assignment))
        for rule in RULES:
            other = create_graph_network(name, dataclasses.replace(network.form, quantizer=rule))
            other.load_state_dict(network.state_dict())
            other.calibrate(topology, [assignment])
            other.assign(assignment)
            row["rounded"].setdefault(rule, {})[arm] = dataclasses.asdict(judge(other, topology))
        if arm == LAYERWISE:  # by the last rule
            fine_tune(other, topology, assignment, seed=seed)
            row["tuned"][arm] = dataclasses.asdict(judge(other, topology))
    by_node = create_graph_network(name, dataclasses.replace(network.form, input_quantizer="node_extremes"))
    by_node.load_state_dict(network.state_dict(), strict=False)  # ranges of nodes are not kept
    assignment = chosen(network.sites, list(zip(combined, _input_and_rest(combined, 1, 8), strict=True)))
    storages[NODEWISE] = _sizes(storage(by_node, topology, assignment))
    by_node.calibrate(topology, [assignment])
    by_node.assign(assignment)
    row["rounded"]["least_error"][NODEWISE] = dataclasses.asdict(judge(by_node, topology))
    fine_tune(by_node, topology, assignment, seed=seed)
    row["tuned"][NODEWISE] = dataclasses.asdict(judge(by_node, topology))
    row["seconds"] = time.process_time() - began
    return storages, row


def _arms(combined: Any) -> dict[str, list[int]]:
    """Return the widths of every choice, by the name of the arm."""
    uniform = {f"uniform {bits}": [bits] * len(combined) for bits in UNIFORM}
    return uniform | {LAYERWISE: _input_and_rest(combined, 1, 4)}


def _input_and_rest(combined: Any, of_input: int, rest: int) -> list[int]:
    first = combined[0].name.split(".")[0]
    return [of_input if each.name.startswith(f"{first}.features") else rest for each in combined]


def _sizes(stored: Any) -> dict[str, float]:
    return {"dense_bits": stored.dense_bits, "sparse_bits": stored.sparse_bits, "mean_bits": stored.mean_bits}


def page() -> None:
    """Write the page."""
    found = json.loads(TWIN.read_text(encoding="utf-8"))
    pairs = found["pairs"]
    parts = [_head(found), _float_part(pairs), _arms_part(pairs), _targets_part(pairs), sgquant_choices.part()]
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _head(found: dict[str, Any]) -> str:
    runs = [run for pair in found["pairs"].values() for run in pair["runs"].values()]
    seconds = sum(run["seconds"] for run in runs)
    return (
        "# Graph networks of few bits, measured\n\n"
        "Written by `sgquant.py` from its twin `sgquant.json`; nothing is typed by hand. "
        f"Command: `{found['command']}`. Machine: {found['machine']}. {len(runs)} runs took {seconds:.0f} seconds of it. "
        "A seed draws the first weights and dropout. Differences are between networks of the same seed, with 95 % intervals of "
        "their mean (Student's t). Ranges are measured without test nodes, epochs chosen by validation nodes. But the "
        "widths, the rule `least_error`, ranges per node and GAT's schedule were settled after looking at test accuracies of first runs: expect them to flatter a little."
    )


def _float_part(pairs: dict[str, Any]) -> str:
    lines = [
        "## Float accuracy",
        "",
        "| network, graph | seeds | test accuracy (sd) | published | within a point |",
        "|---|--:|--:|--:|---|",
    ]
    for network, data in PAIRS:
        runs = _runs(pairs, network, data)
        published = PUBLISHED.get((network, data))
        stated = "" if published is None else f"{100 * published:.1f}"
        if len(runs) < 2:
            lines.append(f"| {network}, {data} | {len(runs)} | {NOT_RUN} | {stated} | {NOT_RUN} |")
            continue
        accuracies = [run["float"]["test"] for run in runs]
        mean = statistics.mean(accuracies)
        held = (
            "" if published is None else ("yes" if mean > published - 0.01 else f"no: {100 * (mean - published):+.2f}")
        )
        lines.append(
            f"| {network}, {data} | {len(runs)} | {100 * mean:.2f} ({100 * statistics.stdev(accuracies):.2f}) | {stated} | {held} |"
        )
    return "\n".join(lines)


def _arms_part(pairs: dict[str, Any]) -> str:
    lines = [
        "## Memory and loss",
        "",
        ABOUT,
        "",
        f"| network, graph | bits | bits per value | memory, dense | memory, sparse | {' | '.join(f'`{rule}`' for rule in RULES)} | fine-tuned |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for network, data in PAIRS:
        pair = pairs.get(f"{network} {data}", {})
        for arm in (*(f"uniform {bits}" for bits in UNIFORM), *TUNED):
            runs = _runs(pairs, network, data, arm)
            if len(runs) < 2:
                lines.append(f"| {network}, {data} | {arm} | {NOT_RUN} | | | | | | |")
                continue
            kept = pair["storage"]
            dense, sparse = (kept["float"][key] / kept[arm][key] for key in ("dense_bits", "sparse_bits"))
            rounded = [
                _stated(*_difference([run["rounded"][rule][arm] for run in runs], runs))
                if arm in runs[0]["rounded"][rule]
                else ""
                for rule in RULES
            ]
            tuned = _stated(*_tuned(runs, arm)) if arm in TUNED else ""
            lines.append(
                f"| {network}, {data} | {arm} | {kept[arm]['mean_bits']:.2f} | {dense:.1f}x | {sparse:.1f}x | "
                f"{' | '.join(rounded)} | {tuned} |"
            )
    return "\n".join(lines)


def _targets_part(pairs: dict[str, Any]) -> str:
    lines = [
        "## Against the targets",
        "",
        "Fine-tuned; dense storage, as the target's source counts.",
        "",
        "| target | bits | seeds | memory | loss, points | held |",
        "|---|---|--:|--:|--:|---|",
    ]
    for arm in TUNED:
        lines += [_target(pairs, network, data, arm, SAVING, LOSS) for network, data in PAIRS]
        lines.append(_target(pairs, "gcn", "cora", arm, CORA_SAVING, CORA_LOSS))
    return "\n".join(lines)


def _target(pairs: dict[str, Any], network: str, data: str, arm: str, saving: float, loss: float) -> str:
    runs = _runs(pairs, network, data, arm)
    name = f"{network}, {data}: {saving:.0f}x at {100 * loss:.1f} points | {arm}"
    if len(runs) < 2:
        return f"| {name} | {len(runs)} | {NOT_RUN} | {NOT_RUN} | {NOT_RUN} |"
    kept = pairs[f"{network} {data}"]["storage"]
    saved = kept["float"]["dense_bits"] / kept[arm]["dense_bits"]
    mean, half = _tuned(runs, arm)
    held = "yes" if saved >= saving and -mean <= loss else "no"
    if held == "yes" and len(runs) < 20:
        held = f"on {len(runs)} seeds of 20"
    return f"| {name} | {len(runs)} | {saved:.1f}x | {_stated(-mean, half)} | {held} |"


def _runs(pairs: dict[str, Any], network: str, data: str, arm: str = "") -> list[dict[str, Any]]:
    """Return the runs of a pair; of an arm that is tuned, those that have it."""
    runs = pairs.get(f"{network} {data}", {"runs": {}})["runs"].values()
    return [run for run in runs if arm not in TUNED or arm in run["tuned"]]


def _tuned(runs: list[dict[str, Any]], arm: str) -> tuple[float, float]:
    return _difference([run["tuned"][arm] for run in runs], runs)


def _difference(judged: list[dict[str, float]], runs: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the mean difference to the float network of the same seed, and half of its 95 % interval."""
    from scipy import stats

    differences = [each["test"] - run["float"]["test"] for each, run in zip(judged, runs, strict=True)]
    spread = statistics.stdev(differences) / math.sqrt(len(runs))
    return statistics.mean(differences), float(stats.t.ppf(0.975, len(runs) - 1)) * spread


def _stated(mean: float, half: float) -> str:
    return f"{100 * mean:+.2f} ± {100 * half:.2f}"


def main() -> None:
    """Run one of the verbs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("measure", "page"))
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    if arguments.verb == "page":
        page()
    else:
        measure(arguments.seeds)


if __name__ == "__main__":
    main()
