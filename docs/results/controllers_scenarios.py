"""How every rule fares in every shipped scenario that a rule can steer, seed by seed; for controllers.py.

A run is one file of figures, so that a table can be stopped at any time and goes on where it was. Seeds are the outer loop:
each is a whole table.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from controllers_regret import interval

HERE = Path(__file__).parent
SEARCHED = {
    f"searched, {joules} mJ": f"static:assignment={HERE / 'controllers_searched' / f'{joules}mJ.json'}"
    for joules in ("13.2", "19.5", "26", "32", "40.4")
}
"""Of at most so much energy of a frame's layers: that of uniform 3 bits, of 4 bits, two between, and of ``hysteresis``."""
OVER_SEARCHED, RUNGS = "hysteresis over searched", ("40.4", "19.5", "13.2")
"""The rule, with three of the searched assignments for rungs instead of uniform widths."""
SEARCHED_FOR = ("resnet20_mnist5k", "mnist5k+noise0.8@7")
SEARCH_COMMAND = (
    "python -m hwsim cost --network resnet20_mnist5k --all-widths --inputs 28 > costs.csv; python -m bitmixer search "
    "resnet20_mnist5k --data mnist5k+noise0.8@7 --costs costs.csv --budget 'energy_joules<=0.0195' --images 500 --method exact"
)
CLOCK_ONLY = {"clock only, 8 bits": "step_wise:rungs=[8]"}
MID_FRAME = (
    "hysteresis", "pid", "step_wise", "power_allocator", "schedutil", "deadline_greedy", "mpc", "q_learning", "linucb",
    "thompson", "epsilon_greedy", "linucb_probe", "ids",
)  # fmt: skip
"""Rules that adapt."""
HEEDING = tuple(f"{name}:heeds_deadlines=true" for name in ("pid", "step_wise", "power_allocator"))
"""Rules after Linux that know heat alone, with the option that also asks them before every frame."""
SCENARIOS = (
    "thermal_throttle", "burst_deadlines", "bandwidth_contention", "unknown_device", "drifting_light", "brown_out",
    "sensor_failure", "two_streams", "emergency_one_bit", "hot_day",
)  # fmt: skip
LEFT_OUT = {
    "battery_day": "24 hours without outputs on a device that never gets warm: its one question is when the battery is empty",
    "cifar10_stream": "its data are not shipped, and answers of a new assignment take minutes",
    "field_adaptation": "its network learns as it runs, so no answer can be looked up; it is steered by nobody",
    "graph_node": "a graph, not a camera",
    "values_digits": "60 ms: shorter than what most rules wait between two looks",
}
OWN = {
    "unknown_device": ("mpc:rungs=[4, 3, 2]:energy_weight=0", "ids:rungs=[4, 3, 2]:energy_weight=0"),
    "brown_out": ("emergency",),
    "emergency_one_bit": ("emergency",),
    "bandwidth_contention": ("bandwidth_greedy",),
}
"""Rules, or options of rules, that were made for one scenario."""
ENERGY_WEIGHT = 0.02
"""What all energy of a frame at the most bits is worth, in parts of a right answer: what rules that learn take it for."""
KEPT = (
    "frames_arrived", "accuracy", "correct_on_time_rate", "deadline_miss_rate", "energy_per_input_joules", "energy_joules",
    "latency_p99_seconds", "peak_die_temperature_celsius", "throttled_seconds", "mean_weight_bits", "bit_switches",
    "mid_frame_switches", "probes", "decision_energy_share",
)  # fmt: skip
COMPARED = ("accuracy", "correct_on_time_rate", "deadline_miss_rate", "energy_per_input_joules")
"""What is compared seed by seed."""
SEEDS_OF_TARGETS = 10
"""Seeds from which on a rule may be called the best."""


def rules(scenario: str) -> dict[str, str]:
    """Return what is compared in a scenario: label -> controller."""
    from hwsim.planning import plan
    from hwsim.replications import default_controllers

    planned = plan(scenario)
    stream = planned.streams[0]
    statics = [each for each in default_controllers(scenario) if each.startswith("static")]
    files = ", ".join(SEARCHED[f"searched, {joules} mJ"].partition("=")[2] for joules in RUNGS)
    laddered = SEARCHED | {OVER_SEARCHED: f"hysteresis:rungs=[{files}]"}
    searched = laddered if (stream.checkpoint.name, stream.stream.data_over_time.names[0]) == SEARCHED_FOR else {}
    named = (*statics, *MID_FRAME, *HEEDING, *OWN.get(scenario, ()))
    held = () if planned.scenario.decisions == "frame_boundary" else [f"{name}@frame" for name in MID_FRAME]
    return {**{name: name for name in named}, **CLOCK_ONLY, **searched, **{name: name for name in held}}


def measure(folder: Path, scenarios: Sequence[str], arms: Sequence[str], seeds: Iterable[int]) -> None:
    """Run what was not run yet."""
    for seed in seeds:
        for scenario in scenarios:
            chosen = rules(scenario)
            for label in arms or chosen:
                if label in chosen:
                    _measure_one(folder / scenario, scenario, label, chosen[label], seed)


def _measure_one(folder: Path, scenario: str, label: str, controller: str, seed: int) -> None:
    from hwsim import pipeline
    from hwsim.errors import HwsimError

    file = (
        folder / f"{''.join(letter if letter.isalnum() or letter in '=.@_' else '-' for letter in label)}-{seed}.json"
    )
    if file.exists():
        return
    run = folder / "runs" / file.stem
    found: dict[str, Any] = {"scenario": scenario, "rule": label, "seed": seed}
    try:
        summary = pipeline.run(pipeline.plan(scenario, controller=controller, seed=seed), run, figures=False)
    except HwsimError as error:  # refused, or broken off
        found["failed"] = str(error)
    else:
        found |= {name: summary[name] for name in KEPT} | _worth(run, summary, folder / f"bound-{seed}.json")
    shutil.rmtree(run, ignore_errors=True)
    file.write_text(json.dumps(found), encoding="utf-8")


def _worth(run: Path, summary: dict[str, Any], bound_file: Path) -> dict[str, float | None]:
    """Return what frames were worth in the mean, and the bound on it, as ``hwsim.regret`` has them; of one stream."""
    if summary["accuracy"] is None or "streams" in summary:
        return {"worth": None, "bound": None}
    if not bound_file.exists():  # every rule meets the same inputs, so one bound holds for all
        bound_file.write_text(json.dumps(_bound(run)), encoding="utf-8")
    bound = json.loads(bound_file.read_text(encoding="utf-8"))
    frames = pq.read_table(run / "frames.parquet", columns=["energy_joules"])["energy_joules"].to_numpy()
    joules = frames.mean() + summary.get("probe_energy_joules", 0.0) / len(frames)
    return {"worth": float(summary["correct_on_time_rate"] - bound["per_joule"] * joules), "bound": bound["worth"]}


def _bound(run: Path) -> dict[str, float]:
    from hwsim.controllers.actions import build_ladder
    from hwsim.controllers.base import NetworkView
    from hwsim.planning import plan
    from hwsim.regret import UNIFORM, worths
    from hwsim.simulation.control import device_view

    planned = plan(str(run / "scenario.yaml"), controller="static")
    stream = planned.streams[0]
    view = NetworkView(graph=stream.checkpoint.graph, costs=stream.costs)
    most = build_ladder(UNIFORM, device_view(planned.device), view).joules[0]
    found = worths(run, energy_weight=ENERGY_WEIGHT)[0]
    return {"worth": found.informed_on_device, "per_joule": ENERGY_WEIGHT / float(most)}


def collected(folder: Path) -> dict[str, Any]:
    """Return what the twin keeps: every scenario's rules with intervals, and what is compared seed by seed."""
    files = [file for file in sorted(folder.glob("*/*-*.json")) if not file.name.startswith("bound-")]
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    found = {name: _summarised([run for run in runs if run["scenario"] == name], rules(name)) for name in SCENARIOS}
    return {
        "command": "python docs/results/controllers.py scenarios",
        "search_command": SEARCH_COMMAND,
        "rungs": RUNGS,
        "energy_weight": ENERGY_WEIGHT,
        "left_out": LEFT_OUT,
        "by_scenario": found,
        "targets": _targets(found["thermal_throttle"]["rules"]),
    }


def _summarised(runs: list[dict[str, Any]], known: dict[str, str]) -> dict[str, Any]:
    by_rule = {label: [run for run in runs if run["rule"] == label] for label in known}
    whole = {label: [run for run in of_one if "failed" not in run] for label, of_one in by_rule.items()}
    figures = {label: _figures(of_one) for label, of_one in whole.items() if of_one}
    return {
        "rules": {
            label: {"controller": known[label].replace(f"{HERE}/", "")} | each for label, each in figures.items()
        },
        "mid_frame": {
            name: less(figures[name], figures[f"{name}@frame"])
            for name in MID_FRAME
            if {name, f"{name}@frame"} <= figures.keys()
        },
        "failed": {label: run["failed"] for label, of_one in by_rule.items() for run in of_one if "failed" in run},
        "not_run": [label for label, of_one in by_rule.items() if not of_one],
    }


def _figures(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a rule's intervals over seeds, and the values of those metrics that are compared seed by seed."""
    runs = sorted(runs, key=lambda run: run["seed"])
    for run in runs:
        run["shortfall"] = None if run["bound"] is None else run["bound"] - run["worth"]
    names = (*KEPT, "shortfall")
    intervals = {
        name: None if any(run[name] is None for run in runs) else interval([run[name] for run in runs])
        for name in names
    }
    by_seed = {name: {run["seed"]: run[name] for run in runs} for name in COMPARED}
    return {"seeds": [run["seed"] for run in runs], **intervals, "by_seed": by_seed}


def less(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the intervals of what one rule has more than another, over the seeds that both ran."""
    seeds = sorted(set(one["seeds"]) & set(other["seeds"]))
    found: dict[str, Any] = {"seeds": seeds}
    for name in COMPARED:
        own, rival = one["by_seed"][name], other["by_seed"][name]
        known = bool(seeds) and all(each[seed] is not None for each in (own, rival) for seed in seeds)
        found[name] = interval([own[seed] - rival[seed] for seed in seeds]) if known else None
    return found


def _targets(found: dict[str, Any]) -> dict[str, Any]:
    """Return the best rule that adapts, and what every static assignment has more than it."""
    often = {
        name: found[name]
        for name in (*MID_FRAME, *HEEDING, OVER_SEARCHED)
        if name in found and len(found[name]["seeds"]) >= SEEDS_OF_TARGETS
    }
    best = max(often, key=lambda name: often[name]["correct_on_time_rate"]["mean"])
    statics = [name for name in found if name.startswith(("static", "searched"))]
    return {
        "best": best,
        "named": [*(name for name in statics if name.startswith("static")), *often],
        "less_static": less(found[best], found["static"]),
        "statics": {name: less(found[name], found[best]) for name in statics},
    }
