"""Measures what docs/results/field_adaptation.md says, and writes that page and its figure from the figures.

Usage, with BITMIXER_DATA set (minutes):
    python docs/results/field_adaptation.py measure [--runs FOLDER]   # runs what is missing; writes the twin arm by arm
    python docs/results/field_adaptation.py page                      # writes the page and the figure from it
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TWIN = HERE / "field_adaptation.json"
PAGE = HERE / "field_adaptation.md"
FIGURE = HERE.parent / "images" / "field_adaptation.svg"
SCENARIO = "field_adaptation"
NOT_RUN = "not run"
NOTHING, LATE = "no learning", "norms and classifier, late labels"
ARMS: dict[str, tuple[str, ...]] = {
    NOTHING: ("learning=null",),
    LATE: (),
    "all layers, late labels": ("learning.learned=all",),
    "norms and classifier, own confident answers": ("learning.labels=confident",),
}
SEEDS = (1, 2, 3)
WINDOW_SECONDS = 5
COSTS = ("steps", "samples", "energy_joules", "energy_per_sample_joules", "busy_seconds", "preemptions")
SUMMARY = ("accuracy", "accuracy_by_data", "deadline_miss_rate", "latency_p99_seconds", "energy_joules")

Results = dict[str, Any]


def measure(runs: Path) -> None:
    """Run what is missing, seed by seed."""
    from hwsim import provenance

    versions = ", ".join(map(" ".join, provenance.versions().items()))
    results: Results = {
        "command": "python docs/results/field_adaptation.py measure", "seeds": list(SEEDS),
        "machine": f"{platform.machine()}, CPU, {versions}", "window_seconds": WINDOW_SECONDS, "arms": {},
    }  # fmt: skip
    for seed in SEEDS:
        for name, sets in ARMS.items():
            results["arms"].setdefault(name, {})[str(seed)] = _measured(runs, name, seed, sets)
            for later in ARMS:
                for other in SEEDS:
                    results["arms"].setdefault(later, {}).setdefault(str(other), None)
            TWIN.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _measured(runs: Path, name: str, seed: int, sets: tuple[str, ...]) -> Results:
    """Run one arm, or read what it left."""
    from hwsim import pipeline
    from hwsim.records.store import RunFolder

    folder = runs / f"{''.join(letter if letter.isalnum() else '_' for letter in name)}_{seed}"
    if not (folder / "summary.json").is_file():
        pipeline.run(pipeline.plan(SCENARIO, seed=seed, sets=sets), folder, figures=False)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    learning = summary.get("learning")
    return {
        **{key: summary[key] for key in SUMMARY},
        "learning": None if learning is None else {key: learning[key] for key in COSTS},
        "windows": _windows(RunFolder(folder)),
    }


def _windows(run: Any) -> list[float]:
    """Return the share of right answers among the inputs that arrived in each window of time."""
    frames = run.table("frames", ["arrival_picoseconds", "predictions", "labels"]).to_pylist()
    windows: dict[int, list[bool]] = {}
    for frame in frames:
        own = windows.setdefault(frame["arrival_picoseconds"] // (WINDOW_SECONDS * 10**12), [])
        own += [a == b for a, b in zip(frame["predictions"], frame["labels"], strict=True)]
    return [sum(windows[at]) / len(windows[at]) for at in sorted(windows)]


def page(results: Results) -> None:
    """Write the page, and the figure."""
    data = next(iter(_done(results, NOTHING)), {"accuracy_by_data": {}})["accuracy_by_data"]
    head = (
        "# Learning in the field, measured\n\n"
        "Written by `field_adaptation.py` from its twin `field_adaptation.json`; nothing is typed by hand. "
        f"Command: `{results['command']}`. Machine: {results['machine']}.\n\n"
        f"The scenario `{SCENARIO}`, simulated on BISMO and a PYNQ-Z1: ResNet-20 answers 25 digits a second at 8 bits, fog comes up in "
        "two steps, and in idle time the device takes a step of training a second, in E5M2, on 32 inputs whose labels come two "
        "seconds late. Every input comes once. The real network learns and answers, each frame by the version with which it began."
    )
    rows = [_row(name, _done(results, name), list(data), len(results["seeds"])) for name in ARMS]
    table = (
        f"| arm | seeds | {' | '.join(f'`{name}`, %' for name in data)} | last window, % | deadlines missed | energy, J |\n"
        f"|---|--:|{'--:|' * len(data)}--:|--:|--:|\n" + "\n".join(rows)
    )
    costs = "\n".join(_cost_row(name, _done(results, name)) for name in ARMS if name != NOTHING)
    PAGE.write_text(
        f"{head}\n\n## Accuracy\n\nMeans over seeds. The last window is the last {results['window_seconds']} s.\n\n{table}\n\n"
        f"{_reading(results, list(data))}## What it takes\n\nPer run; energy is that of the array, the vector unit and DRAM for training steps alone.\n\n"
        "| arm | steps | samples | energy, J | per sample, mJ | array busy, s | preemptions | latency p99, ms |\n"
        f"|---|--:|--:|--:|--:|--:|--:|--:|\n{costs}\n\n![Accuracy over time](../images/{FIGURE.name})\n",
        encoding="utf-8",
    )
    draw(results)


def _reading(results: Results, data: list[str]) -> str:
    """Return what the table says, where the two main arms have run."""
    without, learned = _done(results, NOTHING), _done(results, LATE)
    if not without or not learned:
        return ""
    gains = [
        100 * (_mean([arm["accuracy_by_data"][name] for arm in learned]) - _mean([arm["accuracy_by_data"][name] for arm in without]))
        for name in data
    ]  # fmt: skip
    shown = ", ".join(f"{gain:+.1f} on `{name}`" for gain, name in zip(gains, data, strict=True))
    return (
        f"Learning norms and classifier from late labels is worth, in points: {shown}. Where the network errs little already, steps on "
        "32 inputs cost accuracy: they pay where it errs much. What a network says of itself, even if it is sure, is no such teacher "
        "here.\n\n"
    )


def _done(results: Results, name: str) -> list[Results]:
    return [found for found in results["arms"].get(name, {}).values() if found]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _row(name: str, done: list[Results], data: list[str], seeds: int) -> str:
    if not done:
        return f"| {name} | {NOT_RUN} |" + " |" * (len(data) + 3)
    by_data = [f"{100 * _mean([arm['accuracy_by_data'][each] for arm in done]):.1f}" for each in data]
    last = 100 * _mean([arm["windows"][-1] for arm in done])
    missed = 100 * max(arm["deadline_miss_rate"] for arm in done)
    energy = _mean([arm["energy_joules"] for arm in done])
    return f"| {name} | {len(done)} of {seeds} | {' | '.join(by_data)} | {last:.1f} | {missed:.2f} % | {energy:.1f} |"


def _cost_row(name: str, done: list[Results]) -> str:
    if not done:
        return f"| {name} | {NOT_RUN} |" + " |" * 6
    found = [_mean([arm["learning"][key] for arm in done]) for key in ("steps", "samples", "energy_joules")]
    per_sample = 1e3 * found[2] / found[1] if found[1] else 0.0
    busy, preempted = (_mean([arm["learning"][key] for arm in done]) for key in ("busy_seconds", "preemptions"))
    latency = 1e3 * _mean([arm["latency_p99_seconds"] for arm in done])
    return (
        f"| {name} | {found[0]:.0f} | {found[1]:.0f} | {found[2]:.2f} | {per_sample:.2f} | {busy:.2f} | "
        f"{preempted:.0f} | {latency:.2f} |"
    )


def draw(results: Results) -> None:
    """Draw the accuracy over time, the mean over seeds."""
    from hwsim.report.style import BLUE, FAINT, GREEN, VERMILION, Label, label_right, save, styled, titled_figure

    colours = dict(zip(ARMS, (FAINT, BLUE, GREEN, VERMILION), strict=True))
    with styled():
        figure = titled_figure(
            "A device that learns to see through fog, while it has nothing else to do",
            f"Share of right answers in windows of {results['window_seconds']} s; fog comes up after 15 and 25 s.",
            height_inches=3.6,
        )
        axes = figure.add_axes((0.07, 0.14, 0.6, 0.64))
        labels = []
        for name in ARMS:
            done = _done(results, name)
            if done:
                means = [100 * _mean(list(each)) for each in zip(*(arm["windows"] for arm in done), strict=False)]
                times = [results["window_seconds"] * (at + 0.5) for at in range(len(means))]
                axes.plot(times, means, color=colours[name], lw=1.8, marker="o", ms=3)
                labels.append(Label(means[-1], name, colours[name]))
        for second in (15, 25):
            axes.axvline(second, color=FAINT, lw=0.8, ls=":")
        label_right(axes, labels)
        axes.set_xlabel("s")
        axes.set_ylabel("right, %")
        save(figure, FIGURE)


def main() -> None:
    """Run one of the two verbs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("measure", "page"))
    parser.add_argument("--runs", type=Path, default=Path("runs/field_adaptation"))
    arguments = parser.parse_args()
    if arguments.verb == "measure":
        measure(arguments.runs)
    page(json.loads(TWIN.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
