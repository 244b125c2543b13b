"""Runs that docs/results/sgquant.py is made of: float networks, kept in a folder, and the same at few bits."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import time
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

REAL = 32
HERE = Path(__file__).parent
TWIN = HERE / "sgquant.json"
PAIRS = [(network, data) for network in ("gcn", "agnn", "gat") for data in ("cora", "citeseer")]
CHOICE_SEEDS = range(100, 105)
"""Of networks that choices are made by; what they answer for test nodes is not even kept."""

UNIFORM = (8, 4, 2, 1)
RULES = ("extremes", "mean_extremes", "least_error")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A way to run a network at few bits.

    Attributes:
        bits: (pattern of a choice's name at the granularity "combined", width); the first that fits holds. ``input``
            is the graph's own features.
        rule: Quantiser.
        input_rule: Quantiser of the graph's own features, where it is another.
        tuning: Whether the float network is only rounded, or trained on by classes or by its own former answers, or
            its widths are learned.
        rest: Width of weights and messages.
        mean_bits: Bits per value that learned widths come to.
        label: What bits are called.
    """

    bits: tuple[tuple[str, int], ...]
    label: str
    rule: str = "least_error"
    input_rule: str | None = None
    tuning: Literal["rounded", "tuned", "distilled", "learned"] = "rounded"
    rest: int = REAL
    mean_bits: float = 0.0

    @property
    def name(self) -> str:
        """What the twin calls it."""
        ranges = self.rule if self.input_rule in (None, self.rule) else f"{self.input_rule}, then {self.rule}"
        return f"{self.label}; {ranges}; {self.tuning}"

    def assignment(self, network: Any) -> Any:
        """Return the widths of every site of a network."""
        from bitmixer.graphs.sites import choices, chosen

        parts = choices(network.sites, "combined")
        first = parts[0].name.split(".")[0]
        made = []
        for part in parts:
            names = (part.name, "input") if part.name.startswith(f"{first}.features") else (part.name,)
            made.append(
                (part, next(width for pattern, width in self.bits if any(fnmatch(name, pattern) for name in names)))
            )
        return chosen(network.sites, made, rest=self.rest)


def input_and_rest(of_input: int, rest: int) -> dict[str, Any]:
    """Return the bits and the label of an arm: a width for the graph's features, and one for all else."""
    return {"bits": (("input", of_input), ("*", rest)), "label": f"input {of_input}, all else {rest}"}


def uniform(bits: int, rule: str) -> Arm:
    """Return the arm with one width for all that is stored, rounded."""
    return Arm(bits=(("*", bits),), label=f"uniform {bits}", rule=rule)


@functools.lru_cache(maxsize=4)
def topology_of(data: str, split: int | None = None) -> Any:
    """Return a graph made ready: with its own split, or with one drawn anew."""
    from bitmixer.data.planetoid import load_planetoid
    from bitmixer.graphs.topology import Topology

    graph = load_planetoid(data).row_normalized()
    return Topology(graph if split is None else graph.resplit(split))


def float_network(name: str, topology: Any, seed: int, kept: Path, *, schedule: Any = None) -> Any:
    """Return a trained network, from the file where it is kept, if it is there."""
    import torch

    from bitmixer.graphs.network import GraphNetworkForm
    from bitmixer.graphs.networks import create_graph_network
    from bitmixer.graphs.training import train

    graph = topology.graph
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = create_graph_network(name, GraphNetworkForm(features=graph.features, classes=graph.classes))
    if kept.is_file():
        network.load_state_dict(torch.load(kept, weights_only=True))
        return network.eval()
    train(network, topology, schedule or network.schedule, seed=seed)
    kept.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), kept)
    return network


def at_few_bits(name: str, network: Any, arm: Arm, topology: Any, seed: int) -> Any:
    """Return a copy of a float network that runs as an arm says."""
    from bitmixer.graphs.learned_bits import learn_bits
    from bitmixer.graphs.networks import create_graph_network
    from bitmixer.graphs.products import Combination
    from bitmixer.graphs.training import fine_tune
    from bitmixer.quantizers.nested import NestedWeightQuantizer

    form = dataclasses.replace(network.form, quantizer=arm.rule, input_quantizer=arm.input_rule or arm.rule)
    if arm.tuning == "learned":
        form = dataclasses.replace(form, widths=tuple(range(1, 9)))
    other = create_graph_network(name, form)
    other.load_state_dict(network.state_dict(), strict=False)  # ranges are measured anew; not every rule keeps any
    for product in other.products.values():
        if arm.rest != REAL and isinstance(product, Combination):
            product.weight_quantizer = NestedWeightQuantizer((arm.rest,))  # a step of this width alone
    other.calibrate_weights()
    if arm.tuning == "learned":
        learn_bits(other, topology, mean_bits=arm.mean_bits, seed=seed)
        return other
    assignment = arm.assignment(other)
    if arm.tuning == "rounded":
        other.calibrate(topology, [assignment])
        other.assign(assignment)
    else:
        fine_tune(other, topology, assignment, seed=seed, distilled=arm.tuning == "distilled")
    return other


def measure_arms(
    found: dict[str, Any], name: str, data: str, seed: int, arms: Iterable[Arm], runs: Path, *, drawn: bool = False
) -> None:
    """Run the arms that a pair lacks for a seed, and the float network; ``drawn``: with the split of that seed."""
    from bitmixer.graphs.memory import real_storage, storage
    from bitmixer.graphs.training import logits

    pair = found["splits" if drawn else "pairs"].setdefault(f"{name} {data}", {"storage": {}, "float": {}, "arms": {}})
    missing = [arm for arm in arms if str(seed) not in pair["arms"].get(arm.name, {})]
    if not missing and str(seed) in pair["float"]:
        return
    topology = topology_of(data, seed if drawn else None)
    began = time.process_time()
    network = float_network(name, topology, seed, runs / f"{name}_{data}_{seed}{'_drawn' * drawn}.pt")
    if str(seed) not in pair["float"]:
        pair["storage"]["float"] = _sizes(real_storage(network, topology))
        pair["float"][str(seed)] = _outcome(logits(network, topology), topology, seed, began)
    answers = logits(network, topology).argmax(dim=1)
    for arm in missing:
        began = time.process_time()
        other = at_few_bits(name, network, arm, topology, seed)
        pair["storage"][arm.name] = _sizes(storage(other, topology, other.assignment))
        pair["arms"].setdefault(arm.name, {})[str(seed)] = _outcome(
            logits(other, topology), topology, seed, began, answers
        )
    write(found)


def _outcome(said: Any, topology: Any, seed: int, began: float, before: Any = None) -> dict[str, float]:
    """Return accuracies, seconds, and the share of nodes that do not judge whose answer is another than before."""
    answers, graph = said.argmax(dim=1), topology.graph
    right = (answers == graph.y).double()
    kept = {"validation": round(float(right[graph.val_mask].mean()), 5)}
    if before is not None:
        kept["changed"] = round(float((answers != before)[~graph.test_mask].double().mean()), 5)
    if seed not in CHOICE_SEEDS:
        kept["test"] = round(float(right[graph.test_mask].mean()), 5)
    return kept | {"seconds": round(time.process_time() - began, 2)}


def _sizes(stored: Any) -> dict[str, float]:
    return {"dense_bits": stored.dense_bits, "sparse_bits": stored.sparse_bits, "mean_bits": round(stored.mean_bits, 4)}


def read() -> dict[str, Any]:
    """Return the twin."""
    empty: dict[str, Any] = {"pairs": {}, "splits": {}, "schedules": {}, "chosen": {}, "granularity": {}}
    return empty | (json.loads(TWIN.read_text(encoding="utf-8")) if TWIN.is_file() else {})


def write(found: dict[str, Any]) -> None:
    """Write the twin, an outcome per line."""
    text = re.sub(
        r"\{\s*([^{}]*?)\s*\}", lambda each: "{" + " ".join(each[1].split()) + "}", json.dumps(found, indent=1)
    )
    whole = TWIN.with_suffix(".partial")
    whole.write_text(text + "\n", encoding="utf-8")
    whole.replace(TWIN)


def judging(rows: dict[str, Any]) -> dict[str, Any]:
    """Return the rows of seeds that judge."""
    return {seed: row for seed, row in rows.items() if int(seed) not in CHOICE_SEEDS}


def losses(pair: dict[str, Any], arm: str) -> list[float]:
    """Return the test accuracy that an arm loses against the float network, seed by seed."""
    rows = judging(pair["arms"].get(arm, {}))
    return [pair["float"][seed]["test"] - row["test"] for seed, row in rows.items()]


def points(difference: float) -> str:
    """Return a share in points."""
    return f"{100 * difference:+.2f}"


def stated(mean_and_half: tuple[float, float]) -> str:
    """Return an interval in points."""
    mean, half = mean_and_half
    return f"{points(mean)} ± {100 * half:.2f}"
