"""Writes ``comparison.html`` from a comparison and the first run of each of its controllers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwsim.comparison import Comparison, Interval
from hwsim.records.store import RunFolder
from hwsim.report.learning_figures import Learning
from hwsim.report.page.template import embedded, rendered
from hwsim.report.page.time_series import brief_panels, sampled_line
from hwsim.report.terminal import COMPARED, NO_VALUE, comparison_verdict, short_interval

COMPARISON_FILE = "comparison.html"
HUNDREDTHS = 100


def write_comparison_page(
    comparison: Comparison, runs: Mapping[str, Sequence[RunFolder]], folder: Path, learning: Mapping[str, Learning]
) -> Path:
    """Write ``comparison.html`` into the comparison's folder.

    Args:
        comparison: The statistics.
        runs: Controller -> its replications; the first is drawn over time.
        folder: Where to write.
        learning: Controller -> what that run lost over time, where it is known.

    Returns:
        The path written.

    Raises:
        RecordsError: A file of a run is missing or damaged.
    """
    path = folder / COMPARISON_FILE
    path.write_text(rendered("comparison", _content(comparison, runs, learning)), encoding="utf-8")
    return path


def _content(
    comparison: Comparison, runs: Mapping[str, Sequence[RunFolder]], learning: Mapping[str, Learning]
) -> dict[str, Any]:
    """Return what the template shows."""
    first = {label: of_one[0] for label, of_one in runs.items()}
    some = next(iter(first.values()))
    panels = [
        *_learning_panels(learning),
        *(panel for label, run in first.items() for panel in brief_panels(label, run)),
    ]
    drawn = {
        "end": max(float(run.summary["simulated_seconds"]) for run in first.values()),
        "panels": panels,
        "points": _points(comparison),
        "differences": _differences(comparison),
    }
    return {
        "comparison": comparison,
        "verdict": comparison_verdict(comparison),
        "headings": [heading.replace("\n", " ") for heading, _ in COMPARED.values()],
        "rows": {
            label: [short_interval(metrics[metric], written) for metric, (_, written) in COMPARED.items()]
            for label, metrics in comparison.controllers.items()
        },
        "manifest": some.manifest,
        "seeds": [run.manifest["seed"] for run in next(iter(runs.values()))],
        "regret": {label: f"{each.regret[-1]:z.1f}" for label, each in learning.items()},
        "command": _command(comparison),
        "no_value": NO_VALUE,
        "drawn": embedded(drawn),
    }


def _points(comparison: Comparison) -> list[dict[str, Any]]:
    """Return each controller in the plane of energy (mJ per input) and what is right and on time (or on time) in %."""
    with_outputs = all(each["correct_on_time_rate"].mean is not None for each in comparison.controllers.values())
    front = comparison.pareto.front if comparison.pareto else ()
    found = []
    for label, metrics in comparison.controllers.items():
        missed = metrics["deadline_miss_rate"]
        good = metrics["correct_on_time_rate"] if with_outputs else _turned(missed)
        energy = metrics["energy_per_input_joules"]
        if energy.mean is None or good.mean is None:
            continue
        found.append({
            "label": label, "energy": _ends(energy, 1e3), "good": _ends(good, HUNDREDTHS), "front": label in front,
            "missed": _ends(missed, HUNDREDTHS),
        })  # fmt: skip
    return found


def _turned(share: Interval) -> Interval:
    if share.mean is None or share.low is None or share.high is None:
        return share
    return Interval(mean=1 - share.mean, low=1 - share.high, high=1 - share.low)


def _differences(comparison: Comparison) -> list[dict[str, Any]]:
    """Return, for each metric that people compare, how far every controller is from the baseline."""
    found = []
    for metric, (heading, _) in COMPARED.items():
        scale = {"%": HUNDREDTHS, "mJ": 1e3}.get(heading.split()[-1] if "%" in heading else heading.split()[0], 1.0)
        rows = [
            {"label": label, "ends": _ends(metrics[metric], scale)}
            for label, metrics in comparison.differences.items()
            if metrics[metric].mean is not None
        ]
        if any(any(row["ends"]) for row in rows):
            found.append({"title": heading.replace("\n", " "), "rows": rows})
    return found


def _ends(interval: Interval, scale: float) -> list[float]:
    """Return mean, low and high."""
    return [
        float(f"{scale * value:.6g}") for value in (interval.mean, interval.low, interval.high) if value is not None
    ]


def _learning_panels(learning: Mapping[str, Learning]) -> list[dict[str, Any]]:
    if not learning:
        return []
    regret = [sampled_line(label, each.seconds, each.regret) for label, each in learning.items()]
    panels = [{"title": "Regret so far", "unit": "frames' worth", "lines": regret, "marks": []}]
    probing = [
        sampled_line(label, each.seconds, each.probes_per_second)
        for label, each in learning.items()
        if each.probes_per_second.any()
    ]
    return [*panels, *([{"title": "Probes", "unit": "per second", "lines": probing, "marks": []}] if probing else [])]


def _command(comparison: Comparison) -> str:
    """Return the command that makes the same comparison, as a shell takes it."""
    baseline = f" --baseline '{comparison.baseline}'" if comparison.baseline else ""
    return (
        f"python -m hwsim compare {comparison.scenario} --controllers '{','.join(comparison.controllers)}'"
        f"{baseline} --replications {comparison.replications}"
    )
