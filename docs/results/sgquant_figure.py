"""Draws docs/images/sgquant_targets.svg: what is lost over what is saved, of every pair of network and graph."""

from __future__ import annotations

from typing import Any

from sgquant_procedure import TARGETS, interval, saving_of, targets_of
from sgquant_runs import HERE, PAIRS, UNIFORM, losses, uniform

FIGURE = HERE.parent / "images" / "sgquant_targets.svg"
MOST_SHOWN = 4.0
"""Points; what loses more is drawn at the upper edge."""


def draw(found: dict[str, Any]) -> None:
    """Draw what was chosen, and one width for all, with 95 % intervals; the shaded area is the target."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "sgquant", "svg.fonttype": "path"}):
        figure = Figure(figsize=(9, 5.4), layout="constrained")
        grid = figure.subplots(2, 3, sharex=True, sharey=True)
        for place, (name, data) in enumerate(PAIRS):
            axes = grid[place % 2][place // 2]
            _draw_pair(axes, found, name, data)
            axes.set_title(f"{name}, {data}", loc="left")
            axes.set(ylim=(-1.0, MOST_SHOWN + 0.2), xlim=(2, 33))
        for axes in grid[1]:
            axes.set_xlabel("memory saved, times (dense)")
        for row in grid:
            row[0].set_ylabel("accuracy lost, points")
        grid[0][0].legend(frameon=False, loc="upper left", fontsize=8)
        figure.savefig(FIGURE, metadata={"Date": None})


def _draw_pair(axes: Any, found: dict[str, Any], name: str, data: str) -> None:
    pair = found["pairs"].get(f"{name} {data}", {"arms": {}})
    saving, loss = TARGETS[targets_of(name, data)[-1]]
    axes.fill_between([saving, 33], -1, 100 * loss, color="C2", alpha=0.12, lw=0, label="target")
    axes.axhline(0, color="0.7", lw=0.8)
    taken = found["chosen"].get(f"{name} {data}", {})
    groups = {"one width for all": ("o", "0.45", [uniform(bits, "least_error").name for bits in UNIFORM])}
    for rule, colour in (("safest", "C0"), ("boldest", "C3")):
        groups[rule] = ("s" if rule == "safest" else "^", colour, [arms[rule] for arms in taken.values() if arms[rule]])
    for label, (marker, colour, arms) in groups.items():
        measured = [(saving_of(pair, arm), *interval(losses(pair, arm))) for arm in arms if len(losses(pair, arm)) > 1]
        if measured:
            saved, means, halves = zip(*measured, strict=True)
            shown = [min(100 * mean, MOST_SHOWN) for mean in means]
            bars = [100 * half if 100 * mean < MOST_SHOWN else 0 for mean, half in zip(means, halves, strict=True)]
            axes.errorbar(saved, shown, bars, fmt=marker, color=colour, ms=5, capsize=2, label=label)
