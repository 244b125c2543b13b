"""Measures what docs/results/sgquant.md says of graph networks of few bits, and writes that page from the figures.

Usage, with BITMIXER_DATA set (an hour on one core; interrupted, it goes on where it was):
    python docs/results/sgquant.py measure [--steps choose test ...] [--seeds 20] [--runs FOLDER]
    python docs/results/sgquant.py page    # writes sgquant.md from the twin

Steps follow one another: what is chosen in one is what the next one runs. sgquant_procedure.py says how.
"""

from __future__ import annotations

import argparse
import functools
import platform
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from sgquant_evidence import choose_assignments, granular_arms, rivals, weighted
from sgquant_page import page
from sgquant_procedure import (
    candidates,
    choose,
    measure_candidates,
    measure_schedules,
    targets_of,
)
from sgquant_runs import PAIRS, RULES, UNIFORM, Arm, measure_arms, read, uniform, write

STEPS = ("schedules", "choose", "test", "splits", "granularity", "rivals", "weights")
BLOCK = 5
"""Seeds of one pair in a row, before the next pair's turn."""


def measure(steps: list[str], seeds: int, runs: Path) -> None:
    """Run what the twin does not have."""
    found = read() | {"machine": _machine(), "command": "python docs/results/sgquant.py measure"}
    if "schedules" in steps:
        measure_schedules(found, runs)
    if "choose" in steps:
        measure_candidates(found, runs)
        choose(found)
    if "test" in steps:
        pairs = [*PAIRS, ("graphsage", "cora"), ("graphsage", "citeseer")]
        _each(found, range(seeds), pairs, runs, functools.partial(_judged_arms, found, drawn=False))
    if "splits" in steps:
        arms = functools.partial(_judged_arms, found, drawn=True)
        _each(found, range(seeds // 2), PAIRS, runs, arms, drawn=True)
    if "granularity" in steps:
        choose_assignments(found, runs)
        _each(found, range(seeds), PAIRS, runs, lambda *pair: list(granular_arms(found, *pair).values()))
    if "rivals" in steps:
        _each(found, range(seeds // 2), PAIRS, runs, lambda *_: rivals())
    if "weights" in steps:
        _each(found, range(seeds // 2), PAIRS, runs, lambda *_: weighted())
    write(found)


def _each(
    found: dict[str, Any], seeds: range, pairs: list[tuple[str, str]], runs: Path,
    arms_of: Callable[[str, str], list[Arm]], *, drawn: bool = False,
) -> None:  # fmt: skip
    for first in seeds[::BLOCK]:
        for name, data in pairs:
            for seed in seeds[first : first + BLOCK]:
                measure_arms(found, name, data, seed, arms_of(name, data), runs, drawn=drawn)


def _judged_arms(found: dict[str, Any], name: str, data: str, *, drawn: bool) -> list[Arm]:
    """Return what runs with seeds that judge: what was chosen, and widths alike by every rule."""
    taken = found["chosen"].get(f"{name} {data}", {})
    names = {arm for target in targets_of(name, data) for arm in taken.get(target, {}).values()}
    chosen = [arm for arm in candidates() if arm.name in names]
    if drawn or (name, data) not in PAIRS:
        return chosen
    return chosen + [uniform(bits, rule) for bits, rule in product(UNIFORM, RULES)]


def _machine() -> str:
    from hwsim import provenance

    return f"{platform.machine()}, CPU, one thread, " + ", ".join(map(" ".join, provenance.versions().items()))


def main() -> None:
    """Run one of the verbs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("measure", "page"))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--runs", type=Path, default=Path("runs/sgquant"))
    arguments = parser.parse_args()
    if arguments.verb == "page":
        page()
    else:
        measure(arguments.steps, arguments.seeds, arguments.runs)


if __name__ == "__main__":
    main()
