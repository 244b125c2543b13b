"""Files that a scenario names: where they are, and the assignments that a rule's options take from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitmixer.assignment_file import load_assignment
from bitmixer.graph import LayerGraph
from hwsim.config.scenario import Controller

SUFFIXES = (".json", ".yaml", ".yml")


def beside(name: str, scenario_path: Path) -> str:
    """Return the path of a file or network as seen from the scenario's folder, or its name if nothing is there."""
    beside = scenario_path.parent / name
    is_there = beside.is_file() or (beside / "checkpoint.json").is_file()
    return str(beside) if is_there else name


def with_assignments(controller: Controller, path: Path, graph: LayerGraph) -> Controller:
    """Put assignments' content in the place of their files' names.

    Args:
        controller: A rule with its options.
        path: The scenario's.
        graph: Of the network that the rule steers.

    Raises:
        DocumentError: A file cannot be read, or holds no assignment of this network.
    """
    changes = {
        field: {**options, **read}
        for field in ("options", "safe")
        if (read := _assignments_of(options := getattr(controller, field) or {}, path, graph))
    }
    return controller.model_copy(update=changes) if changes else controller


def _assignments_of(options: Mapping[str, Any], path: Path, graph: LayerGraph) -> dict[str, Any]:
    """Return the options that name files of assignments, with their content."""
    read: dict[str, Any] = {}
    if isinstance(file := options.get("assignment"), str):
        read["assignment"] = _assignment(file, path, graph)
    rungs = options.get("rungs")
    if isinstance(rungs, list | tuple) and any(map(_is_file, rungs)):
        read["rungs"] = [_assignment(rung, path, graph) if _is_file(rung) else rung for rung in rungs]
    return read


def _is_file(rung: object) -> bool:
    return isinstance(rung, str) and Path(rung).suffix in SUFFIXES


def _assignment(file: str, path: Path, graph: LayerGraph) -> dict[str, tuple[int, int]]:
    assignment = load_assignment(Path(beside(file, path)), graph.layers, network=graph.network)
    return {site: (widths.weight, widths.activation) for site, widths in assignment.items()}
