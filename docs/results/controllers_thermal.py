"""How rules that adapt fare in ``thermal_throttle``, beside every uniform width; for controllers.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KEPT = (
    "accuracy", "correct_on_time_rate", "deadline_miss_rate", "energy_per_input_joules", "peak_die_temperature_celsius",
    "throttled_seconds", "mean_weight_bits", "mid_frame_switches", "decision_energy_share",
)  # fmt: skip
COMPARED = ("accuracy", "deadline_miss_rate", "energy_per_input_joules")
"""What targets compare, seed by seed."""
ARMS = (
    "static", "static:bits=4", "static:bits=3", "static:bits=2", "hysteresis", "pid", "step_wise", "power_allocator", "schedutil",
    "deadline_greedy", "mpc", "q_learning", "linucb", "thompson", "epsilon_greedy", "linucb_probe", "ids",
)  # fmt: skip


def measure(folder: Path, arms: Sequence[str], seeds: Sequence[int]) -> None:
    """Run what was not run yet, one file each."""
    from hwsim import pipeline

    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for arm in arms:
            file = folder / f"{arm.replace(':', '-')}-{seed}.json"
            if file.exists():
                continue
            planned = pipeline.plan("thermal_throttle", controller=arm, seed=seed)
            summary = pipeline.run(planned, folder / "runs" / file.stem, figures=False)
            found = {name: summary[name] for name in KEPT}
            file.write_text(json.dumps({"arm": arm, "seed": seed, **found}), encoding="utf-8")


def collected(folder: Path) -> dict[str, Any]:
    """Return each arm's mean over its seeds, and those that were not run."""
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    own = {arm: [run for run in runs if run["arm"] == arm] for arm in ARMS}
    return {
        "command": "python docs/results/controllers.py thermal --arms 'static;...' --seeds 1-3",
        "arms": {
            arm: {"seeds": [run["seed"] for run in of_arm]}
            | {name: sum(run[name] for run in of_arm) / len(of_arm) for name in KEPT}
            | {"by_seed": {name: {run["seed"]: run[name] for run in of_arm} for name in COMPARED}}
            for arm, of_arm in own.items()
            if of_arm
        },
        "not_run": [arm for arm, of_arm in own.items() if not of_arm],
    }
