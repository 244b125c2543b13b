"""Play the Beta-Bernoulli bandit by five rules, and draw their regret.

Usage:
    python docs/examples/information_directed.py --play    # minutes: docs/results/bernoulli_bandit.json, then the figure
    python docs/examples/information_directed.py           # docs/images/information_directed.svg; the table on stdout
"""

from __future__ import annotations

import argparse
import json
import platform
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.controllers.information_directed.bernoulli_bandit import (
    InformationDirected,
    epsilon_greedy,
    play,
    thompson,
    ucb1,
)
from hwsim.report.style import (
    BLUE,
    FAINT,
    GREEN,
    ORANGE,
    SKY,
    VERMILION,
    Label,
    label_right,
    save,
    styled,
    titled_figure,
)

DOCS = Path(__file__).parent.parent
RESULTS = DOCS / "results" / "bernoulli_bandit.json"
FIGURE = DOCS / "images" / "information_directed.svg"
STEPS, SEED = 500, 1
BANDITS = {10: 1000, 50: 1000}
"""Arms: how many bandits."""
TOLERANCE = 0.05
SHOWN = np.unique(np.concatenate([np.arange(5), np.geomspace(5, STEPS, 40).round().astype(int) - 1]))
"""Steps whose regret is kept."""


def players() -> dict[str, tuple[Any, str]]:
    """Return the rules with their colours, in the order of regret that is claimed for them."""
    return {
        "satisficing V-IDS": (lambda: InformationDirected(tolerance=TOLERANCE), BLUE),
        "V-IDS": (InformationDirected, SKY),
        "Thompson sampling": (lambda: thompson, GREEN),
        "ε-greedy": (lambda: partial(epsilon_greedy, epsilon=0.1), ORANGE),
        "UCB1": (lambda: ucb1, VERMILION),
    }


def interval(values: np.ndarray) -> list[float]:
    """Return the mean and half of its 95 % interval, over the first axis."""
    half = 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return [round(float(each), 3) for each in (values.mean(), half)]


def played() -> dict[str, Any]:
    """Return all regrets: of each rule over time, and of each less the one before it, bandit by bandit."""
    found: dict[str, Any] = {}
    for arms, bandits in BANDITS.items():
        regrets = {
            name: play(build(), bandits=bandits, arms=arms, steps=STEPS, seed=SEED)
            for name, (build, _) in players().items()
        }
        found[str(arms)] = {
            "bandits": bandits,
            "regret": {
                name: [interval(values[:, step]) for step in SHOWN.tolist()] for name, values in regrets.items()
            },
            "more than the one before": {
                name: interval(values[:, -1] - regrets[before][:, -1]) for before, name, values in after(regrets)
            },
        }
    return {
        "command": "python docs/examples/information_directed.py --play", "seed": SEED, "tolerance": TOLERANCE,
        "machine": f"CPU, {platform.machine()}", "steps": (SHOWN + 1).tolist(), "arms": found,
    }  # fmt: skip


def after(regrets: dict[str, np.ndarray]) -> list[tuple[str, str, np.ndarray]]:
    """Return (the one before, name, values) of all but the first."""
    return [(before, name, regrets[name]) for before, name in pairwise(regrets)]


def table(results: dict[str, Any]) -> str:
    """Return the regret after the last step as Markdown."""
    rows = [
        "| regret after 500 steps | "
        + " | ".join(f"{arms} arms | more than the line above" for arms in BANDITS)
        + " |",
        "|---|" + "---|---|" * len(BANDITS),
    ]
    for name in players():
        cells = []
        for arms in map(str, BANDITS):
            shown = results["arms"][arms]
            mean, half = shown["regret"][name][-1]
            cells.append(f"{mean:.1f} ± {half:.1f}")
            more = shown["more than the one before"].get(name)
            cells.append(f"{more[0]:+.1f} ± {more[1]:.1f}" if more else "")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def draw(results: dict[str, Any], path: Path = FIGURE) -> Path:
    """Write the figure."""
    with styled():
        figure = titled_figure(
            "What is lost while it is learned which arm is best",
            "Cumulated regret, mean and 95 % interval; an arm pays with an unknown probability, uniform on [0, 1].",
            height_inches=3.7,
        )
        grid = figure.add_gridspec(1, 2, left=0.06, right=0.82, top=0.77, bottom=0.13, wspace=0.8)
        for place, (arms, shown) in enumerate(results["arms"].items()):
            axes = figure.add_subplot(grid[place])
            labels = []
            for name, (_, colour) in players().items():
                mean, half = np.array(shown["regret"][name]).T
                axes.plot(results["steps"], mean, color=colour, linewidth=1.6)
                axes.fill_between(results["steps"], mean - half, mean + half, color=colour, alpha=0.25, linewidth=0)
                labels.append(Label(mean[-1], f"{name}  {mean[-1]:.0f}", colour))
            axes.set_xlim(0, STEPS)
            axes.set_ylim(bottom=0)
            axes.set_xlabel("steps")
            axes.set_ylabel("regret" if place == 0 else "")
            axes.set_title(f"{arms} arms, {shown['bandits']} bandits", color=FAINT)
            label_right(axes, labels)
        return save(figure, path)


def main() -> None:
    """Play if asked to, then draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--play", action="store_true", help="play all bandits anew first")
    if parser.parse_args().play:
        RESULTS.write_text(json.dumps(played(), indent=1) + "\n", encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    draw(results)
    print(table(results))


if __name__ == "__main__":
    main()
