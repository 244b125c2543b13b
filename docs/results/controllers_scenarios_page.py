"""What controllers.md says of every scenario: whole tables, the targets of thermal_throttle, what mid-frame switching earns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = (
    ("correct_on_time_rate", "right and on time (%)", 100, 2),
    ("accuracy", "right, of completed (%)", 100, 2),
    ("deadline_miss_rate", "missed (%)", 100, 2),
    ("energy_per_input_joules", "mJ per input", 1000, 3),
    ("peak_die_temperature_celsius", "hottest (degC)", 1, 1),
    ("mean_weight_bits", "mean bits", 1, 2),
    ("shortfall", "regret (points)", 100, 2),
)
GAINS = COLUMNS[:1] + COLUMNS[2:4]
STRONG_SEEDS = 20
SEARCHED = "searched"
Rules = Mapping[str, Any]


def written(found: Mapping[str, Any]) -> str:
    """Return the sections."""
    return "\n\n".join(
        [
            _targets(found["by_scenario"]["thermal_throttle"] | {"targets": found["targets"]}),
            _mid_frame(found),
            _whole_table(found),
        ]
    )


def _whole_table(found: Mapping[str, Any]) -> str:
    parts = [f"### `{name}`\n\n{_table(each)}" for name, each in found["by_scenario"].items() if each["rules"]]
    joined = "\n\n".join(parts)
    left_out = "\n".join(f"- `{name}`: {why}." for name, why in found["left_out"].items())
    return f"""## Every rule in every scenario

Rules as they come, without options, unless the row says otherwise; means over the seeds named, with 95 % intervals where they have three or
more and differ. `searched` are static mixed assignments ([how](../budgets.md)): the least loss for at most so much energy of a frame's
layers, on 500 training images with noise of their own, so that no frame's input chose them. `hysteresis over searched` has those of
{", ".join(found["rungs"])} mJ for rungs instead of uniform widths (`hysteresis:rungs=[a.json, b.json, c.json]`). `clock only, 8 bits` is
`step_wise:rungs=[8]`. Regret is the mean worth of a frame (right and on time, less {found["energy_weight"]} of its energy in parts of that at 8 bits) that is
missing to `informed_on_device` of `hwsim.regret`, a bound from above over *uniform* widths within the device's time and heat: a mixed
assignment may lie beyond it, as a negative regret says. A dash: no outputs, or several streams.

`{found["command"]}`, a seed of every scenario after the other; the assignments: `{found["search_command"]}`.

{joined}

Scenarios that are not in the table:

{left_out}"""


def _table(scenario: Mapping[str, Any]) -> str:
    rules: Rules = scenario["rules"]
    head = "| | " + " | ".join(title for _, title, _, _ in COLUMNS) + " | seeds |\n|---|" + "--:|" * (len(COLUMNS) + 1)
    rows = [
        f"| {label} | "
        + " | ".join(cell(each.get(name), scale, digits) for name, _, scale, digits in COLUMNS)
        + f" | {len(each['seeds'])} |"
        for label, each in sorted(rules.items(), key=lambda item: _order(item[1]))
    ]
    failed = [f"`{label}` failed: {why}." for label, why in scenario["failed"].items()]
    not_run = [f"Not run: {', '.join(f'`{each}`' for each in scenario['not_run'])}."] if scenario["not_run"] else []
    return "\n\n".join(["\n".join([head, *rows]), *failed, *not_run])


def _order(figures: Mapping[str, Any]) -> tuple[float, float]:
    right = figures["correct_on_time_rate"] or {"mean": 1 - figures["deadline_miss_rate"]["mean"]}
    return -right["mean"], figures["energy_per_input_joules"]["mean"]


def cell(interval: Mapping[str, float] | None, scale: float, digits: int, sign: str = "") -> str:
    """Return a mean with its interval, where that has a width that shows."""
    if interval is None:
        return "-"
    mean, low, high = (f"{scale * interval[key]:{sign}z.{digits}f}" for key in ("mean", "low", "high"))
    return mean if low == high else f"{mean} ({low} to {high})"


def _targets(thermal: Mapping[str, Any]) -> str:
    rules: Rules = thermal["rules"]
    lines = [_fewer_misses(thermal), _no_static(thermal), _more_accurate(thermal)]
    least = min(len(each["seeds"]) for each in (rules[name] for name in (*thermal["targets"]["named"],)))
    short = "" if least >= STRONG_SEEDS else f" ({STRONG_SEEDS} were asked for; the rest was not run)"
    return f"""## Heat: the targets of `thermal_throttle`

The rules that they name ran over {least} seeds or more{short}, searched assignments and some rules over fewer, as the table says; differences
are of the same seeds, with 95 % intervals. Uniform widths and `hysteresis` over the range of what is assumed of the device:
[thermal_throttle.md](thermal_throttle.md).

{chr(10).join(lines)}"""


def _fewer_misses(thermal: Mapping[str, Any]) -> str:
    best, rules, lost = thermal["targets"]["best"], thermal["rules"], thermal["targets"]["less_static"]
    eight, own = (100 * rules[name]["deadline_miss_rate"]["mean"] for name in ("static", best))
    held = eight >= 10 * own and -100 * lost["accuracy"]["low"] <= 1.0
    return (
        f"- At least ten times fewer missed deadlines than static 8 bits at a loss of one point of accuracy or less: **{_held(held)}** by "
        f"`{best}`, the adaptive rule with most right and on time of those with ten seeds ({eight:.1f} % against {own:.2f} % missed; accuracy "
        f"{cell(lost['accuracy'], 100, 2, '+')} points)."
    )


def _no_static(thermal: Mapping[str, Any]) -> str:
    rivals = thermal["targets"]["statics"]
    beaten = [
        f"`{name}` ({cell(each['accuracy'], 100, 2, '+')} points of accuracy, {cell(each['deadline_miss_rate'], 100, 2, '+')} of misses, "
        f"{cell(each['energy_per_input_joules'], 1000, 2, '+')} mJ per input, {len(each['seeds'])} seeds)"
        for name, each in rivals.items()
        if all(
            each[metric]["mean"] * way >= 0
            for metric, way in (("accuracy", 1), ("deadline_miss_rate", -1), ("energy_per_input_joules", -1))
        )
    ]
    told = (
        "None is." if not beaten else "As good in all three on the mean, each less the rule: " + "; ".join(beaten) + "."
    )
    return (
        "- No static assignment, uniform or searched, is at least as good as it in misses, energy and accuracy: "
        f"**{_held(not beaten)}**. {told}"
    )


def _more_accurate(thermal: Mapping[str, Any]) -> str:
    best, rivals = thermal["targets"]["best"], thermal["targets"]["statics"]
    equal = {name: each for name, each in rivals.items() if each["deadline_miss_rate"]["mean"] <= 0}
    if not equal:
        return "- At equal misses it is more accurate than the best static: no static assignment misses as little."
    name, rival = max(equal.items(), key=lambda item: item[1]["accuracy"]["mean"])
    gain = rival["accuracy"]
    verdict = "held" if gain["high"] < 0 else "missed" if gain["low"] > 0 else "not decided"
    return (
        f"- At equal misses it is more accurate than the best static: **{verdict}**; `{name}` less `{best}` is {cell(gain, 100, 2, '+')} points "
        f"over {len(rival['seeds'])} seeds. Inputs are the same 1500 of the test split in every seed, so the interval tells of arrivals and noise of sensors, "
        "not of other images."
    )


def _mid_frame(found: Mapping[str, Any]) -> str:
    rows = [
        f"| `{scenario}` | {name} | "
        + " | ".join(cell(gained[metric], scale, digits, "+") for metric, _, scale, digits in GAINS)
        + f" | {switches:.0f} | {len(gained['seeds'])} |"
        for scenario, each in found["by_scenario"].items()
        for name, gained in each["mid_frame"].items()
        for switches in (each["rules"][name]["mid_frame_switches"]["mean"],)
        if switches
    ]
    idle = {
        scenario: [name for name in each["mid_frame"] if not each["rules"][name]["mid_frame_switches"]["mean"]]
        for scenario, each in found["by_scenario"].items()
    }
    never = "; ".join(f"in `{scenario}` {', '.join(names)}" for scenario, names in idle.items() if names)
    table = "\n".join([
        "| scenario | rule | " + " | ".join(title for _, title, _, _ in GAINS) + " | switches in mid-frame | seeds |",
        "|---|---|" + "--:|" * (len(GAINS) + 2), *rows,
    ])  # fmt: skip
    return f"""## What switching in mid-frame earns

Each rule less itself `@frame`, which lets its decisions bind only frames that have not begun; the same seeds. Scenarios whose every
decision waits for the next frame anyway (`unknown_device`) are left out, pairs that were not run too. Clock-only throttling at 8 bits and searched assignments
stand in the tables below.

{table}

No decision fell within a frame, so that both are the same: {never or "none of those that were run"}. A bandit draws other numbers after the first
difference, so with few seeds its rows tell of luck, too."""


def _held(whether: bool) -> str:
    return "held" if whether else "missed"
