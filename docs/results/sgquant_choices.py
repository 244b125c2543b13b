"""What docs/results/sgquant.py also measures of GCN: strategies of bit selection, and one network for all widths.

Usage, with BITMIXER_DATA set: python docs/results/sgquant_choices.py [--seeds 20] [--selections 5]; then python docs/results/sgquant.py page
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

from sgquant_procedure import interval
from sgquant_runs import points, stated

HERE = Path(__file__).parent
TWIN = HERE / "sgquant_choices.json"
FIGURE = HERE.parent / "images" / "sgquant_selection.svg"
COMMAND = "python docs/results/sgquant_choices.py"
DATA = ("cora", "citeseer")
MEASUREMENTS, TOLERANCE, CHANGED = 120, 0.005, 0.01
STRATEGIES = {name: (name, "least_error", "accuracy", TOLERANCE) for name in ("learned", "optuna", "random")}
STRATEGIES["learned, by agreement"] = ("learned", "node_scale", "agreement", CHANGED)
"""Strategy, quantiser of the graph's own features, what decides whether an assignment is feasible, its tolerance."""
WIDTHS = (8, 4, 2, 1)
ABOUT_SELECTION = (
    f"`{COMMAND}`. Every layer, operand and degree class apart (16 widths of 1 to 16 bits); rounded, not tuned; within "
    f"{100 * TOLERANCE:.1f} points on validation nodes. *By agreement*: at most {100 * CHANGED:.0f} % of answers changed, on nodes outside of the "
    "test mask, and the input may have a scale per node. Means over seeds; differences on test nodes, which nothing chose by: "
    f"what {MEASUREMENTS} measurements find feasible on 500 validation nodes is partly luck."
)
ABOUT_SWITCHABLE = (
    f"`{COMMAND}`. Test accuracy at one width of all features and coefficients: of one network trained for all widths, and "
    "of networks fine-tuned for that width alone. Target: within one point."
)


def measure(seeds: int, selections: int) -> None:
    """Run every graph with every seed that the twin does not have; selection, which takes longest, with the first seeds."""
    found: dict[str, Any] = json.loads(TWIN.read_text(encoding="utf-8")) if TWIN.is_file() else {"runs": {}}
    found["command"] = COMMAND
    for seed in range(seeds):
        for data in DATA:
            runs = found["runs"].setdefault(data, {})
            if str(seed) not in runs:
                runs[str(seed)] = _run(data, seed, selects=seed < selections)
                TWIN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _run(data: str, seed: int, *, selects: bool) -> dict[str, Any]:
    import torch

    from bitmixer.data.planetoid import load_planetoid
    from bitmixer.graphs.network import GraphNetworkForm
    from bitmixer.graphs.networks import create_graph_network
    from bitmixer.graphs.topology import Topology
    from bitmixer.graphs.training import train

    torch.set_num_threads(1)
    graph = load_planetoid(data).row_normalized()
    topology = Topology(graph)
    torch.manual_seed(seed)
    network = create_graph_network("gcn", GraphNetworkForm(features=graph.features, classes=graph.classes))
    train(network, topology, network.schedule, seed=seed)
    found = {"switchable": _switchable(network, topology, seed)}
    return found | ({"selection": _selection(network, topology, seed)} if selects else {})


def _selecting(by_seed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was selected, by strategy, for every seed that did."""
    return [run["selection"] for run in by_seed.values() if "selection" in run]


def _selection(network: Any, topology: Any, seed: int) -> dict[str, Any]:
    """Return, by strategy, the best saving after every measurement, and the test accuracy of the last."""
    from bitmixer.graphs.networks import create_graph_network
    from bitmixer.graphs.selection import BitProblem, select_bits
    from bitmixer.graphs.training import judge

    real, row = judge(network, topology).test, {}
    for name, (strategy, of_input, judged_by, tolerance) in STRATEGIES.items():
        other = create_graph_network("gcn", dataclasses.replace(network.form, input_quantizer=of_input))
        other.load_state_dict(network.state_dict(), strict=False)
        problem = BitProblem.of(other, topology, tolerance=tolerance, judged_by=judged_by)
        found = select_bits(problem, strategy, measurements=MEASUREMENTS, seed=seed)
        assignment, difference = found.assignment(other), None
        if assignment is not None:
            other.calibrate(topology, [assignment])
            other.assign(assignment)
            difference = judge(other, topology).test - real
        row[name] = {"progress": found.progress, "test_difference": difference}
    return row


def _switchable(network: Any, topology: Any, seed: int) -> dict[str, Any]:
    """Return test accuracies of one network at every width, and of one tuned for each."""
    from bitmixer.graphs.switchable import train_switchable, uniform_assignments
    from bitmixer.graphs.training import fine_tune, judge

    shared, row = copy.deepcopy(network), {}
    train_switchable(shared, topology, WIDTHS, seed=seed)
    for bits, assignment in zip(WIDTHS, uniform_assignments(network, WIDTHS), strict=True):
        dedicated = copy.deepcopy(network)
        fine_tune(dedicated, topology, assignment, seed=seed)
        shared.assign(assignment)
        row[str(bits)] = {"shared": judge(shared, topology).test, "dedicated": judge(dedicated, topology).test}
    return row


def part() -> str:
    """Return this part of the page, and draw its figure."""
    if not TWIN.is_file():
        return "## Selection, and one network for all widths\n\nnot run"
    runs = json.loads(TWIN.read_text(encoding="utf-8"))["runs"]
    draw(runs)
    return "\n\n".join([_selection_part(runs), _switchable_part(runs)])


def _selection_part(runs: dict[str, Any]) -> str:
    lines = [
        f"## Selection of bits: GCN, {MEASUREMENTS} measurements",
        "",
        ABOUT_SELECTION,
        "",
        "| graph | seeds | strategy | saving | lowest, highest | more than `random` on | test accuracy, points |",
        "|---|--:|---|--:|--:|--:|--:|",
    ]
    for data, by_seed in runs.items():
        selected = _selecting(by_seed)
        for strategy in selected[0]:
            rows = [each[strategy] for each in selected]
            saved = [row["progress"][-1] for row in rows]
            lost = [row["test_difference"] for row in rows if row["test_difference"] is not None]
            gained = _interval(lost) if lost else "none feasible"
            chance = [each["random"]["progress"][-1] for each in selected]
            more = sum(ours > theirs for ours, theirs in zip(saved, chance, strict=True))
            ahead = "" if strategy == "random" else f"{more} of {len(rows)} seeds"
            lines.append(
                f"| {data} | {len(rows)} | {strategy} | {statistics.mean(saved):.1f}x | {min(saved):.1f}x, {max(saved):.1f}x | "
                f"{ahead} | {gained} |"
            )
    return "\n".join([*lines, "", f"![Best saving over measurements](../images/{FIGURE.name})"])


def _switchable_part(runs: dict[str, Any]) -> str:
    lines = [
        "## One network for all widths: GCN",
        "",
        ABOUT_SWITCHABLE,
        "",
        "| graph | seeds | bits | one for all | dedicated | difference, points | held |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for data, by_seed in runs.items():
        for bits in map(str, WIDTHS):
            shared, dedicated = (
                [run["switchable"][bits][which] for run in by_seed.values()] for which in ("shared", "dedicated")
            )
            differences = [ours - theirs for ours, theirs in zip(shared, dedicated, strict=True)]
            gap = statistics.mean(differences)
            held = "yes" if gap > -0.01 else f"no, by {100 * (-0.01 - gap):.2f}"
            lines.append(
                f"| {data} | {len(shared)} | {bits} | {100 * statistics.mean(shared):.2f} | "
                f"{100 * statistics.mean(dedicated):.2f} | {_interval(differences)} | {held} |"
            )
    return "\n".join(lines)


def _interval(differences: list[float]) -> str:
    """Return a mean in points, with its 95 % interval where there are two values or more."""
    return stated(interval(differences)) if len(differences) > 1 else points(differences[0])


def draw(runs: dict[str, Any]) -> None:
    """Draw the best saving over measurements: means over seeds, and the range between them."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "sgquant", "svg.fonttype": "path"}):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        for axes, (data, by_seed) in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs.items(), strict=True):
            selected = _selecting(by_seed)
            for colour, strategy in enumerate(selected[0]):
                curves = np.array([each[strategy]["progress"] for each in selected])
                counts = np.arange(1, curves.shape[1] + 1)
                axes.fill_between(counts, curves.min(axis=0), curves.max(axis=0), alpha=0.15, color=f"C{colour}", lw=0)
                axes.plot(counts, curves.mean(axis=0), color=f"C{colour}", label=strategy)
            axes.set_title(f"GCN, {data}", loc="left")
            axes.set_xlabel("measurements")
            axes.set_ylabel("memory saved, times")
            axes.set_ylim(bottom=0)
            axes.legend(frameon=False, loc="lower right")
        figure.suptitle("Best feasible saving: mean, least and greatest over seeds", x=0.01, ha="left", fontsize=10)
        figure.savefig(FIGURE, metadata={"Date": None})


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--selections", type=int, default=5, help="how many of the seeds select bits, too")
    asked = parser.parse_args()
    measure(asked.seeds, asked.selections)


if __name__ == "__main__":
    main()
