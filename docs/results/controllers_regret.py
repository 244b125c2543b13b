"""What rules lose where accuracy must be learned at run time, against what was possible; for controllers.py.

Regret is ``hwsim.regret``'s: against who knows the mean worth of every rung of the ladder under every data set, on the very same
inputs, with true labels and the energy of probes. The scenario is one in which nothing is hot or late.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
SCENARIO = "drifting_light"
ENERGY_WEIGHT = 0.05
LEARNING = f":rungs=[8, 2]:steps=2:energy_weight={ENERGY_WEIGHT}"
ARMS = {
    "ids": "ids" + LEARNING,
    "linucb_probe": "linucb_probe" + LEARNING,
    "ids, memory 0.99": "ids" + LEARNING + ":memory=0.99",
    "linucb_probe, memory 0.99": "linucb_probe" + LEARNING + ":agreement_memory=0.99",
    "static, 8 bit": "static:bits=8",
    "static, 2 bit": "static:bits=2",
    "linucb": "linucb" + LEARNING,
    "thompson": "thompson" + LEARNING,
    "epsilon_greedy": "epsilon_greedy" + LEARNING,
    "q_learning": "q_learning" + LEARNING,
}
SECONDS = 120
KEPT = ("accuracy", "energy_joules", "deadline_miss_rate", "mean_weight_bits", "probes", "decision_energy_share")
RESAMPLES = 10_000


def measure(folder: Path, arms: Sequence[str], seeds: Sequence[int]) -> None:
    """Run what was not run yet, one file each, so that it can be stopped at any time."""
    for seed in seeds:
        for arm in arms:
            file = folder / f"{arm.replace(', ', '-').replace(' ', '')}-{seed}.json"
            if not file.exists():
                found = _run(arm, seed, folder / "runs" / file.stem)
                file.write_text(json.dumps({"arm": arm, "seed": seed, **found}), encoding="utf-8")


def _run(arm: str, seed: int, folder: Path) -> dict[str, Any]:
    from hwsim import pipeline
    from hwsim.controllers.actions import LadderOptions
    from hwsim.records.store import RunFolder
    from hwsim.regret import worths

    summary = pipeline.run(pipeline.plan(SCENARIO, controller=ARMS[arm], seed=seed), folder, figures=False)
    (found,) = worths(folder, energy_weight=ENERGY_WEIGHT, ladder=LadderOptions(rungs=(8, 2), steps=2))
    second = np.minimum(found.arrivals_seconds.astype(np.int64), SECONDS)
    layers = RunFolder(folder).table("layers", ["frame", "purpose"]).to_pandas()
    probed = layers[layers["purpose"] == "probe"]["frame"].unique()
    return {
        **{name: summary[name] for name in KEPT},
        "frames": len(found.realised),
        "worth": float(found.realised.mean()),
        "informed": float(found.informed.mean()),
        "best_rung": float(found.best_rung.mean()),
        "clairvoyant": found.clairvoyant,
        "rungs_by_data": [
            found.rungs[found.data == each].mean(axis=0).tolist() for each in range(found.data.max() + 1)
        ],
        "regret_by_second": np.bincount(second, found.informed - found.realised, minlength=SECONDS + 1).tolist(),
        "probes_by_second": np.bincount(second[probed], minlength=SECONDS + 1).tolist(),
    }


def collected(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the runs of each arm, in the order of the seeds."""
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    return {arm: sorted((run for run in runs if run["arm"] == arm), key=lambda run: run["seed"]) for arm in ARMS}


def interval(values: Sequence[float]) -> dict[str, float]:
    """Return a mean over seeds with its 95 % bootstrap interval."""
    numbers = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(1).integers(len(numbers), size=(RESAMPLES, len(numbers)))
    low, high = np.percentile(numbers[drawn].mean(axis=1), (2.5, 97.5))
    return {"mean": float(numbers.mean()), "low": float(low), "high": float(high)}


def summarised(runs: dict[str, list[dict[str, Any]]], baseline: str) -> dict[str, Any]:
    """Return each arm's figures, and its regret less the baseline's over the seeds that both have."""
    regrets = {arm: {run["seed"]: sum(run["regret_by_second"]) for run in own} for arm, own in runs.items()}
    found: dict[str, Any] = {}
    for arm, own in runs.items():
        if not own:
            continue
        both = sorted(regrets[arm].keys() & regrets[baseline].keys())
        found[arm] = {
            "controller": ARMS[arm],
            "seeds": [run["seed"] for run in own],
            "regret": interval(list(regrets[arm].values())),
            "less_baseline": interval([regrets[arm][seed] - regrets[baseline][seed] for seed in both])
            if both
            else None,
            **{name: interval([run[name] for run in own]) for name in ("worth", "clairvoyant", "best_rung", *KEPT)},
            "regret_by_second": np.mean([np.cumsum(run["regret_by_second"]) for run in own], axis=0).tolist(),
            "probes_by_second": np.mean([run["probes_by_second"] for run in own], axis=0).tolist(),
        }
    return found
