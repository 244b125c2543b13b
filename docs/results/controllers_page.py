"""The page docs/results/controllers.md, in words, and its figure: controllers.py writes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # wherever it is loaded from

import controllers_scenarios_page

WEATHERS = ("clear", "fog", "noise")
RUNGS = ("8 bit", "step 1", "step 2", "2 bit")
CHANGES_SECONDS = (30, 60, 90)
SEEDS_WANTED = 30
CANDIDATE, BASELINE = "ids, memory 0.99", "linucb_probe, memory 0.99"
SHOWN = (
    ("regret", "regret", 1, "{:.1f}"),
    ("less_baseline", f"less that of {BASELINE}, same seeds", 1, "{:+.1f}"),
    ("accuracy", "right (%)", 100, "{:.1f}"),
    ("energy_joules", "energy (J)", 1, "{:.0f}"),
    ("mean_weight_bits", "mean bits", 1, "{:.2f}"),
    ("probes", "probes", 1, "{:.0f}"),
)


def written(found: dict[str, Any]) -> str:
    """Return the page."""
    drifting = found["drifting_light"]
    parts = [
        _head(found),
        _drifting(drifting),
        _verdict(drifting["arms"]),
        _phases(drifting["arms"]),
        controllers_scenarios_page.written(found["scenarios"]),
    ]
    return "\n\n".join(parts) + "\n"


def _head(found: dict[str, Any]) -> str:
    return (
        "# Controllers, compared\n\nWritten by `controllers.py` from its twin `controllers.json`; nothing is typed by hand. "
        f"Machine: {found['machine']}; {found['time']}. Intervals are 95 % (bootstrap over seeds). Rules and what they look at: "
        "[controllers.md](../controllers.md)."
    )


def _drifting(found: dict[str, Any]) -> str:
    rungs = "\n".join(
        f"| {weather} | " + " | ".join(f"{worth:.3f}" for worth in worths) + " |"
        for weather, worths in zip(WEATHERS, found["rungs_by_data"], strict=True)
    )
    rows = "\n".join(_row(arm, figures) for arm, figures in _by_regret(found["arms"]))
    not_run = f" Not run: {', '.join(found['not_run'])}." if found["not_run"] else ""
    return f"""## Accuracy must be learned: `drifting_light`

Clear, foggy, noisy, clear again, half a minute each; a rule is told the accuracies on clear inputs and nothing more. A frame is worth the share
of right answers if it is on time, less 0.05 of its energy (probes included) in parts of a frame's at 8 bits. What each rung of the
ladder is worth, true labels, on the inputs of the first seed:

| | {" | ".join(RUNGS)} |
|---|{"--:|" * len(RUNGS)}
{rungs}

Regret is summed over the run's frames against the best rung of each weather, known beforehand (`hwsim.regret`, `informed`). It is in frames'
worth. Nothing is hot or late here, so that bound can be reached but for probes and what switching costs.

| | {" | ".join(title for _, title, _, _ in SHOWN)} | seeds |
|---|{"--:|" * (len(SHOWN) + 1)}
{rows}

`{found["command"]}`{not_run} Options are the rules' defaults unless the row says otherwise; both rules that probe forget at the same rate, 0.998 per
frame, unless it says 0.99.

![Regret over time, and probes around the changes](../images/controllers_regret.svg)"""


def _by_regret(arms: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(arms.items(), key=lambda item: item[1]["regret"]["mean"])


def _row(arm: str, figures: dict[str, Any]) -> str:
    cells = [_cell(figures[name], scale, form) for name, _, scale, form in SHOWN]
    return f"| {arm} | " + " | ".join(cells) + f" | {len(figures['seeds'])} |"


def _cell(interval: dict[str, float] | None, scale: float, form: str) -> str:
    if interval is None:
        return ""
    mean, low, high = (form.format(scale * interval[key]) for key in ("mean", "low", "high"))
    return mean if low == high else f"{mean} ({low} to {high})"


def _verdict(arms: dict[str, Any]) -> str:
    """Say whether the information-directed rule has the lowest regret, with intervals apart."""
    if not {CANDIDATE, BASELINE} <= arms.keys():
        return "**Target**: `ids` has the lowest regret. Not run."
    ids, strong = arms[CANDIDATE], arms[BASELINE]
    lowest = _by_regret(arms)[0][0]
    apart = ids["regret"]["high"] < strong["regret"]["low"]
    seeds = min(len(ids["seeds"]), len(strong["seeds"]))
    outcome = "Held" if lowest == CANDIDATE and apart else "Missed"
    if seeds < SEEDS_WANTED:
        outcome = f"Not decided, with {seeds} of the {SEEDS_WANTED} seeds run"
    difference = _cell(ids["less_baseline"], 1, "{:+.1f}")
    return (
        f"**Target**: `ids` has the lowest regret of all, over {SEEDS_WANTED} seeds or more, with intervals that do not overlap. "
        f"**{outcome}**: the lowest is that of `{lowest}`; `{CANDIDATE}` less `{BASELINE}` is {difference} on the "
        f"same seeds, and their intervals {'do not overlap' if apart else 'overlap'}, over {seeds} seeds. The memory is the better of the "
        "two that were tried, for both rules; nothing else was tuned, to either."
    )


def _phases(arms: dict[str, Any]) -> str:
    """Say where each rule loses."""
    ends = [*(change - 1 for change in CHANGES_SECONDS), -1]
    rows = []
    for arm, figures in _by_regret(arms):
        lost = np.diff([0.0, *(figures["regret_by_second"][end] for end in ends)])
        rows.append(f"| {arm} | " + " | ".join(f"{each:.1f}" for each in lost) + " |")
    table = "\n".join(rows)
    return f"""Where regret arises, mean over each row's seeds:

| | clear | fog | noise | clear again |
|---|{"--:|" * 4}
{table}

Rules that do not probe never learn of the fog. Those that do learn late: what clear inputs taught weighs for as many frames as the memory
holds, and a rung that seems to be known is seldom looked at. `linucb_probe` can look at the rung in use alone, so at 8 bits it waits until it
has forgotten why it went there; `ids` looks at few bits from 8 bits, too. Both count answers that differ from those at 8 bits as wrong,
though in noise many of these are wrong at 8 bits as well: there both pay for bits that earn nothing. Labels that come late would tell, and
are not built."""


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw regret over time, and probes per second of the two rules that make some."""
    from hwsim.report.style import SERIES, save, styled, titled_figure

    with styled():
        drawn = titled_figure(
            "Regret where accuracy must be learned",
            "drifting_light: the inputs change at the grey lines",
            height_inches=5.2,
        )
        above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 1), gridspec_kw={"top": 0.86})
        for colour, (arm, figures) in zip((*SERIES, "#888888"), _by_regret(found["arms"]), strict=False):
            regret = figures["regret_by_second"]
            above.plot(range(1, len(regret) + 1), regret, color=colour, label=arm)
            if figures["probes"]["mean"] > 0:
                probes = np.convolve(figures["probes_by_second"], np.ones(3) / 3, mode="same")
                below.plot(range(1, len(probes) + 1), probes, color=colour)
        for axes in (above, below):
            for change in CHANGES_SECONDS:
                axes.axvline(change, color="#cccccc", linewidth=0.8, zorder=0)
        above.set_ylabel("regret (frames' worth)")
        below.set_ylabel("probes per second")
        below.set_xlabel("time (s)")
        above.legend(frameon=False, fontsize=7, loc="upper left")
        save(drawn, path)
