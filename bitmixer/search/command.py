"""What ``bitmixer search`` does: from names and numbers to files of assignments."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitmixer.assignment_file import save_assignment
from bitmixer.data import load_data, load_training_images, require_shape
from bitmixer.errors import SearchError, did_you_mean
from bitmixer.networks.checkpoint import Checkpoint, load_network
from bitmixer.output_files import make_folder
from bitmixer.search.cost_file import CostFile
from bitmixer.search.costs import COSTS, Budget, parse_limit
from bitmixer.search.figure import draw_trade_off
from bitmixer.search.losses import MeasuredLoss
from bitmixer.search.points import Judge, spread
from bitmixer.search.searching import METHODS, Searcher, TradeOff, pareto_limits, trade_off


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What a user asks for.

    Attributes:
        checkpoint: A trained network.
        data: Data name, corruption included.
        budget: ``KIND<=NUMBER``.
        method: One or several of :data:`~bitmixer.search.searching.METHODS`, with commas between, or ``all``.
        images: Training images to search with; 2000, or all if there are fewer, if ``None``.
        random_assignments: How many assignments ``random`` draws.
        seed: Seed of the images and of random assignments.
        costs: A table whose columns are kinds of budgets too.
        pareto: Whether to search under many budgets and to draw the front.
        folder: Where to write what is found.
    """

    checkpoint: Checkpoint
    data: str
    budget: str
    method: str
    images: int | None
    random_assignments: int
    seed: int
    costs: Path | None
    pareto: bool
    folder: Path


def run_search(request: SearchRequest, *, progress: Callable[[str], None] = lambda step: None) -> dict[str, Any]:
    """Search, write ``search.json``, a file per assignment and, of many budgets, ``pareto.json`` and ``pareto.svg``.

    Returns:
        What ``search.json`` says.

    Raises:
        SearchError: The budget, the method or the table of costs is wrong, or the budget cannot be met.
        DataError: The data is unknown, does not fit, or has fewer images.
        CheckpointError: The network has no weights.
    """
    graph, methods, budget = request.checkpoint.graph, _methods(request.method), _budget(request)
    require_shape(request.data, graph.input_shape, graph.network)
    network = load_network(request.checkpoint)
    inputs, _ = load_training_images(request.data, request.images, seed=request.seed)
    make_folder(request.folder)  # before the work, so that no result is lost for want of it

    def measured(done: int, changes: int) -> None:
        progress(f"{changes} changes of widths on {done} of {len(inputs)} images")

    model = MeasuredLoss(network, inputs, progress=measured)
    searcher = Searcher(graph, budget.cost, model, random_assignments=request.random_assignments, seed=request.seed)
    judge = Judge(network, budget.cost, *load_data(request.data))
    limits = {budget.limit, *(pareto_limits(graph, budget.cost) if request.pareto else ())}
    result = trade_off(searcher, judge, limits=sorted(limits), methods=methods, progress=progress)
    about = {
        "network": graph.network, "data": request.data, "inputs": judge.inputs,
        "search": {"images": len(inputs), "split": "train", "seed": request.seed},
    }  # fmt: skip
    if request.pareto:
        _write(request.folder / "pareto.json", {**about, **result.as_dict()})
        title = f"{graph.network} on {request.data}: accuracy against {budget.cost.name}"
        draw_trade_off(result, request.folder / "pareto.svg", title=title, inputs=judge.inputs)
    found = {**about, **_under_budget(result, budget, methods, request.folder)}
    _write(request.folder / "search.json", found)
    return found


def _methods(method: str) -> tuple[str, ...]:
    if method == "all":
        return METHODS
    given = [name.strip() for name in method.split(",")]
    for name in given:
        if name not in METHODS:
            raise SearchError(f"unknown method {name!r}: {did_you_mean(name, (*METHODS, 'all'))}")
    return tuple(name for name in METHODS if name in given)


def _budget(request: SearchRequest) -> Budget:
    graph = request.checkpoint.graph
    file = None if request.costs is None else CostFile.load(request.costs)
    kind, limit = parse_limit(request.budget, (*COSTS, *(file.kinds if file else ())))
    cost = file.cost(graph, kind) if file and kind in file.kinds else COSTS[kind](graph)
    return Budget(cost=cost, limit=limit)


def _under_budget(result: TradeOff, budget: Budget, methods: Sequence[str], folder: Path) -> dict[str, Any]:
    """Write an assignment per file and return what was found under the budget."""
    points = {method: result.under(budget.limit, method) for method in methods}
    found = [{**point.as_dict(), "file": None} for point in result.uniform]
    for method, group in points.items():
        for number, point in enumerate(group):
            name = f"{method}-{number:02}.json" if method == "random" else f"{method}.json"
            save_assignment(folder / name, point.assignment)
            found.append({**point.as_dict(), "file": name})
    random = points.get("random")
    return {
        "budget": {**budget.cost.summary(), "limit": budget.limit},
        "found": found,
        "random": None if random is None else {
            what: spread([getattr(point, what) for point in random]) for what in ("cost", "loss", "accuracy")
        },
    }  # fmt: skip


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
